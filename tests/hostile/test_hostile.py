"""Hostile and broken input: every case is refused with a clear error or quarantined, within limits of time and memory."""

from pathlib import Path

import pytest

from tests.hostile.cases import problems, try_all

KINDS = ("archives", "bundles", "configurations", "scenes", "vectors")


@pytest.mark.parametrize("kind", KINDS)
def test_every_case_is_refused_or_quarantined_with_a_clear_error(kind: str, tmp_path: Path):
    found = try_all(kind, tmp_path)
    cases = found[:-1]
    harmful = [case for case in cases if case["says"] is not None]
    stopped = sum(case["became"] in ("refused", "quarantined") for case in harmful)
    slowest = max(cases, key=lambda case: float(str(case["seconds"])))
    print(
        f"\nhostile {kind}: {len(harmful)} inputs, {stopped} refused or quarantined; {len(cases) - len(harmful)} odd "
        f"ones accepted; slowest {slowest['name']!r:.60} {slowest['seconds']} s, memory {found[-1]['grown_bytes']} bytes"
    )
    wrong = problems(found)
    assert not wrong, "\n".join(wrong)
    assert len(harmful) > 10

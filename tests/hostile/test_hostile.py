"""Hostile input: every case is refused with a clear error or quarantined, within limits of time and memory."""

from pathlib import Path

import pytest

from tests.hostile.cases import problems, try_all

KINDS = ("archives", "bundles", "configurations", "image_bundles", "scenes", "vectors")
SLOW = ("bundles", "image_bundles", "vectors")
"""Half a minute of the ten that the suite may take; the tests of their readers have the plain cases."""


def told(kind: str, found: list[dict[str, object]]) -> str:
    """Return one line about what was tried."""
    cases = found[:-1]
    harmful = [case for case in cases if case["says"] is not None]
    stopped = sum(case["became"] in ("refused", "quarantined") for case in harmful)
    slowest = max(cases, key=lambda case: float(str(case["seconds"])))
    return (
        f"\nhostile {kind}: {len(harmful)} inputs, {stopped} refused or quarantined; {len(cases) - len(harmful)} odd "
        f"ones accepted; slowest {slowest['name']!r:.60} {slowest['seconds']} s, {found[-1]['grown_bytes']} bytes"
    )


@pytest.mark.parametrize("kind", [pytest.param(k, marks=pytest.mark.slow) if k in SLOW else k for k in KINDS])
def test_every_case_is_refused_or_quarantined_with_a_clear_error(kind: str, tmp_path: Path):
    found = try_all(kind, tmp_path)
    print(told(kind, found))
    wrong = problems(found)
    assert not wrong, "\n".join(wrong)
    assert len(found) > 20


def test_mutations_are_refused_or_read(tmp_path: Path):
    found = try_all("mutations", tmp_path)
    print(told("mutations", found))
    assert not problems(found)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(1, 5))
def test_thousands_of_mutations_are_refused_or_read(seed: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("HOSTILE_SEED", str(seed))
    monkeypatch.setenv("HOSTILE_MUTATIONS", "800")
    found = try_all("mutations", tmp_path)
    print(told("mutations", found))
    assert not problems(found)

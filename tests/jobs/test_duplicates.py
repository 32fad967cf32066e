import csv
import json

import numpy as np
import pytest

from jobs import duplicates
from tests.jobs.grounds import BLOCK_KM, COLS, ROWS, embedded, ground, place
from tests.jobs.worlds import moved


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Two scenes far apart; the second has windows of the first: one as it is, one brighter, one with noise."""
    folder = tmp_path_factory.mktemp("duplicates")
    first, second = ground(1, 0), ground(2, 0)
    random = np.random.default_rng(1)
    place(second, 0, 0)[:] = place(first, 2, 3)
    place(second, 1, 4)[:] = (place(first, 3, 3) * 1.04).astype(np.uint16)
    place(second, 6, 8)[:] = place(first, 4, 0) + random.integers(0, 30, (4, 64, 64)).astype(np.uint16)
    here = embedded(folder, {"2024-05-01": first})
    from jobs import embed

    here.scene("2024-05-02", second, acquired="2024-05-02", transform=moved(3000, 5000))
    assert embed.main([here.config]) == 0
    return here


PLANTED = {(0, 0): (2, 3), (1, 4): (3, 3), (6, 8): (4, 0)}


def rows_of(path) -> list[dict[str, str]]:
    with open(path) as file:
        return list(csv.DictReader(file))


def test_planted_copies_are_found_and_never_straddle(run, tmp_path, capsys):
    for seed in range(4):
        words = ["--block-km", str(2 * BLOCK_KM), "--seed", str(seed), "--out", str(tmp_path)]
        assert duplicates.main([run.config, *words]) == 0
        rows = rows_of(tmp_path / "split.csv")
        assert len(rows) == 2 * ROWS * COLS
        by_place = {(row["scene"], int(row["row"]), int(row["col"])): row for row in rows}
        for copy, original in PLANTED.items():
            one, other = by_place["2024-05-02", *copy], by_place["2024-05-01", *original]
            assert one["copy_of"] == other["copy_of"]
            assert one["part"] == other["part"]
            assert int(one["copies"]) >= 2
        groups = {}
        for row in rows:
            groups.setdefault(row["group"], set()).add(row["part"])
        assert all(len(parts) == 1 for parts in groups.values())
    facts = json.loads((tmp_path / "duplicates.json").read_text())
    assert facts["exact"] == 1
    assert 3 <= facts["perceptual"] <= 5
    assert abs(facts["validation"] / facts["items"] - 0.2) < 0.05
    assert "1 pairs: exact" in capsys.readouterr().out


def test_a_split_made_elsewhere_is_judged(run, tmp_path, capsys):
    assert duplicates.main([run.config, "--out", str(tmp_path), "--block-km", "0"]) == 0
    mine = tmp_path / "mine.csv"
    good = rows_of(tmp_path / "split.csv")
    write(mine, good)
    words = [run.config, "--out", str(tmp_path / "judged"), "--block-km", "0", "--split", str(mine)]
    assert duplicates.main(words) == 0
    for row in good:
        row["part"] = "validation" if row["scene"] == "2024-05-02" else "training"
    write(mine, good)
    assert duplicates.main(words) == 3
    found = {
        (int(row["validation_row"]), int(row["validation_col"])) for row in rows_of(tmp_path / "judged" / "leaks.csv")
    }
    assert found >= PLANTED.keys()
    assert len(found) <= 5
    good[0]["part"] = "testing"
    write(mine, good)
    assert duplicates.main(words) == 2
    assert "line 2: part 'testing' is unknown" in capsys.readouterr().err


def write(path, rows) -> None:
    with open(path, "w", newline="") as file:
        writer = csv.DictWriter(file, ["scene", "row", "col", "part"], extrasaction="ignore")
        writer.writeheader()
        writer.writerows(rows)

"""Curation of scenes: one row for each window, lists that name windows, and trainings that leave these out."""

import csv
import json

import numpy as np
import pytest

from cluster.engine import SerialEngine
from jobs import curate
from jobs.config import RunConfig
from jobs.curate_desk import planned_subject
from jobs.parsing import load
from jobs.plan import plan_run
from jobs.recipe_config import DataConfig
from jobs.shell import BAD_INPUT, DONE, INCOMPLETE
from jobs.training import TrainingTask, open_ground
from jobs.training_data import plan_data, scene_data
from tests.jobs.worlds import damage, image, moved, undamaged, world, write_tif
from tiler.labels import IGNORE

TILE = 64
HEIGHT, WIDTH = 150, 210
"""3 x 4 windows: the last row and column are shifted back inside."""


@pytest.fixture(scope="module")
def here(tmp_path_factory):
    """Two scenes, one smaller than a window; in the other a cloud lies over a window, and one is empty."""
    made = world(tmp_path_factory.mktemp("windows"), models=0)
    first, second = image(HEIGHT, WIDTH), image(40, 90, 2)
    first[:, :TILE, TILE : 2 * TILE] = 9800
    first[:, TILE : 2 * TILE, :TILE] = 0
    made.scene("b_small", second, transform=moved(700, 900))
    made.scene("a_wide", first, acquired="2024-05-01T02:00:00Z")
    label = np.full((HEIGHT, WIDTH), 90, np.uint8)
    label[:30, :20] = 10
    label[TILE:, 2 * TILE :] = 10
    write_tif(made.folder / "labels/one.tif", label, nodata=None)
    made.settings |= {"labels": {"files": str(made.folder / "labels/*.tif"), "codes": {10: 1}}}
    return made


@pytest.fixture(scope="module")
def frame(here):
    assert curate.main(["report", here.config]) == DONE
    return table(here.out / "curation/frame.csv")


def table(path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def name_of(row: int, col: int, scene: str = "a_wide") -> str:
    return f"{scene}/{TILE}px_r{row}_c{col}"


def test_the_frame_has_a_row_for_every_window_with_numpys_values(here, frame):
    assert [row["name"] for row in frame] == [
        *(name_of(row, col) for row in range(3) for col in range(4)),
        *(name_of(0, col, "b_small") for col in range(2)),
    ]
    first = image(HEIGHT, WIDTH)
    row = next(row for row in frame if row["name"] == name_of(2, 3))
    window = first[:, HEIGHT - TILE :, WIDTH - TILE :]
    assert float(row["pixel"]) == pytest.approx(window.mean())
    assert float(row["nir_sd"]) == pytest.approx(window[3].std())
    assert float(row["red_max"]) == window[0].max()
    assert (row["height"], row["width"], row["date"][:10], row["source"]) == ("64", "64", "2024-05-01", "SN10")
    small = next(row for row in frame if row["name"] == name_of(0, 1, "b_small"))
    assert (small["height"], small["width"], small["missing_ratio"], small["coverage"]) == ("40", "64", "0", "")
    by_name = {row["name"]: row for row in frame}
    assert float(by_name[name_of(1, 0)]["missing_ratio"]) == 1
    assert float(by_name[name_of(0, 1)]["near_white"]) == 0, "a cloud of 9,800 is no saturated one"
    assert float(by_name[name_of(0, 0)]["coverage"]) == pytest.approx(30 * 20 / TILE**2, rel=1e-6)
    page = (here.out / "curation/report.html").read_text()
    assert all(f"<h3>{title}</h3>" in page for title in ("Samples", "Samples with labels"))
    words = {row["name"]: row["stratum"].split(",")[0] for row in frame}
    assert words[name_of(0, 0)] == "sparse"
    assert words[name_of(0, 2)] == "none"
    assert words[name_of(2, 3)] == "dense"
    assert words[name_of(0, 0, "b_small")] == "unlabelled"
    assert words[name_of(1, 0)] == ""


def test_labels_of_a_window_are_those_of_its_pixels(here, frame):
    windows, _ = planned_subject(load(RunConfig, here.config)).opened()
    row = {tile["id"]: row for row, tile in enumerate(windows.tiles)}
    found = windows.read("label", row[name_of(2, 3)])
    assert (found == 1).sum() == TILE**2 * float(frame[row[name_of(2, 3)]]["coverage"])
    corner = windows.read("label", row[name_of(0, 0)])
    np.testing.assert_array_equal(np.argwhere(corner == 1), np.argwhere(np.ones((30, 20))))
    assert (windows.read("label", row[name_of(0, 0, "b_small")])[40:] == IGNORE).all(), "beyond the scene"


def test_another_engine_order_and_a_second_call_tell_the_same(here, frame, tmp_path, capsys):
    before = (here.out / "curation/frame.csv").read_bytes()
    assert curate.main(["report", here.config, "--set", f"out={tmp_path / 'again'}"]) == DONE
    assert (tmp_path / "again/curation/frame.csv").read_bytes() == before
    subject = planned_subject(load(RunConfig, here.config))
    assert subject.looks_left() == (0, 14)
    lost = next((here.out / "markers/curate").rglob("r1_c2*"))
    lost.unlink()
    assert subject.looks_left()[0] == 1
    capsys.readouterr()
    assert curate.main(["report", here.config, "--dry-run"]) == DONE
    assert "would look at 1 of 14 units" in capsys.readouterr().out
    assert subject.look(SerialEngine(1))
    assert subject.looks_left()[0] == 0


def test_lists_name_windows_and_close_and_trainings_leave_windows_out(here, frame, tmp_path, capsys):
    out = here.out / "curation"
    assert curate.main(["filter", here.config]) == DONE
    empty = {row["id"]: row["rule"] for row in table(out / "0001/removed.csv")}
    assert empty == dict.fromkeys((name_of(1, 0), name_of(2, 0)), "missing_ratio<=0.3"), "the last row is shifted back"
    (tmp_path / "mine.csv").write_text(f"id\n{name_of(0, 1)}\n")
    assert curate.main(["apply", here.config]) == DONE
    assert curate.main(["filter", here.config, "--list", str(tmp_path / "mine.csv")]) == DONE
    assert {row["id"] for row in table(out / "0002/removed.csv")} == {name_of(0, 1)}
    assert curate.main(["apply", here.config]) == DONE
    assert "14 tiles - 2 (filter, version 1) - 1 (filter, version 2) = 11 kept" in capsys.readouterr().out
    kept = out / "kept.csv"
    data = plan_data(DataConfig(run=here.config, tile_px=TILE, curation=str(kept)))
    assert data.left_out == {name_of(1, 0), name_of(2, 0), name_of(0, 1)}
    assert data.tiles(1) == HEIGHT * WIDTH + 40 * 90 - TILE * (HEIGHT - TILE) - TILE**2, "each pixel is of one window"
    task = TrainingTask(
        *("one", "", "", data.ingest(SerialEngine(1)), None, ("red", "mask"), ("industrial",)),
        network={},
        data={"tile_px": 32, "sampling": {}, "split": {"block_px": 16, "fraction": 0.3, "seed": 1}},
        train={},
        threads=1,
        left_out=tuple(data.left_out),
    )
    ground, _, _ = open_ground(task)
    random = np.random.default_rng(0)
    for index in range(300):
        number, box = ground.draw(random, index)
        middle = box.y0 + 16, box.x0 + 16
        assert number or not (middle[0] < TILE and TILE <= middle[1] < 2 * TILE), "around a cloud nothing is drawn"
        label = ground.read((number, box))[1]
        y, x = np.nonzero(label != IGNORE)
        assert number or not ((y + box.y0 < TILE) & (x + box.x0 >= TILE) & (x + box.x0 < 2 * TILE)).any()
    for place in ground.held_back():
        label, box = ground.read_held_back(place)[1], place[1]
        y, x = np.nonzero(label != IGNORE)
        assert place[0] or not ((y + box.y0 < TILE) & (x + box.x0 >= TILE) & (x + box.x0 < 2 * TILE)).any()
    assert json.loads((out / "account.json").read_text())["kept"] == 11


def test_what_is_kept_is_part_of_what_identifies_a_training(here, frame, tmp_path):
    kept = tmp_path / "kept.csv"
    kept.write_text("id\n" + "\n".join(row["name"] for row in frame[1:]) + "\n")

    def identity(**lists) -> tuple[str, ...]:
        return plan_data(DataConfig(run=here.config, tile_px=TILE, **lists)).identity

    gone = tmp_path / "gone.csv"
    gone.write_text(f"id\n{frame[0]['name']}\n")
    assert identity() != identity(curation=str(kept)) == identity(exclude=(str(gone),))
    other = tmp_path / "other.csv"
    other.write_text("id\n" + "\n".join(row["name"] for row in frame) + "\n")
    assert identity(curation=str(other)) == identity(), "a list of all removes nothing"
    with pytest.raises(ValueError, match="no window of the scenes would be left"):
        identity(exclude=(str(other),))
    other.write_text("id\na_wide/32px_r0_c0\n")
    with pytest.raises(ValueError, match="does not hold"):
        identity(curation=str(other))
    run = load(RunConfig, here.config, [f"curation={kept}"])
    assert scene_data(plan_run(run)).left_out == {frame[0]["name"]}
    assert scene_data(plan_run(run), str(gone)).left_out == {row["name"] for row in frame[1:]}


def test_windows_of_a_damaged_scene_are_damaged_and_the_others_are_curated(tmp_path, capsys):
    made = world(tmp_path, models=0)
    made.scene("good", image(130, 200))
    damage(made.scene("bad", image(192, 192, 3), **undamaged()))
    assert curate.main(["report", made.config]) == INCOMPLETE
    rows = table(made.out / "curation/frame.csv")
    assert [row["damaged"] for row in rows] == ["True"] * 9 + ["False"] * 12
    assert "quarantined: ingest/bad" in capsys.readouterr().err
    assert curate.main(["filter", made.config]) == INCOMPLETE
    assert {row["rule"] for row in table(made.out / "curation/0001/removed.csv")} == {"damaged"}


def test_bad_input_is_told(here, capsys):
    assert curate.main(["balance", here.config, "--covers", "0"]) == BAD_INPUT
    assert "--covers 0: ask for one land cover or more" in capsys.readouterr().err

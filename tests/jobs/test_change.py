"""Change between two published maps: files that agree with the two maps, and clear words where they do not compare."""

import csv
import json
import shutil
from datetime import date
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pyogrio
import pytest
import rasterio
import shapely
from rio_cogeo.cogeo import cog_validate

from jobs import map as map_job
from jobs.change import main
from jobs.progress import Progress
from tests.jobs.worlds import World, answering, image, small_cells, world
from tiler.change import GAINED, LOST, NAMES, PERHAPS_GAINED, STABLE, change_of
from tiler.fuse import NO_DATE, Fused
from tiler.grids import Box, Cell, MapGrid
from tiler.map_store import MapStore, create_map_store

GRID = MapGrid("EPSG:32652", (12.0, 10.0))
EXTENT = Box(-100, 440, 60, 560)
"""Four cells of 512 px meet in it."""


def published(folder: Path, logit: np.ndarray, grid: MapGrid = GRID, classes: tuple[str, ...] = ("industrial",)) -> str:
    """Write what a published run leaves of a map; spreads are the logits' sizes."""
    url, logits = str(folder / "mosaic" / "m.zarr"), logit.reshape(len(classes), EXTENT.height, EXTENT.width)
    with small_cells():
        cells = [Cell(row, col) for row in (-1, 0) for col in (0, 1)]
        create_map_store(url, grid, cells, EXTENT, classes)
        store = MapStore(url)
        for cell in cells:
            whole = np.full((len(classes), 512, 512), np.nan, np.float32)
            part = grid.box_of(cell).clip(EXTENT)
            inside = part.shift(-cell.row * 512, -cell.col * 512).slices
            whole[(slice(None), *inside)] = logits[(slice(None), *part.shift(-EXTENT.y0, -EXTENT.x0).slices)]
            seen = ~np.isnan(whole[0])
            days = np.where(seen, 9, NO_DATE).astype(np.int32)
            store.write(cell, Fused(whole, np.abs(whole), seen.astype(np.uint16), days))
    (folder / "map.json").write_text(json.dumps({"key": "k1", "folder": "maps/k1"}))
    record = {
        "map": {"key": "m"},
        "products": {"key": "k1"},
        "created": "2026-01-02",
        "config": {"fuse": {"threshold": 0.5}},
    }
    (folder / "run.json").write_text(json.dumps(record))
    return str(folder)


def table_of(out: Path) -> list[dict[str, str]]:
    return list(csv.DictReader((out / "change.csv").read_text().splitlines()))


def ground() -> tuple[np.ndarray, np.ndarray]:
    """Two dates: one site goes, one stays, one comes, one wavers, one is seen once only."""
    before = np.full((EXTENT.height, EXTENT.width), -0.4, np.float32)
    after = before.copy()
    before[10:30, 10:40], after[10:30, 10:40] = 0.5, 0.5  # stays
    before[60:90, 60:80], after[60:90, 60:80] = 0.9, -0.9  # goes
    before[95:112, 50:100], after[95:112, 50:100] = -0.8, 0.8  # comes, where cells meet
    after[40:44, 100:110] = 0.1  # wavers: a difference of half a logit
    before[130:140, 10:30], after[130:140, 10:30] = np.nan, 0.9
    return before, after


@pytest.fixture(scope="module")
def pair(tmp_path_factory) -> list[str]:
    """Two published runs."""
    folder = tmp_path_factory.mktemp("runs")
    return [published(folder / name, logit) for name, logit in zip(("b", "a"), ground(), strict=True)]


def test_files_say_what_came_and_went(pair, capsys):
    with small_cells():
        assert main([*pair, "--z", "1"]) == 0
    out = Path(pair[1]) / "change"
    assert "gained" in capsys.readouterr().out
    names = {"change.tif", "difference.tif", "change.parquet", "change.fgb", "change.csv", "change.json"}
    assert {path.name for path in out.iterdir()} == names
    with rasterio.open(out / "change.tif") as raster:
        kind = raster.read(1)
        assert tuple(raster.transform)[:6] == GRID.grid_of(EXTENT).transform
        assert raster.tags()["CLASS_2"] == "gained"
    assert (kind[10:30, 10:40] == STABLE).all()
    assert (kind[60:90, 60:80] == LOST).all()
    assert (kind[95:112, 50:100] == GAINED).all()
    assert (kind[40:44, 100:110] == PERHAPS_GAINED).all()
    assert (kind[130:140, 10:30] == 255).all()
    assert np.bincount(kind.ravel(), minlength=256)[[1, 2, 3, 4, 5]].tolist() == [600, 850, 600, 40, 0]
    with rasterio.open(out / "difference.tif") as raster:
        assert raster.descriptions == ("difference", "significance")
        difference = raster.read()
    np.testing.assert_allclose(difference[0, 95, 50], 1.6, rtol=1e-6)
    np.testing.assert_allclose(difference[1, 95, 50], 1.6 / np.hypot(0.8, 0.8), rtol=1e-6)
    for name in ("change.tif", "difference.tif"):
        assert cog_validate(str(out / name), strict=True, quiet=True)[0]

    rows = pq.read_table(out / "change.parquet").to_pylist()
    assert [(row["change"], row["pixels"]) for row in rows] == [("lost", 600), ("gained", 850)]
    gained = rows[1]
    assert gained["probability_before"] == pytest.approx(1 / (1 + np.exp(0.8)), abs=1e-6)
    assert gained["difference"] == pytest.approx(1.6, abs=1e-6)
    table = table_of(out)
    assert [row["region"] for row in table] == ["all"]
    whole = {key: float(value) for key, value in table[0].items() if key != "region"}
    assert whole["gained_m2"] == pytest.approx(gained["area_m2"], rel=1e-9)
    assert whole["net_m2"] == pytest.approx(whole["after_m2"] - whole["before_m2"])
    assert whole["after_m2"] == pytest.approx(sum(whole[f"{n}_m2"] for n in ("stable", "gained", "perhaps_gained")))
    record = json.loads((out / "change.json").read_text())
    assert [run["run"] for run in record["runs"]] == pair
    assert (record["z"], record["hmm"]) == (1.0, None)
    assert set(record["areas_m2"]) == {*NAMES, "unseen"}


def test_a_cell_that_one_map_did_not_see_is_passed_over_and_told_as_unseen(pair, tmp_path, monkeypatch):
    """As sea is; the answer elsewhere is that of maps that saw it."""
    before, _ = ground()
    before[:100, :72] = np.nan  # all of the upper left cell
    half = published(tmp_path / "half", before)
    asked = []
    monkeypatch.setattr("jobs.change_files.change_of", lambda *of: asked.append(of[0].logit.shape) or change_of(*of))
    with small_cells():
        assert main([half, pair[1], "--z", "1", "--out", str(tmp_path / "o")]) == 0
        assert main([*pair, "--z", "1", "--out", str(tmp_path / "whole")]) == 0
    assert asked.count((100, 72)) == asked.count((100, 48)) / 2 == 3
    found, whole = (rasterio.open(tmp_path / name / "change.tif").read(1) for name in ("o", "whole"))
    assert (found[:100, :72] == 255).all()
    np.testing.assert_array_equal(found[100:], whole[100:])
    np.testing.assert_array_equal(found[:100, 72:], whole[:100, 72:])
    areas = [float(table_of(tmp_path / name)[0]["unseen_m2"]) for name in ("o", "whole")]
    assert areas[0] - areas[1] == pytest.approx(100 * 72 * 120, rel=1e-2)  # far off the meridian
    lost = pq.read_table(tmp_path / "o" / "change.parquet", columns=["change", "pixels"]).to_pylist()
    assert [(row["change"], row["pixels"]) for row in lost] == [("lost", 30 * 8), ("gained", 850 - 5 * 22)]


def test_what_is_announced_is_done(pair, tmp_path, monkeypatch):
    ended = []

    class Watched(Progress):
        def __exit__(self, *error):
            ended.append((self.done, self.total))
            super().__exit__(*error)

    monkeypatch.setattr("jobs.change_files.Progress", Watched)
    with small_cells():
        assert main([*pair, "--out", str(tmp_path / "change")]) == 0
    ((done, total),) = ended
    assert done == total > 5


def test_regions_have_rows_and_polygons_their_region(pair, tmp_path, capsys):
    (left, top), (right, bottom) = (
        [float(v) for v in GRID.pixels.xy(np.array(row), np.array(col))]
        for row, col in ((EXTENT.y0, EXTENT.x0), (EXTENT.y1, EXTENT.x1))
    )
    middle = top + 93 / EXTENT.height * (bottom - top)
    boxes = [shapely.box(left, middle, right, top), shapely.box(left, bottom, right, middle)]
    file = tmp_path / "halves.gpkg"
    names = np.array(["north", "south"], object)
    wkb = shapely.to_wkb(np.array(boxes))
    pyogrio.raw.write(file, wkb, [names], ["name"], geometry_type="Polygon", crs="EPSG:32652", driver="GPKG")
    command = [*pair, "--z", "1", "--out", str(tmp_path / "o"), "--regions", str(file), "--region-name", "name"]
    with small_cells():
        assert main(command) == 0
        assert main(command) == 0  # the same again
    table = {row["region"]: row for row in table_of(tmp_path / "o")}
    assert list(table) == ["all", "north", "south"]
    for key in ("gained_m2", "lost_m2", "stable_m2", "unseen_m2"):
        parts = float(table["north"][key]) + float(table["south"][key])
        assert parts == pytest.approx(float(table["all"][key]), rel=1e-9)
    rows = pq.read_table(tmp_path / "o" / "change.parquet").to_pylist()
    assert [(row["change"], row["region"]) for row in rows] == [("lost", "north"), ("gained", "south")]
    assert main([*pair, "--regions", str(file)]) == 2
    assert "--region-name" in capsys.readouterr().err


def test_all_runs_together_hear_no_flicker(tmp_path):
    """A site that one date misses by little is lost between two dates, and not when four judge together."""
    site = np.full((EXTENT.height, EXTENT.width), -3.0, np.float32)
    site[50:90, 40:100] = 3.0
    missed = np.where(site > 0, np.float32(-0.6), site)
    there, absent = published(tmp_path / "there", site), published(tmp_path / "absent", missed)
    runs = [there, there, absent, there, absent]
    words = ["--z", "0", "--out", str(tmp_path / "o")]
    kinds = []
    for command in ([runs[0], runs[4], *words], [*runs, "--hmm", *words]):
        with small_cells():
            assert main(command) == 0
        with rasterio.open(tmp_path / "o" / "change.tif") as raster:
            kinds.append(np.bincount(raster.read(1).ravel(), minlength=256))
    assert (kinds[0][LOST], kinds[1][LOST], kinds[1][STABLE]) == (2400, 0, 2400)
    assert json.loads((tmp_path / "o" / "change.json").read_text())["hmm"]["gain"] == 0.02


def test_what_cannot_be_compared_is_told(pair, tmp_path, capsys):
    (before, after), (one, other) = ground(), pair
    coarse = published(tmp_path / "g", after, MapGrid("EPSG:32652", (12.0, 20.0)))
    korea = published(tmp_path / "k", after, MapGrid("EPSG:5179", (12.0, 10.0)))
    classes = published(tmp_path / "c", np.stack([before, after]), classes=("background", "industrial"))
    half = world(tmp_path / "half")
    half.scene("only", image(60, 80))
    (half.out / "logs" / "x").mkdir(parents=True)
    (half.out / "logs" / "log.txt").write_text("")
    torn, gone = (Path(shutil.copytree(other, tmp_path / name)) for name in ("torn", "gone"))
    (torn / "map.json").write_text(json.dumps({"key": "k2", "folder": "maps/k2"}))
    (gone / "mosaic" / "m.zarr").rename(gone / "mosaic" / "n.zarr")
    vast = [shutil.copytree(other, tmp_path / name) for name in ("vast", "vaster")]
    for place, folder in enumerate(vast):
        numbers = {"seen_px": 10 ** (15 + place)}
        (folder / "map.json").write_text(json.dumps({"key": "k1", "folder": "maps/k1", "numbers": numbers}))
    for words, told in (
        ([one, coarse], "10 x 12"),
        ([one, korea], "EPSG:5179"),
        ([one, classes], "classes"),
        ([one], "1 runs"),
        ([one, other, one], "--hmm"),
        ([one, str(tmp_path / "nowhere")], "not the folder of a run"),
        ([one, str(half.out)], "has no published map yet; run `sandan map`"),
        ([one, str(torn)], "run `sandan publish` again"),
        ([one, str(gone)], "run `sandan map` again"),
        ([one, other, "--z", "-1"], "--z -1"),
        ([one, other, "--hmm", "--gain", "0"], "gain"),
        ([one, other, "--out", "s3://bucket/x"], "local folder"),
        ([str(folder) for folder in vast], "difference.tif takes about 8000.0 TB"),
    ):
        assert main(words) == 2, words
        said = capsys.readouterr().err
        assert told in said, (words, said)
        assert said.count("\n") == 1
    assert not (tmp_path / "g" / "change").exists()


def test_runs_of_sandan_map_are_compared_as_they_lie_there(tmp_path, capsys):
    """Named by folder and by configuration; the regions are those of the later run."""
    ground = shapely.to_geojson(shapely.box(120, 30, 135, 45))
    (tmp_path / "all.geojson").write_text(f'{{"type": "Feature", "properties": {{"n": "land"}}, "geometry": {ground}}}')
    runs, regions = [], {"file": str(tmp_path / "all.geojson"), "name": "n"}
    for seed in (0, 1):
        here = world(tmp_path / str(seed), outputs=["cog"], regions=regions)
        here.scene("one-20240105", image(70, 90, seed))
        with answering():
            assert map_job.main(here.command()) == 0
        runs.append(here)
    before, after = (class_map(here) for here in runs)
    assert main([str(runs[0].out), runs[1].config, "--z", "0", "--least", "0"]) == 0
    capsys.readouterr()
    out = runs[1].out / "change"
    with rasterio.open(out / "change.tif") as raster:
        kind = raster.read(1)
    np.testing.assert_array_equal(kind == GAINED, (before == 0) & (after == 1))
    np.testing.assert_array_equal(kind == LOST, (before == 1) & (after == 0))
    np.testing.assert_array_equal(kind == 255, (before == 255) | (after == 255))
    assert (kind == GAINED).any()
    rows = table_of(out)
    assert [row["region"] for row in rows] == ["all", "land"]
    assert float(rows[0]["gained_m2"]) == pytest.approx(float(rows[1]["gained_m2"]), rel=1e-9)
    dates = {(row["seen_before"], row["seen_after"]) for row in pq.read_table(out / "change.parquet").to_pylist()}
    assert dates == {(date(2024, 1, 5), date(2024, 1, 5))}


def class_map(here: World) -> np.ndarray:
    with rasterio.open(here.out / "map" / "class.tif") as raster:
        return raster.read(1)

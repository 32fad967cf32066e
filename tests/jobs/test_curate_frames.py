"""Curation of frames: one row for each, lists that name them, and embedders that leave them out."""

import csv
from pathlib import Path

import numpy as np
import pytest
import yaml

from jobs import curate
from jobs.config import RunConfig
from jobs.curate_versions import digest_of
from jobs.embed_recipe_config import EmbedDataConfig, EmbedRecipeConfig
from jobs.embedding_data import open_items, plan_embedding_data
from jobs.frames import plan_frames
from jobs.ingest import main as ingest
from jobs.parsing import load
from jobs.shell import BAD_INPUT, DONE
from jobs.train_embedder import plan_embedder
from tests.jobs.embedding_recipes import EmbeddingRecipe
from tests.tiler.frames_for_tests import write_pngs
from tiler.frame_store import FrameStore

BANDS = ("ir1", "swir", "wv")
START = np.datetime64("2011-03-01T00:00", "s")
HOURS = np.array([*range(0, 60, 3), *range(72, 90, 3), 3 * 70, 3 * 130])
WHITE, COPY, OF = 4, 9, 2
"""A frame that is white all over, and one that is a copy of another."""


def times() -> np.ndarray:
    return START + HOURS.astype("timedelta64[h]")


def names(*places: int) -> list[str]:
    return [f"coms/{times()[place]}" for place in places]


@pytest.fixture(scope="module")
def series(tmp_path_factory):
    folder = tmp_path_factory.mktemp("frames")
    images = np.random.default_rng(2).integers(20, 200, (len(HOURS), 3, 6, 9), np.uint8)
    images[WHITE], images[COPY] = 255, images[OF]
    write_pngs(folder / "files", images, times(), BANDS)
    frames = {"files": str(folder / "files"), "bands": ["ir", "swir", "wv"], "series": "coms", "side_px": 5}
    config = {"out": str(folder / "out"), "frames": frames, "engine": {"kind": "serial"}}
    (folder / "run.yaml").write_text(yaml.safe_dump(config))
    assert curate.main(["report", str(folder / "run.yaml")]) == DONE
    store = FrameStore(plan_frames(load(RunConfig, str(folder / "run.yaml"))).url)
    return folder, store.read(0, len(store))[0]


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_the_frame_has_a_row_for_every_frame_with_numpys_values(series):
    folder, images = series
    found = rows(folder / "out/curation/frame.csv")
    assert [row["name"] for row in found] == names(*range(len(HOURS)))
    for row, image, time in zip(found, images, times(), strict=True):
        assert (row["width"], row["height"], row["date"]) == ("5", "5", str(time))
        assert float(row["pixel"]) == pytest.approx(image.mean())
        for band, plane in zip(("ir", "swir", "wv"), image, strict=True):
            assert float(row[f"{band}_mean"]) == pytest.approx(plane.mean())
            assert float(row[f"{band}_sd"]) == pytest.approx(plane.std())
        assert float(row["missing_ratio"]) == 0
    assert {row["name"] for row in found if row["near_white"] == "1"} == set(names(WHITE))
    same = [row["name"] for row in found if row["exact_group"] == found[OF]["exact_group"]]
    assert same == names(OF, COPY)
    assert (folder / "out/curation/report.html").stat().st_size > 5_000


def test_lists_name_frames_and_embedders_leave_them_out(series, tmp_path, capsys):
    folder, _ = series
    run = str(folder / "run.yaml")
    (tmp_path / "white.csv").write_text("id\n" + names(WHITE)[0] + "\n")
    assert curate.main(["filter", run, "--duplicates", "exact", "--list", str(tmp_path / "white.csv")]) == DONE
    removed = {row["id"] for row in rows(folder / "out/curation/0001/removed.csv")}
    assert removed == {names(WHITE)[0], names(COPY)[0]}
    assert curate.main(["apply", run]) == DONE
    assert f"{len(HOURS)} tiles - 2 (filter, version 1) = {len(HOURS) - 2} kept" in capsys.readouterr().out

    plain = plan_embedding_data(EmbedDataConfig(run=run))
    lists = (str(folder / "out/curation/0001/removed.csv"),)
    listed = plan_embedding_data(EmbedDataConfig(run=run, exclude=lists))
    assert (plain.left_out, listed.left_out) == (frozenset(), removed)
    assert listed.identity == (*plain.identity, digest_of(removed))
    settings = yaml.safe_load((folder / "run.yaml").read_text())
    (tmp_path / "run.yaml").write_text(yaml.safe_dump(settings | {"curation": str(folder / "out/curation/kept.csv")}))
    assert plan_embedding_data(EmbedDataConfig(run=str(tmp_path / "run.yaml"))).left_out == removed
    assert ingest([run]) == DONE
    assert plan_embedding_data(EmbedDataConfig(run=plain.parts[0].url, exclude=lists)).left_out == removed
    ground = open_items("frames", [plain.parts[0].url], (), 1.0, 64, listed.left_out)
    kept = [place for place in range(len(HOURS)) if place not in (WHITE, COPY)]
    assert (ground.times == times()[kept]).all()


def test_a_list_of_other_frames_is_refused(series, tmp_path):
    (tmp_path / "other.csv").write_text("id\ncoms/1999-01-01T00:00:00\n")
    with pytest.raises(ValueError, match="names 1 tiles that the data set does not hold"):
        plan_embedding_data(EmbedDataConfig(run=str(series[0] / "run.yaml"), exclude=(str(tmp_path / "other.csv"),)))


def test_what_is_left_out_is_part_of_a_recipes_key_and_its_path_is_not(tmp_path):
    recipe = EmbeddingRecipe(tmp_path, frames=60)

    def key(*lists: str) -> str:
        settings = recipe.settings | {"data": recipe.settings["data"] | {"exclude": list(lists)}}
        return plan_embedder(EmbedRecipeConfig.model_validate(settings)).key

    for name in ("one.csv", "two.csv"):
        (tmp_path / name).write_text(f"id\ncoms/{recipe.times[3]}\n")
    assert key(str(tmp_path / "one.csv")) == key(str(tmp_path / "two.csv")) != key()


def test_files_that_are_not_there_start_nothing(tmp_path, capsys):
    path = tmp_path / "weather.yaml"
    path.write_text(yaml.safe_dump({"out": str(tmp_path / "out"), "frames": {"files": "nowhere/*.png"}}))
    assert curate.main(["report", str(path)]) == BAD_INPUT
    assert "nowhere" in capsys.readouterr().err

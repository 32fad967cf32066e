"""Data sets of imagery whose tiles are pre-processed: other stores, and networks that answer for such tiles alone."""

from pathlib import Path

import numpy as np
import pytest
import yaml

from jobs import evaluate, ingest, predict
from jobs.bundles import fitting_card
from jobs.config import RunConfig
from jobs.datasets import plan_dataset
from jobs.parsing import load
from jobs.shell import BAD_INPUT, DONE
from models.card import CARD_FILE
from tests.jobs.worlds import write_bundle
from tests.tiler.aihub_for_tests import SIDE, write_delivery
from tiler.imagery_preparation import imagery_preparation
from tiler.sensors import load_sensor
from tiler.tile_store import TileStore

LIGHT = "dataset.preprocess=[{light_removal: {level: 40}}]"


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("prepared")
    write_delivery(folder / "in")
    bundle = write_bundle(folder / "net")
    card = (folder / "net" / CARD_FILE).read_text()
    write_bundle(folder / "flat/net")
    (folder / "flat/net" / CARD_FILE).write_text(card.replace('"SN10"', '"SN10.light_removal"'))
    settings = {
        "out": str(folder / "out"),
        "sensor": "SN10",
        "dataset": {"root": str(folder / "in"), "tile_px": SIDE, "missing_limit": 1},
        "models": [bundle],
        "infer": {"precision": "fp32", "batch": 2, "tta": "none"},
        "engine": {"kind": "serial", "threads_per_worker": 1},
    }
    (folder / "run.yaml").write_text(yaml.safe_dump(settings))
    return folder / "run.yaml"


def changed(run: Path, *changes: str) -> list[str]:
    return [str(run), *(word for change in changes for word in ("--set", change))]


def test_prepared_tiles_are_another_store_whose_networks_are_its_own(run, capsys):
    plain, flat = (plan_dataset(load(RunConfig, str(run), changes)) for changes in ([], [LIGHT]))
    assert plain.name != flat.name
    other = plan_dataset(load(RunConfig, str(run), ["dataset.preprocess=[light_removal]"]))
    assert other.name not in (plain.name, flat.name), "settings count"
    assert ingest.main(changed(run)) == DONE
    assert ingest.main(changed(run, LIGHT)) == DONE
    before, after = TileStore(plain.url), TileStore(flat.url)
    assert (after.sensor.name, after.sensor.bands) == ("SN10.light_removal", before.sensor.bands)
    prepare, _ = imagery_preparation([{"light_removal": {"level": 40}}], load_sensor("SN10"))
    for row in range(len(before.tiles)):
        valid = before.read("valid", row)
        np.testing.assert_array_equal(after.read("valid", row), valid)
        np.testing.assert_array_equal(after.read("label", row), before.read("label", row))
        np.testing.assert_array_equal(after.read("image", row), prepare(before.read("image", row), valid))
    assert (after.read("image", 0) != before.read("image", 0)).any()
    np.testing.assert_array_equal(after.facts("mean"), before.facts("mean"), "facts of files are of files")
    assert (after.facts("sums") != before.facts("sums")).any(), "those of what is stored are of that"

    flat_net = f"models=[{run.parent / 'flat/net'}]"
    for words, told in (
        (changed(run, LIGHT), "learnt from tiles with `preprocess` [], these have ['light_removal']"),
        (changed(run, flat_net), "learnt from tiles with `preprocess` ['light_removal'], these have []"),
    ):
        for job in (predict, evaluate):
            capsys.readouterr()
            assert job.main(words) == BAD_INPUT
            assert told in capsys.readouterr().err
    assert predict.main(changed(run, LIGHT, flat_net, "predict.masks=false")) == DONE


def test_scenes_are_not_prepared_and_such_networks_do_not_map_them(run):
    sensor = load_sensor("SN10")
    path, offered = str(run.parent / "flat/net"), (*sensor.bands, "mask")
    with pytest.raises(ValueError, match=r"\['light_removal'\], these have \[\]; .*scenes are not prepared"):
        fitting_card(path, sensor, offered)
    assert fitting_card(str(run.parent / "net"), sensor, offered).sensor == "SN10"


def test_operations_of_photos_are_refused_before_anything_is_read(run, tmp_path, capsys):
    for name, told in (("colour", "are of photos"), ("lightremoval", "did you mean 'light_removal'")):
        words = changed(run, f"out={tmp_path / 'new'}", f"dataset.preprocess=[{name}]")
        assert ingest.main(words) == BAD_INPUT
        assert told in capsys.readouterr().err
    assert not (tmp_path / "new").exists()

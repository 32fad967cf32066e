"""Judging image by image: on any engine what plain code counts, once; and rules beside the networks."""

import numpy as np
import pytest
import torch

from jobs.bundles import read_bundles
from jobs.config import EngineConfig, RunConfig
from jobs.datasets import plan_dataset
from jobs.parsing import parse
from jobs.runner import engine_of
from jobs.scratch import SCALES, Experiment, world_dataset
from jobs.scratch_judging import CHANNELS, judge_networks, judge_rules, label_of, source_counts
from jobs.scratch_panel import chosen_photos, prediction_panel, titles_of, variant_panel
from models.bundle import bundle_files, load_files
from models.card import Card
from models.mask_scores import ImageCounts
from models.networks import NetworkSpec
from models.weights import build_with_weights
from tiler.synthetic.scratches import ScratchWorld, write_scratches
from tiler.tile_store import TileStore

ENGINE = {"kind": "serial", "threads_per_worker": 1}
TEMPERATURE = 0.5


def bundle(folder, name: str, seed: int) -> str:
    """Write a network with weights of its own."""
    spec = NetworkSpec(architecture="unet_classic", width=2, in_channels=3)
    network, _ = build_with_weights(spec, f"random:{seed}", offset=(100.0,) * 3, scale=(50.0,) * 3, channels=CHANNELS)
    with torch.no_grad():
        network.network.head.bias += -0.3
    card = Card(
        name=name,
        architecture="unet_classic",
        encoder=None,
        channels=CHANNELS,
        sensor="RGB",
        offset=(100.0,) * 3,
        scale=(50.0,) * 3,
        classes=("scratch",),
        options=spec.options(),
        metrics={},
        training_data="none",
        split={},
        weights=f"random:{seed}",
        temperature=TEMPERATURE,
    )
    (folder / name).mkdir()
    for file, data in bundle_files(network, card).items():
        (folder / name / file).write_bytes(data)
    return str(folder / name)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    """Ingest twelve photos of 64 px."""
    folder = tmp_path_factory.mktemp("judged")
    write_scratches(ScratchWorld(4, 64, (4, 8)), folder / "data")
    experiment = Experiment(folder, world_dataset(folder / "data"), SCALES["tiny"], 0, ENGINE, "company")
    values = experiment.run_values("rgb")
    values["dataset"] |= {"side_px": 64, "split": {"validation": 0.2, "test": 0.3, "seed": 2}}
    planned = plan_dataset(parse(RunConfig, values, "rgb"))
    assert planned.run() == 0
    return planned


@pytest.fixture(scope="module")
def judged(dataset, tmp_path_factory):
    """Judge two networks."""
    folder = tmp_path_factory.mktemp("bundles")
    bundles = [bundle(folder, "one", 1), bundle(folder, "two", 2)]
    with engine_of(EngineConfig(**ENGINE)) as engine:
        return bundles, judge_networks(engine, dataset, bundles), judge_networks(engine, dataset, bundles)


def test_networks_are_judged_on_what_validates_and_tests_and_counted_once(dataset, judged):
    _, (images, failed), again = judged
    store = TileStore(dataset.url)
    assert failed == 0
    assert (images, failed) == again
    assert {image.split for image in images} == {"validation", "test"}
    expected = {tile["id"]: tile["split"] for tile in store.tiles if tile["split"] != "train"}
    assert {image.id: image.split for image in images} == expected
    assert set(images[0].counts) == {"one", "two"}


def test_counts_are_those_of_the_network_without_its_temperature(dataset, judged):
    bundles, (images, _), _ = judged
    _, network = load_files(read_bundles(bundles)[1])
    store = TileStore(dataset.url)
    for image in images:
        row = next(r for r, tile in enumerate(store.tiles) if tile["id"] == image.id)
        with torch.no_grad():
            logit = network.eval()(torch.from_numpy(store.network_input(row, CHANNELS))[None])[0, 0].numpy()
        plain, found = ImageCounts.of(label_of(store, row), logit), image.counts["two"]
        assert (found.seen_px, found.truth_px) == (plain.seen_px, plain.truth_px)
        assert abs(found.found_px - plain.found_px) <= 2  # pixels on the threshold
        assert found.probability == pytest.approx(plain.probability, rel=1e-4)
        assert found.cross_entropy == pytest.approx(plain.cross_entropy, rel=1e-4)


def test_rules_are_judged_on_what_tests_alone(dataset):
    found = judge_rules(dataset)
    assert {image.split for image in found} == {"test"}
    for image in found:
        assert list(image.counts)[:2] == ["nothing", "everything"]
        assert image.counts["nothing"].found_px == 0
        assert image.counts["everything"].found_px == image.counts["everything"].seen_px
        assert {"bright", "Canny"} <= set(image.counts)


def test_photos_are_counted_by_source_and_part(dataset):
    rows = source_counts(dataset)
    assert sum(row["photos"] for row in rows) == 12
    assert {row["source"] for row in rows} == {"company", "public"}
    store = TileStore(dataset.url)
    labels = [label_of(store, r) for r, tile in enumerate(store.tiles) if tile["source"] == "public"]
    found = sum(row["with scratches"] for row in rows if row["source"] == "public")
    assert found == sum(bool((label == 1).any()) for label in labels)
    assert all(0 <= row["scratched pixels"] < 0.2 for row in rows)


def test_pictures_show_photos_with_scratches(dataset, judged):
    bundles, (images, _), _ = judged
    ids = chosen_photos(images, "test")
    assert 0 < len(ids) <= 4
    truth = {image.id: image.counts["one"].truth_px for image in images}
    assert all(truth[name] for name in ids)
    store = TileStore(dataset.url)
    stores = dict.fromkeys(("rgb", "gray", "no-light"), store)
    named = dict.fromkeys(titles_of("F").values(), bundles[0])
    assert prediction_panel(stores, named, "F", ids[:1]).startswith(b"\x89PNG")
    assert variant_panel(stores, ids[:1]).startswith(b"\x89PNG")
    assert list(titles_of("F")) == [
        "BCE",
        "U-Net (initial)",
        "U-Net (no-light)",
        "DeepLabV3",
        "U-Net (best)",
        "U-Net3Plus",
    ]


def test_labels_without_a_pixel_are_not_labelled(dataset):
    store = TileStore(dataset.url)
    label = label_of(store, 0)
    assert set(np.unique(label)) <= {0, 1, 255}

"""Infer: what is kept of each window is the formula of the design, for any ensemble, in any order."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
import rasterio
import torch
from affine import Affine

from cluster.engine import SerialEngine
from jobs import infer as job
from jobs.config import RunConfig
from jobs.decisions import decide
from jobs.infer import complete, estimate, infer, main, plan_infer
from jobs.ingest import ingest
from jobs.parsing import load
from jobs.plan import LogitPlan, Run, plan_run
from models.bundle import load_bundle
from models.card import Card
from models.networks import NetworkSpec, SegmentationNetwork
from models.predict import Ensemble
from tests.jobs.worlds import (
    CHANNELS,
    ENCODER,
    INFER,
    ORIGIN,
    UTM52,
    ShuffledEngine,
    Stand,
    World,
    answering,
    files_below,
    image,
    layers,
    make,
    moved,
    rounding,
    world,
    write_bundle,
    write_tif,
)
from tests.windows import window_of
from tiler.fusion import resample
from tiler.grids import Box, PixelGrid
from tiler.logit_store import LogitStore
from tiler.scene_store import SceneStore


def inferred(here: World, engine=None, *changes: str) -> tuple[Run, list[LogitPlan]]:
    """Run Ingest and Infer."""
    run = plan_run(load(RunConfig, here.config, changes))
    with engine or SerialEngine(1) as engine:
        ingest(run, engine)
        precision = decide(run, engine)
        plans = list(run.logits(precision))
        outcome = infer(run, engine, plans, precision)
    assert not outcome.failed
    return run, plans


def stores(run: Run, plan: LogitPlan) -> tuple[SceneStore, LogitStore]:
    return SceneStore(run.url("ingest", plan.source.name)), LogitStore(run.url("infer", plan.name))


def by_hand(bundles: list[str], tile: np.ndarray, flips: bool) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation over networks and views, one tile, one network, one view at a time, in float64."""
    answers = []
    for path in bundles:
        card, network = load_bundle(Path(path))
        chosen = tile[[CHANNELS.index(name) for name in card.channels]]
        for axes in [(), (2,), (1,), (1, 2)] if flips else [()]:
            with torch.inference_mode():
                logits = network(torch.tensor(np.flip(chosen, axes).copy())[None])[0].numpy()
            answers.append(np.flip(logits, axes).astype(np.float64))
    return np.mean(answers, axis=0), np.std(answers, axis=0)


@pytest.mark.parametrize("tta", ["none", "flips4"])
@pytest.mark.parametrize("networks", [1, 2])
def test_mean_logit_and_spread_are_those_of_the_formula(tmp_path, networks, tta):
    """The second network has other channels, in another order; the scene has a hole and hangs over its last windows."""
    here = world(tmp_path, models=0, infer=INFER | {"tta": tta})
    here.settings["models"] = [
        write_bundle(tmp_path / "all", 1),
        write_bundle(tmp_path / "few", 2, channels=("nir", "red")),
    ][:networks]
    array = image(83, 50)
    array[:, 20:40, 10:30] = 0
    here.scene("only", array)
    run, (plan,) = inferred(here)
    scene, logits = stores(run, plan)
    assert (logits.lattice.rows, logits.lattice.cols) == (2, 1)
    for place in ((0, 0), (1, 0)):
        tile = scene.network_input(logits.lattice.window(*place))
        mean, spread = by_hand(here.settings["models"], tile, tta == "flips4")
        found = window_of(logits, *place).astype(np.float32)
        assert np.ptp(mean) > 0.5
        assert (np.abs(found[:1] - mean) <= rounding(mean)).all()
        assert (np.abs(found[1:] - spread) <= rounding(spread)).all()
        assert spread.max() > 0.05 or (networks == 1 and tta == "none")


def test_what_the_network_sees_of_a_missing_pixel(tmp_path):
    """The scene's median in every band, and 1 in the mask; 0 there where the pixel is valid."""
    array = image(70, 90)
    array[:, 5:9, 60:] = 0
    here = world(tmp_path)
    here.scene("only", array)
    seen = []

    class Watching(Stand):
        def predict(self, tiles):
            seen.append(tiles)
            return np.zeros((len(tiles), 1, 64, 64), np.float32), np.zeros((len(tiles), 1, 64, 64), np.float32)

    with answering(Watching()):
        run, (plan,) = inferred(here)
    _, logits = stores(run, plan)
    valid = (array != 0).all(axis=0)
    medians = [np.median(band[valid]) for band in array]
    assert len(seen) == logits.lattice.rows * logits.lattice.cols == 4
    box = logits.lattice.window(0, 1)
    (tile,) = seen[1]
    hole = ~valid[box.slices]
    np.testing.assert_array_equal(tile[-1], hole)
    np.testing.assert_array_equal(tile[:-1, ~hole], array[(slice(None), *box.slices)][:, ~hole])
    for band, median in zip(tile[:-1], medians, strict=True):
        assert np.unique(band[hole]).size == 1
        assert band[hole][0] == pytest.approx(median, rel=0.01)  # from a histogram


def test_a_window_without_a_valid_pixel_costs_nothing(tmp_path):
    array = image(64, 256)
    array[:, :, 64:160] = 0  # windows begin at 0, 32, 64, 96...
    here = world(tmp_path)
    here.scene("only", array)
    with answering():
        run, plans = inferred(here)
    facts = json.loads(run.storage.get("stages/infer.json"))
    assert (facts["units"], facts["windows"]) == (7, 5)
    _, logits = stores(run, plans[0])
    assert not window_of(logits, 0, 2).any()
    assert window_of(logits, 0, 1).any()


@pytest.mark.parametrize("seed", [1, 2])
def test_any_order_leaves_the_same_bytes(tmp_path, seed):
    """Of a scene with more than 64 windows, so that shards hold 4 x 4 of them and the last ones are padded."""
    arrays = []
    for number, engine in enumerate((SerialEngine(1), ShuffledEngine(seed))):
        here = world(tmp_path / str(number), infer=INFER | {"tile_px": 32, "overlap_px": 0, "batch": 5})
        here.scene("only", image(300, 200, seed))
        run, (plan,) = inferred(here, engine)
        _, logits = stores(run, plan)
        assert (logits.lattice.rows, logits.lattice.cols, logits.lattice.shard_windows) == (10, 7, 4)
        arrays.append(np.asarray(logits.group["logits"][...]))
    np.testing.assert_array_equal(arrays[0], arrays[1])
    assert arrays[0].any()


def test_batch_and_shards_do_not_show(tmp_path):
    """Windows meet the network alone or in company: the same logits."""
    found = []
    for batch in (1, 7):
        here = world(tmp_path / str(batch), infer=INFER | {"tile_px": 32, "overlap_px": 0, "batch": batch})
        here.scene("only", image(300, 230))
        run, (plan,) = inferred(here)
        _, logits = stores(run, plan)
        assert logits.lattice.shard_windows == 4
        found.append([window_of(logits, r, c).astype(np.float32) for r in range(10) for c in range(8)])
    one, seven = np.stack(found[0]), np.stack(found[1])
    assert (np.abs(one - seven) <= rounding(one)).all()


def test_a_network_that_answers_nan_is_a_fault_of_its_window_alone(tmp_path, capsys, monkeypatch):
    array = image(64, 128)

    class Faulty(Stand):
        def predict(self, tiles):
            answer = np.full((len(tiles), 1, 64, 64), 1.0, np.float32)
            second = (tiles[:, 0] == array[0, :, 32:96]).all(axis=(1, 2))
            answer[second, 0, 3, 5] = np.nan
            return answer, np.zeros_like(answer)

    here = world(tmp_path)
    here.scene("only", array)
    run = plan_run(load(RunConfig, here.config))
    ingest(run, SerialEngine(1))
    with answering(Faulty()):
        assert main(here.command()) == 3
    told = capsys.readouterr()
    window = (
        r"quarantined: infer/only-\w+/window_r0_c1: pixels \[0, 64\) x \[32, 96\): the networks answered NaN in fp32"
    )
    assert len(re.findall(window, told.err)) == 1
    assert "1 of 1 scenes" in told.out
    _, logits = stores(run, run.logits(decide(run, None))[0])
    assert window_of(logits, 0, 1) is None
    for place in (0, 2):
        assert (window_of(logits, 0, place)[0] == 1.0).all()
    monkeypatch.setattr(SerialEngine, "run", lambda *_: pytest.fail("nothing is left to run"))
    assert main(here.command()) == 3
    assert len(re.findall(window, capsys.readouterr().err)) == 1


def test_infer_before_ingest_is_refused(tmp_path, capsys):
    here = world(tmp_path)
    here.scene("first", image(64, 90))
    here.scene("second", image(64, 70), transform=moved(3, 2))
    assert main(here.command()) == 2
    told = capsys.readouterr().err
    assert "['first', 'second'] are not ingested" in told
    assert told.count("\n") == 1
    assert not here.out.exists()


def test_the_job_infers_and_an_unchanged_rerun_does_nothing(tmp_path, monkeypatch, capsys):
    here = world(tmp_path)
    here.scene("only", image(70, 90))
    run = plan_run(load(RunConfig, here.config))
    ingest(run, SerialEngine(1))
    before = plan_infer(load(RunConfig, here.config)).estimates()[0]
    assert (before.units, before.done) == (4, 0)
    with answering():
        assert main(here.command()) == 0
    facts = json.loads(run.storage.get("stages/infer.json"))
    assert facts["bytes_written"] == before.write_bytes == 4 * 2 * 64 * 64 * 2
    after = estimate(run)
    assert (after.units, after.done, after.read_bytes, after.write_bytes) == (4, 4, 0, 0)
    kept = files_below(here.out)
    monkeypatch.setattr(SerialEngine, "run", lambda *_: pytest.fail("nothing is left to run"))
    assert main(here.command()) == 0
    assert files_below(here.out) == kept
    assert capsys.readouterr().out.count("1 of 1 scenes inferred") == 2


def test_the_estimate_counts_the_windows_of_the_shards_that_are_left(tmp_path):
    """Of a scene of 10 x 7 windows in shards of 4 x 4, the last of which hold 2 x 3."""
    here = world(tmp_path, infer=INFER | {"tile_px": 32, "overlap_px": 0})
    here.scene("b", image(300, 200))
    here.scene("a", image(40, 50, 2), transform=moved(900, 20))
    with answering():
        run, plans = inferred(here)
    by_id = {plan.source.scene.id: plan for plan in plans}
    assert [len(by_id[i].shards()) for i in "ab"] == [4, 3 * 2]
    for unit in ("r0_c0", "r2_c1"):
        run.storage.delete(f"markers/infer/{by_id['b'].name}/{unit}.json")
    found = estimate(run)
    assert (found.units, found.done) == (10, 8)
    assert found.write_bytes == (4 * 4 + 2 * 3) * 32 * 32 * 2 * 2
    assert complete(run, plans) == [by_id["a"]]
    changed = plan_run(load(RunConfig, here.config, ["infer.tta=flips4"]))
    assert estimate(changed).write_bytes == (10 * 7 + 2 * 2) * 32 * 32 * 2 * 2


def test_stores_of_finished_scenes_are_not_touched_again(tmp_path, monkeypatch):
    here = world(tmp_path)
    here.scene("a", image(70, 90))
    here.scene("b", image(40, 50, 2), transform=moved(900, 20))
    with answering():
        run, plans = inferred(here)
        run.storage.delete(f"markers/infer/{plans[1].name}/r0_c0.json")
        made = []
        monkeypatch.setattr(job, "make_logit_store", lambda run, plan: made.append(plan.name))
        assert infer(run, SerialEngine(1), plans, decide(run, None)).facts["units"] == 1
    assert made == [plans[1].name]


AIR_PLACE = Affine(300.0, 0.0, ORIGIN.c - 700.0, 0.0, -250.0, ORIGIN.f + 600.0)


def airy(folder: Path, windows: tuple[int, int] = (64, 32), models: list[str] | None = None) -> World:
    """Two scenes; the first has AIR with holes over most of it, the second has none."""
    here = world(folder, models=0, infer=INFER | {"tile_px": windows[0], "overlap_px": windows[1]})
    array = image(290, 230)  # 10 x 8 windows of 32 px: shards of 4 x 4
    array[:, 50:80, 60:90] = 0
    here.scene("a", array)
    here.scene("b", image(50, 40, 2), transform=moved(900, 20))  # smaller than a window
    air = np.random.default_rng(5).uniform(10, 90, (6, 9, 10)).astype("float32")
    air[2, 3:5, 4:6] = np.nan
    write_tif(folder / "air" / "a.tif", air, transform=AIR_PLACE, nodata=None)
    here.settings["modalities"] = [{"sensor": "AIR", "files": f"{folder}/air/{{id}}.tif"}]
    here.settings["models"] = models or [write_bundle(folder / "air2", 1, channels=("air2",))]
    return here


def reading_air(offset: float, scale: float) -> Ensemble:
    """A network of one channel whose logit is that channel, scaled."""
    inner = torch.nn.Conv2d(1, 1, 1)
    torch.nn.init.ones_(inner.weight)
    torch.nn.init.zeros_(inner.bias)
    spec = NetworkSpec(architecture="unet", encoder=ENCODER, in_channels=1)
    network = SegmentationNetwork(spec, inner, torch.tensor([offset]), torch.tensor([scale]))
    facts = {"architecture": "unet", "encoder": ENCODER, "sensor": "SN10", "classes": ("industrial",)}
    facts |= {"training_data": "none", "weights": "none"}
    card = Card(name="air2", channels=("air2",), offset=(offset,), scale=(scale,), **facts)
    return Ensemble([(card, network)], (*CHANNELS, "air2"), tta="flips4", precision="fp32", batch=1)


@pytest.mark.parametrize("windows", [(64, 32), (96, 0), (32, 0)])
def test_a_network_of_a_coarse_channel_maps_the_resampled_raster(tmp_path, windows):
    """However the scene is cut, in any order; what is missing is the training mean, whose logit is 0."""
    here = airy(tmp_path, windows)
    with answering(reading_air(40.0, 8.0)):
        store = make(here, ShuffledEngine(windows[0]))
    first = plan_run(load(RunConfig, here.config)).scenes[0]
    with rasterio.open(tmp_path / "air" / "a.tif") as file:
        source, air = PixelGrid(UTM52, tuple(file.transform)[:6], 9, 10), file.read()
    fine = resample(air, source, first.scene.grid, first.scene.grid.box)[2]
    assert np.isnan(fine).any()
    logit = np.where(np.isnan(fine), 0.0, (fine - 40) / 8)
    logit[50:80, 60:90] = np.nan
    found = np.full((950, 230), np.nan)
    found[:290], found[900:, 20:60] = logit, 0.0
    grid = store.grid.pixels
    row, col = (round(v) for v in grid.offset_of(first.scene.grid))
    whole = layers(store)["logit"]
    at = Box(row, col, row + 950, col + 230).shift(-store.extent.y0, -store.extent.x0)
    np.testing.assert_array_equal(np.isnan(whole[at.slices]), np.isnan(found))
    far = np.abs(whole[at.slices] - found) > rounding(found)
    assert not far.any()
    assert np.isfinite(whole).sum() == np.isfinite(found).sum()


def test_ensembles_of_unlike_channels_average(tmp_path):
    """Five channels and six; the sixth is missing for the second scene, which is mapped all the same."""
    five = write_bundle(tmp_path / "five", 1)
    six = write_bundle(tmp_path / "six", 2, channels=("air2", *CHANNELS))
    here = airy(tmp_path, models=[five, six])
    run, plans = inferred(here)
    assert run.channels == (*CHANNELS, "air2")
    for plan in plans:
        scene, logits = stores(run, plan)
        place = (0, 1) if plan.source.scene.id == "a" else (0, 0)
        tile = scene.network_input(logits.lattice.window(*place), run.channels)
        assert np.isnan(tile[-1]).all() == (plan.source.scene.id == "b")
        tile[-1][np.isnan(tile[-1])] = 4500.0  # the offset of six's first channel
        answers = []
        for path in (five, six):
            card, network = load_bundle(Path(path))
            chosen = torch.tensor(tile[[run.channels.index(name) for name in card.channels]])[None]
            with torch.inference_mode():
                answers.append(network(chosen)[0].numpy())
        mean = np.mean(answers, axis=0)
        assert (np.abs(window_of(logits, *place)[:1].astype(np.float32) - mean) <= rounding(mean)).all()


def test_memory_and_bytes_count_the_channels_that_are_read(tmp_path):
    wide = write_bundle(tmp_path / "wide", 3, channels=(*CHANNELS, "air0", "air1", "air2"))
    narrow = write_bundle(tmp_path / "narrow", 1)
    here = airy(tmp_path)

    def peak(bundle: str) -> int:
        return estimate(plan_run(load(RunConfig, here.config, [f"models=[{bundle}]"]))).peak_memory_bytes

    assert peak(wide) - peak(narrow) >= 3 * 64 * 64 * 4

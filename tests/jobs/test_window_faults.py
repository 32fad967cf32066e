"""Poison windows: one that the networks cannot answer costs itself, and is named until it is done again."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from cluster.engine import SerialEngine
from cluster.storage import Storage
from jobs import infer, mosaic, publish, window_faults
from jobs.map import main
from jobs.window_faults import WindowFaults, remarks
from models.adaptive import Adaptive
from models.card import read_card
from models.networks import SegmentationNetwork
from tests.jobs.worlds import (
    INFER,
    Pointwise,
    ShuffledEngine,
    World,
    answering,
    assert_same_map,
    files_below,
    image,
    layers,
    make,
    moved,
    small_cells,
    world,
)
from tests.models.test_adaptive_rule import rule
from tiler.grids import Box
from tiler.map_store import MapStore

MARK = 7777
"""A red value that the pointwise network cannot stand."""


class Poisoned(Pointwise):
    """Answers NaN somewhere in each window that holds a marked pixel, or what else is bad."""

    classes = ("industrial",)

    def __init__(self, bad: float = np.nan, times: int = 1_000_000) -> None:
        self.bad, self.times = bad, times

    def predict(self, tiles):
        logits, spreads = super().predict(tiles)
        for tile, answer in zip(tiles, logits, strict=True):
            if (tile[0] == MARK).any() and self.times > 0:
                self.times -= 1
                answer[0, 5, 9] = self.bad
        return logits, spreads


def two(folder: Path, marked: bool = True, **settings: object) -> World:
    """Two scenes that overlap; windows of 64 px every 32, and one marked pixel of `a` that four of them hold.

    Its row 72 lies in windows of rows 1 and 2, [32, 96) and [64, 128); its column 104 in those of columns 2 and 3.
    """
    here = world(folder, **settings)
    array = image(150, 190)
    array[:, 30:40, 150:170] = 0
    array[0][array[0] == MARK] += 1
    if marked:
        array[0, 72, 104] = MARK
    here.scene("a", array)
    here.scene("b", image(90, 130, 2, high=7000), transform=moved(70, 101))
    return here


REACHED = Box(32, 64, 128, 160)
"""What the four windows hold, in pixels of `a`."""
WINDOWS = [f"window_r{row}_c{col}" for row in (1, 2) for col in (2, 3)]


def record(here: World) -> dict:
    return json.loads((here.out / "run.json").read_text())


def mapped(here: World) -> dict[str, np.ndarray]:
    with small_cells():
        return layers(MapStore(str(here.out / "mosaic" / f"{record(here)['map']['key']}.zarr")))


@pytest.fixture(scope="module")
def maps(tmp_path_factory) -> tuple[World, World]:
    """The map of the two scenes, and the one without what the network cannot answer."""
    folder = tmp_path_factory.mktemp("poison")
    whole, poisoned = two(folder / "whole", outputs=[]), two(folder / "poisoned", outputs=["report"])
    with small_cells():
        with answering():
            assert main(whole.command()) == 0
        with answering(Poisoned()):
            assert main(poisoned.command()) == 3
    return whole, poisoned


def test_the_run_finishes_and_names_the_windows_with_their_reasons(maps):
    found = record(maps[1])["quarantined"]
    name = next(s["logits"] for s in record(maps[1])["scenes"] if s["id"] == "a")
    assert sorted(found) == [f"infer/{name}/{window}" for window in WINDOWS]
    assert found[f"infer/{name}/window_r2_c3"] == "pixels [64, 128) x [96, 160): the networks answered NaN in fp32"
    assert record(maps[1])["windows"] == {"quarantined": 4, "clamped": 0, "smaller_batch": 0}
    assert [s["id"] for s in record(maps[1])["scenes"]] == ["a", "b"], "the scene is not dropped"
    page = (maps[1].out / "report.html").read_text()
    assert "window_r1_c2: pixels [32, 96) x [64, 128)" in page
    assert "4 quarantined windows are not in the map" in page
    whole = record(maps[0])
    assert (whole["quarantined"], whole["windows"]["quarantined"], whole["affected_cells"]) == ({}, 0, [])


def test_the_map_is_the_undisturbed_one_wherever_no_quarantined_window_reaches(maps):
    """Bit for bit; within, a scene is missing only where no other of its windows saw the pixel."""
    whole, poisoned = mapped(maps[0]), mapped(maps[1])
    inside = np.zeros(whole["count"].shape, bool)
    inside[REACHED.slices] = True  # the map's first pixel is that of `a`
    for name, values in whole.items():
        np.testing.assert_array_equal(poisoned[name][~inside], values[~inside])
    lost = poisoned["count"] != whole["count"]
    # The neighbours cover all but the middle, most of them 32 px of it; the last row and column of windows are shifted
    # back to begin at 86 and at 126.
    alone = np.zeros_like(inside)
    alone[64:86, 96:126] = True
    np.testing.assert_array_equal(lost, alone)
    assert (whole["count"] - poisoned["count"])[lost].tolist() == [1] * lost.sum()
    assert np.isnan(poisoned["logit"][lost & (poisoned["count"] == 0)]).all()
    assert (poisoned["count"][lost] > 0).any(), "the other scene covers what it covers"
    assert (poisoned["count"][lost] == 0).any()


def test_the_cells_that_lack_windows_are_told(maps):
    """At least those whose pixels changed, and none that lies apart from the windows."""
    key = record(maps[1])["map"]["key"]
    store = MapStore(str(maps[1].out / "mosaic" / f"{key}.zarr"))
    whole, poisoned = mapped(maps[0]), mapped(maps[1])
    changed = np.argwhere(~((whole["logit"] == poisoned["logit"]) | np.isnan(whole["logit"])))
    cells = {f"r{(row + store.extent.y0) // 512}_c{(col + store.extent.x0) // 512}" for row, col in changed.tolist()}
    told = set(record(maps[1])["affected_cells"])
    reach = REACHED.shift(store.extent.y0, store.extent.x0)
    near = {
        f"r{row}_c{col}"
        for row in range(reach.y0 // 512, (reach.y1 - 1) // 512 + 1)
        for col in range(reach.x0 // 512, (reach.x1 - 1) // 512 + 1)
    }
    assert len(cells) == 1
    assert len(told) == 2, "of the four that the scenes touch"
    assert cells <= told == near
    markers = maps[1].out / "markers" / "mosaic"
    said = {}
    for path in markers.rglob("*.json"):
        marker = json.loads(path.read_text())
        if marker["unit"].startswith(key):
            row, col = marker["unit"].removeprefix(f"{key}_r").split("/c")
            said[f"r{row}_c{col}"] = marker["record"]["quarantined_windows"]
    assert {cell for cell, count in said.items() if count} == told


def test_a_rerun_names_them_again_without_network_work(maps, capsys, monkeypatch):
    here = maps[1]
    before = files_below(here.out)
    monkeypatch.setattr(SerialEngine, "run", lambda *_: pytest.fail("nothing is left to run"))
    with small_cells():
        for command in (main, infer.main, mosaic.main, publish.main):
            assert command(here.command()) == 3, command
            told = capsys.readouterr().err
            assert told.count("quarantined: infer/a-") == 4
            assert "window_r1_c3: pixels [32, 96) x [96, 160): the networks answered NaN in fp32" in told
        assert main(maps[0].command()) == infer.main(maps[0].command()) == publish.main(maps[0].command()) == 0
    assert files_below(here.out) == before


def test_the_marker_of_the_unit_names_its_windows(maps):
    name = next(s["logits"] for s in record(maps[1])["scenes"] if s["id"] == "a")
    marker = json.loads((maps[1].out / "markers" / "infer" / name / "r1_c3.json").read_text())
    reason = "pixels [32, 96) x [96, 160): the networks answered NaN in fp32"
    assert marker["record"]["quarantined"] == {"window_r1_c3": reason}
    other = json.loads((maps[1].out / "markers" / "infer" / name / "r0_c0.json").read_text())
    assert other["record"]["quarantined"] == {}


def test_a_unit_whose_marker_is_deleted_is_done_again_and_the_map_is_another(maps, tmp_path):
    """What to do once the reason is gone; the map is then the one that never lacked anything."""
    here = two(tmp_path, outputs=[])
    with small_cells():
        with answering(Poisoned()):
            assert main(here.command()) == 3
        first = record(here)
        for unit in first["quarantined"]:
            stage, scene, window = unit.split("/")
            (here.out / "markers" / stage / scene / f"{window.removeprefix('window_')}.json").unlink()
        with answering():
            assert main(here.command()) == 0
    assert record(here)["map"]["key"] != first["map"]["key"]
    assert record(here)["stages"]["infer"]["units"] == 4
    assert (record(here)["quarantined"], record(here)["affected_cells"]) == ({}, [])
    assert_same_map(mapped(here), mapped(maps[0]))


def test_the_rest_of_a_shard_of_many_windows_is_finished_in_any_order(tmp_path):
    """Shards of 4 x 4 windows, the last ones padded; without overlap the window is a hole, and nothing else is."""
    array = image(310, 200, 5, high=7000)
    array[0, 170, 140] = MARK
    found = []
    for number, (engine, network) in enumerate(
        ((SerialEngine(1), Pointwise()), (SerialEngine(1), Poisoned()), (ShuffledEngine(3), Poisoned()))
    ):
        here = world(tmp_path / str(number), infer=INFER | {"tile_px": 32, "overlap_px": 0, "batch": 3})
        here.scene("only", array)
        with small_cells(), answering(network):
            found.append(layers(make(here, engine)))
    hole = np.zeros(array.shape[1:], bool)
    hole[160:192, 128:160] = True
    whole, *poisoned = found
    for one in poisoned:
        np.testing.assert_array_equal(one["count"], whole["count"] * ~hole)
        for name in ("logit", "spread"):
            np.testing.assert_array_equal(one[name], np.where(hole, np.nan, whole[name]))


@pytest.mark.parametrize("full_too", [True, False])
def test_adaptive_inference_asks_everybody_before_it_gives_a_window_up(tmp_path, full_too):
    """Where the first pass alone is at a loss the ensemble answers; where that is too, the window is quarantined."""
    here = two(tmp_path, outputs=[])
    card = read_card(Storage(str(tmp_path / "net0")).get("card.json"))
    learnt = rule(first="net0", networks=(card.digest(),), tta="none", refine_above=1e9)
    (tmp_path / "rule.json").write_bytes(learnt.to_json())
    adaptive = Adaptive(Poisoned(), Poisoned() if full_too else Pointwise(), learnt)
    with small_cells(), answering(), pytest.MonkeyPatch.context() as patch:
        patch.setattr("models.adaptive.load_adaptive", lambda *_: adaptive)
        assert main(here.command(f"infer.adaptive={tmp_path}/rule.json")) == (3 if full_too else 0)
    assert [name.rpartition("/")[2] for name in record(here)["quarantined"]] == (WINDOWS if full_too else [])
    assert record(here)["stages"]["infer"]["refined"] == 4
    assert np.isfinite(mapped(here)["logit"][72, 98]) == (not full_too)


@pytest.mark.parametrize("bad", [np.inf, -np.inf])
def test_infinity_is_told_as_such(tmp_path, bad):
    here = two(tmp_path)
    with small_cells(), answering(Poisoned(bad)):
        assert main(here.command("outputs=[]")) == 3
    assert {reason.rpartition("): ")[2] for reason in record(here)["quarantined"].values()} == {
        "the networks answered infinity in fp32"
    }


def test_a_fault_that_passes_costs_nothing_but_a_second_pass(tmp_path):
    here = two(tmp_path)
    with small_cells(), answering(Poisoned(times=1)):
        assert main(here.command("outputs=[]")) == 0
    assert record(here)["quarantined"] == {}


def test_logits_beyond_float16_are_clamped_and_told(tmp_path, capsys):
    here = two(tmp_path)
    with small_cells(), answering(Poisoned(1e6)):
        assert main(here.command("outputs=[report]")) == 0
        told = capsys.readouterr().err
        assert "infer: 4 windows hold logits beyond float16, which were set to its largest, 65504" in told
        assert record(here)["windows"] == {"quarantined": 0, "clamped": 4, "smaller_batch": 0}
        assert record(here)["stages"]["infer"]["clamped"] == 4
        assert "4 windows hold logits beyond float16" in (here.out / "report.html").read_text()
        assert main(here.command("outputs=[report]")) == 0
        assert "beyond float16" in capsys.readouterr().err, "a rerun says so again"
        assert np.isfinite(mapped(here)["logit"][72, 104])


def test_smaller_batches_than_planned_are_told(tmp_path, capsys):
    here = two(tmp_path)
    stand = Pointwise()
    stand.batch_halved = True
    with small_cells(), answering(stand):
        assert main(here.command("outputs=[report]")) == 0
    units = record(here)["stages"]["infer"]["units"]
    assert record(here)["stages"]["infer"]["batch_halved"] == units
    assert record(here)["windows"]["smaller_batch"] == record(here)["stages"]["infer"]["windows"]
    assert "memory was short" in capsys.readouterr().err
    assert "memory was short" in (here.out / "report.html").read_text()


def test_a_worker_that_runs_out_of_memory_makes_the_map_of_a_run_that_was_planned_so(tmp_path, monkeypatch):
    """With real networks: nothing fails, nothing is left out, and the run says what happened."""
    answer, passes = SegmentationNetwork.answer, []

    def tight(self, tiles):
        passes.append(len(tiles))
        if len(tiles) > 2:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return answer(self, tiles)

    monkeypatch.setattr(SegmentationNetwork, "answer", tight)
    found = []
    for batch in (2, 9):
        settings = {"tile_px": 32, "overlap_px": 0, "batch": batch}
        here = world(tmp_path / str(batch), infer=INFER | settings, outputs=[])
        here.scene("only", image(310, 200, 5))
        passes.clear()
        with small_cells():
            assert main(here.command()) == 0
        found.append(mapped(here))
        assert [n for n in passes if n != 2] == ([9, 4] if batch == 9 else [])
        assert record(here)["windows"]["smaller_batch"] == (70 if batch == 9 else 0)
        assert record(here)["stages"]["infer"]["batch_halved"] == (6 if batch == 9 else 0)
    for name, values in found[0].items():
        np.testing.assert_array_equal(found[1][name], values)


def test_networks_that_answer_nothing_at_all_are_a_fault_not_an_empty_map(tmp_path, capsys):
    class Broken(Pointwise):
        def predict(self, tiles):
            logits, spreads = super().predict(tiles)
            return logits * np.nan, spreads

    here = two(tmp_path)
    with small_cells(), answering(Broken()):
        assert main(here.command()) == 1
    assert "no scene could be mapped; nothing is published" in capsys.readouterr().err
    assert not (here.out / "run.json").exists()
    assert not (here.out / "map").exists()


def test_only_so_many_windows_are_named_one_by_one(maps, monkeypatch):
    from jobs.config import RunConfig
    from jobs.mosaic import planned_map
    from jobs.parsing import load
    from jobs.plan import plan_run

    with small_cells():
        _, plan = planned_map(plan_run(load(RunConfig, maps[1].config)))
    monkeypatch.setattr(window_faults, "NAMED", 3)
    found = plan.faults.quarantined()
    assert [name.rpartition("/")[2] for name in found] == [*WINDOWS[:3], "windows"]
    assert list(found.values())[-1] == "1 more windows, not named: the array `flags` of its logits has them"


def test_nothing_to_say_is_not_said():
    faults = WindowFaults()
    assert (faults.quarantined(), faults.facts, remarks(faults.counts)) == ({}, (), [])
    many = remarks({"quarantined": 9, "clamped": 0, "smaller_batch": 0}, [f"r{n}_c0" for n in range(25)])
    assert many[0].endswith("r19_c0 and 5 more")

"""What Infer reads: tiles are the networks' input at each place, and empty windows cost nothing."""

import numpy as np
import pytest

from cluster.engine import SerialEngine
from jobs.config import RunConfig
from jobs.decisions import decide
from jobs.infer import infer
from jobs.infer_stage import digest_of, read_under
from jobs.ingest import ingest
from jobs.parsing import load
from jobs.plan import Run, plan_run
from models.imagery import Imagery
from tests.jobs.worlds import INFER, answering, image, inferred_pair, opened, world
from tiler.logit_store import Flag
from tiler.scene_store import SceneStore


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Run:
    return inferred_pair(tmp_path_factory.mktemp("infer_stage"))


def tiles_under(scene, logits, shard):
    under = read_under(scene, logits, shard)
    imagery = Imagery.of(under.bands, under.valid, under.fill, under.coarse, "cpu")
    return under.places, imagery.tiles(under.corners(logits.lattice), logits.lattice.tile_px).numpy()


def test_tiles_are_the_networks_input_at_each_place(run):
    scene, logits, plan = opened(run, 0)
    assert (logits.lattice.rows, logits.lattice.cols) == (4, 5)
    for shard in plan.shards():
        places, tiles = tiles_under(scene, logits, shard)
        assert places == [(shard.row, shard.col)]
        assert tiles.dtype == np.float32
        np.testing.assert_array_equal(tiles[0], scene.network_input(logits.lattice.window(*places[0])))


def test_a_digest_tells_answers_apart_and_leaves_out_what_is_quarantined():
    windows = np.random.default_rng(0).normal(size=(3, 2, 5, 7)).astype(np.float16)
    whole = digest_of(windows, [0, 0, 0])
    assert whole == digest_of(np.asfortranarray(windows), [0, 0, 0])
    other = windows.copy()
    other[1, 0, 4, 6] = np.nextafter(other[1, 0, 4, 6], np.float16(9))
    assert digest_of(other, [0, 0, 0]) != whole
    assert digest_of(windows[::-1], [0, 0, 0]) != whole
    quarantined = [0, Flag.NAN, 0]
    assert digest_of(other, quarantined) == digest_of(windows, quarantined) != whole
    assert digest_of(windows[:0], []) == "crc32:00000000"


def test_windows_without_a_valid_pixel_are_left_out(run, monkeypatch):
    scene, logits, plan = opened(run, 1)
    images, read = [], SceneStore.read

    def watched(store, name, box, fill):
        images.extend([box.empty] if name == "image" else [])
        return read(store, name, box, fill)

    monkeypatch.setattr(SceneStore, "read", watched)
    found = [read_under(scene, logits, shard) for shard in plan.shards()]
    assert [under.places for under in found] == [[(0, c)] if c not in (2, 3) else [] for c in range(7)]
    assert images == [c in (2, 3) for c in range(7)], "nor are their images read"
    assert {under.bands.shape[1:] for under in found} == {(64, 64), (0, 0)}


def test_a_shard_of_many_windows_reads_the_same_tiles(tmp_path):
    here = world(tmp_path, infer=INFER | {"tile_px": 32, "overlap_px": 0})
    here.scene("many", image(301, 230, 3))
    run = plan_run(load(RunConfig, here.config))
    ingest(run, SerialEngine(1))
    with answering():
        infer(run, SerialEngine(1), run.logits(decide(run, None)), decide(run, SerialEngine(1)))
    scene, logits, plan = opened(run, 0)
    assert (logits.lattice.shard_windows, len(plan.shards())) == (4, 3 * 2)
    seen = []
    for shard in plan.shards():
        places, tiles = tiles_under(scene, logits, shard)
        seen += places
        for place, tile in zip(places, tiles, strict=True):
            np.testing.assert_array_equal(tile, scene.network_input(logits.lattice.window(*place)))
    assert sorted(seen) == [(r, c) for r in range(10) for c in range(8)]

import numpy as np
import pytest

from jobs.config import RunConfig
from jobs.parsing import load
from jobs.run_embeddings import check_comparable, places_of, read_run
from tests.jobs.grounds import COLS, ROWS, embedded, ground, rerun
from tests.jobs.vectors import embedded_world, write_embedder
from tests.jobs.worlds import moved
from tiler.embedding_store import EmbeddingStore


@pytest.fixture(scope="module")
def two(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run_embeddings")
    return embedded(folder, {"2024-05-01": ground(1, 0), "2024-06-01": ground(1, 1)})


def test_every_whole_window_is_there_once_with_its_place_and_time(two):
    run = read_run(load(RunConfig, two.config))
    assert len(run) == 2 * ROWS * COLS
    assert run.seen.all()
    np.testing.assert_allclose(np.linalg.norm(run.vectors.astype(np.float64), axis=1), 1, atol=1e-2)
    first, second = np.split(np.arange(len(run)), 2)
    np.testing.assert_array_equal(run.lonlat[first], run.lonlat[second])
    assert set(run.times[second].astype("datetime64[D]").astype(str)) == {"2024-06-01"}
    row = run.row_of(2 * COLS + 3)
    assert (row["scene"], row["row"], row["col"]) == ("2024-05-01", 2, 3)
    ring = np.array(run.outline(2 * COLS + 3))
    assert (ring[0] == ring[-1]).all()
    np.testing.assert_allclose(ring[:-1].mean(0), [row["lon"], row["lat"]], atol=1e-5)
    (places,) = places_of([run])
    np.testing.assert_array_equal(places[first], places[second])


def test_quadrants_are_left_out(tmp_path):
    from jobs import embed

    here = embedded_world(tmp_path, quadrants=True)
    here.settings["engine"] = {"kind": "serial"}
    assert embed.main([here.config]) == 0
    run = read_run(load(RunConfig, here.config))
    assert len(run) == 12 + 6
    assert (run.item % 5 == 0).all()
    assert run.seen.sum() < len(run)  # scene b has a hole over whole windows
    store: EmbeddingStore = run.stores[0]
    np.testing.assert_array_equal(run.vectors[3], store.read(15, 16)[0][0])


def test_runs_of_other_embedders_or_windows_cannot_be_compared(two, tmp_path):
    run = read_run(load(RunConfig, two.config))
    other = embedded(tmp_path / "other", {"2024-05-01": ground(1)}, model=write_embedder(tmp_path / "second", seed=2))
    with pytest.raises(ValueError, match=r"embedded by embedder \(.*\), the reference by second \(.*\); embed both"):
        check_comparable(run, read_run(load(RunConfig, other.config)), "the reference")
    two_sizes = load(RunConfig, two.config, ["embed.tile_px=128"])
    with pytest.raises(ValueError, match="are not embedded; run `sandan embed` first"):
        read_run(two_sizes)
    with pytest.raises(ValueError, match="the run names no embedder"):
        read_run(load(RunConfig, two.config, ["embed=null"]))


def test_places_of_shifted_scenes_are_matched_within_a_quarter_of_a_window(two, tmp_path):
    from jobs import embed

    run = read_run(load(RunConfig, two.config))
    shifted = rerun(two, tmp_path, {})
    assert shifted.settings["scenes"] == []
    shifted.scene("near", ground(1), transform=moved(10, 0))
    shifted.scene("far", ground(1), transform=moved(32, 32))
    assert embed.main([shifted.config]) == 0
    other = read_run(load(RunConfig, shifted.config))
    first, second = places_of([run, other])
    near, far = (second[other.source == number] for number in (1, 0))  # by id
    np.testing.assert_array_equal(near, first[: len(near)])
    assert not np.isin(far, first).any()

"""A scene that is replaced or added redoes the cells that it touches; the others are taken over as they are."""

import numpy as np
import pytest
import rasterio

from cluster.engine import SerialEngine
from jobs import map as job
from jobs.config import RunConfig
from jobs.mosaic import estimate
from jobs.parsing import load
from jobs.plan import plan_run
from jobs.runner import markers_of
from tests.jobs.worlds import KOREA, World, answering, image, moved, small_cells, world, write_bundle
from tiler.map_store import LAYERS, MapStore


@pytest.fixture
def work(monkeypatch) -> list[tuple[str, set[str]]]:
    """The units that engines are asked for."""
    asked: list[tuple[str, set[str]]] = []
    run = SerialEngine.run

    def watched(self, factory, keys, stop=None, at_once=2):
        keys = list(keys)
        asked.append((factory.fields["stage"], {getattr(key, "unit", key) for key in keys}))
        return run(self, factory, keys, stop, at_once)

    monkeypatch.setattr(SerialEngine, "run", watched)
    return asked


def three_scenes(folder) -> World:
    """Two that overlap, and one far to the south-east."""
    here = world(folder, grid={"crs": KOREA, "resolution_m": 9})
    here.scene("a-20230506", image(90, 130, 2), transform=moved(40, 77))
    here.scene("b-20240102", image(100, 140))
    here.scene("c-20240203", image(110, 90, 3), transform=moved(900, 820))
    return here


def cells(run, name: str | None = None) -> set[tuple[int, int]]:
    """The cells that a scene of a run touches, or any."""
    plan = run.mosaic(run.logits(job.decide(run, None)))
    wanted = [t for t in plan.tasks if name is None or any(s.startswith(name) for s in t.scenes)]
    return {(t.cell.row, t.cell.col) for t in wanted}


def layers(here: World, name: str) -> dict[str, np.ndarray]:
    store = MapStore(str(here.out / "mosaic" / f"{name}.zarr"))
    return {layer: store.read(layer, store.extent) for layer in LAYERS}


def planned(here: World, *changes: str):
    return plan_run(load(RunConfig, here.config, changes))


def map_name(run) -> str:
    return run.mosaic(run.logits(job.decide(run, None))).name


def fresh(here: World, tmp_path) -> dict[str, np.ndarray]:
    """The map of the same scenes made by a run that has nothing."""
    assert job.main(here.command(f"out={tmp_path / 'fresh'}")) == 0
    store = MapStore(str(next((tmp_path / "fresh" / "mosaic").iterdir())))
    return {layer: store.read(layer, store.extent) for layer in LAYERS}


def test_a_replaced_scene_redoes_the_cells_that_it_touches(tmp_path, work, capsys):
    here = three_scenes(tmp_path)
    with answering(), small_cells():
        assert job.main(here.command()) == 0
        before = map_name(planned(here))
        kept = layers(here, before)
        with rasterio.open(here.folder / "scenes" / "c-20240203.tif", "r+") as file:
            file.write(file.read()[:, ::-1, ::-1])
        run = planned(here)
        touched, every = cells(run, "c-"), cells(run)
        assert 0 < len(touched) < len(every)
        found = estimate(run)
        assert found.units - found.done == len(touched) or not found.done  # until Infer is done nothing is known
        work.clear()
        assert job.main(here.command()) == 0
        units = dict(work)["mosaic"]
        assert len(units) == len(touched)
        assert f"mosaic: {len(every) - len(touched)} cells are those of an earlier map" in capsys.readouterr().err
        name = map_name(planned(here))
        assert name != before
        made = layers(here, name)
        records = markers_of(run.storage, "mosaic")
        inherited = [r for row in {r for r, _ in every} for r in records.read_all(f"{name}_r{row}").values()]
        assert sum("inherited" in r["record"] for r in inherited) == len(every) - len(touched)
        for layer, values in fresh(here, tmp_path).items():
            np.testing.assert_array_equal(made[layer], values)
        for layer, values in layers(here, before).items():
            np.testing.assert_array_equal(values, kept[layer])  # the earlier map is what it was


def test_a_scene_that_is_added_moves_the_extent_and_keeps_the_cells(tmp_path, work):
    here = three_scenes(tmp_path)
    with answering(), small_cells():
        assert job.main(here.command()) == 0
        here.scene("d-20240304", image(80, 95, 4), transform=moved(-650, -700))  # the arrays begin elsewhere now
        work.clear()
        assert job.main(here.command()) == 0
        run = planned(here)
        assert len(dict(work)["mosaic"]) == len(cells(run, "d-")) < len(cells(run))
        made = layers(here, map_name(run))
        for layer, values in fresh(here, tmp_path).items():
            np.testing.assert_array_equal(made[layer], values)


def test_another_grid_or_another_bundle_inherits_nothing(tmp_path, work):
    here = three_scenes(tmp_path)
    write_bundle(tmp_path / "other", 8)
    with answering(), small_cells():
        assert job.main(here.command()) == 0
        for change in ("grid={crs: EPSG:5179, resolution_m: 11}", f"models=[{tmp_path / 'other'}]"):
            work.clear()
            assert job.main(here.command(change)) == 0
            assert len(dict(work)["mosaic"]) == len(cells(planned(here, change)))
        work.clear()
        assert job.main(here.command()) == 0
        assert work == []

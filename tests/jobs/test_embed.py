"""Embed: every window has the vector that the network gives it alone, however the work was cut up."""

import json

import numpy as np
import pytest
import torch

from cluster.engine import SerialEngine
from jobs import embed as job
from jobs import status, sweep
from jobs.clock import Clock
from jobs.config import RunConfig
from jobs.embed import embed, main, plan_embed
from jobs.embed_filling import Filling, by_chunks
from jobs.embed_network import load
from jobs.embedding import embedding_of
from jobs.ingest import ingest
from jobs.parsing import load as load_config
from jobs.plan import Precision, plan_run
from jobs.teams import Teams
from tests.jobs.vectors import TILE_PX, embedded_world, write_embedder
from tests.jobs.worlds import ShuffledEngine, World, files_below, image, moved
from tests.tiler.rasters_for_tests import grid
from tiler.embedding_items import WHOLE, SceneItems
from tiler.embedding_store import EmbeddingStore
from tiler.lattice import Lattice
from tiler.scene_store import SceneStore

torch.set_num_threads(1)


def stores(here: World, engine: SerialEngine | None = None) -> dict[str, EmbeddingStore]:
    """Ingest and embed; return the stores by scene."""
    run = plan_run(load_config(RunConfig, here.config))
    engine = engine or SerialEngine(1)
    ingest(run, engine)
    todo = embedding_of(run, engine)
    outcome = embed(todo, engine)
    assert not outcome.failed
    return {p.what.source: EmbeddingStore(todo.url(p)) for p in todo.plans}


def oracle(here: World, name: str) -> tuple[np.ndarray, np.ndarray]:
    """Return vector and missing ratio of every item, each computed alone."""
    run = plan_run(load_config(RunConfig, here.config))
    _, embedder = load(here.settings["embed"]["model"], Precision("cpu", "fp32", 1))
    plan = next(p for p in embedding_of(run, None).plans if p.what.source == name)
    scene, vectors, missing = SceneStore(run.url("ingest", plan.what.store)), [], []
    for item in range(plan.count):
        box = plan.items.box(item)
        values, valid = scene.read("image", box, 0).astype(np.float32), scene.read("valid", box, False)
        with torch.inference_mode():
            vectors.append(embedder(torch.from_numpy(values)[None], torch.from_numpy(valid)[None, None])[0].numpy())
        missing.append(1 - valid.mean())
    return np.array(vectors), np.array(missing)


@pytest.mark.parametrize("quadrants", [False, True])
def test_every_item_has_its_own_vector(tmp_path, quadrants):
    here = embedded_world(tmp_path, quadrants)
    for name, store in stores(here).items():
        vectors, missing = oracle(here, name)
        rows, norm, ratio = store.read(0, len(store))
        seen = missing <= 0.9
        np.testing.assert_array_equal(norm > 0, seen)
        np.testing.assert_allclose(ratio, missing, atol=1e-6)
        unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
        np.testing.assert_allclose(rows[seen], unit[seen], atol=2e-3)
        np.testing.assert_allclose(norm[seen], np.linalg.norm(vectors[seen], axis=1), rtol=1e-4)
        assert (rows[~seen] == 0).all()
        assert seen.all() == (name == "a")


@pytest.mark.parametrize("seed", range(2))
def test_any_order_leaves_the_same_bytes(tmp_path, seed, monkeypatch):
    monkeypatch.setattr("jobs.embed_plan.UNIT_WINDOWS", 5)
    monkeypatch.setattr("tiler.embedding_store.UNIT_WINDOWS", 5)
    one, other = embedded_world(tmp_path / "1"), embedded_world(tmp_path / "2")
    other.settings["embed"]["model"] = one.settings["embed"]["model"]
    for a, b in zip(stores(one).values(), stores(other, ShuffledEngine(seed)).values(), strict=True):
        assert a.units > 1
        for x, y in zip(a.read(0, len(a)), b.read(0, len(b)), strict=True):
            assert x.tobytes() == y.tobytes()


def test_teams_leave_the_same_bytes(tmp_path, monkeypatch):
    one, other = embedded_world(tmp_path / "1", True), embedded_world(tmp_path / "2", True)
    other.settings["embed"]["model"] = one.settings["embed"]["model"]
    expected = stores(one)
    monkeypatch.setattr("jobs.embed.planned_teams", lambda *_: Teams(3, 1))
    for a, b in zip(expected.values(), stores(other).values(), strict=True):
        for x, y in zip(a.read(0, len(a)), b.read(0, len(b)), strict=True):
            assert x.tobytes() == y.tobytes()


@pytest.mark.parametrize("chunk_px", [TILE_PX, 2 * TILE_PX])
def test_reading_chunk_by_chunk_leaves_the_same_bytes(tmp_path, monkeypatch, chunk_px):
    one, other = embedded_world(tmp_path / "1", True), embedded_world(tmp_path / "2", True)
    other.settings["embed"]["model"] = one.settings["embed"]["model"]
    expected = stores(one)
    monkeypatch.setattr("jobs.embed_filling.CHUNK_PX", chunk_px)
    for a, b in zip(expected.values(), stores(other).values(), strict=True):
        for x, y in zip(a.read(0, len(a)), b.read(0, len(b)), strict=True):
            assert x.tobytes() == y.tobytes()


@pytest.mark.parametrize(
    ("chunk_px", "cols", "expected"),
    [
        (32, [0, 1, 2, 3], [[0], [1], [2, 3]]),  # the last window ends with the scene, at 100: it begins at 68
        (64, [0, 1, 2, 3], [[0, 1], [2, 3]]),
        (512, [0, 1, 2, 3], [[0, 1, 2, 3]]),
        (32, [0, 2], [[0], [2]]),
        (32, [], []),
    ],
)
def test_rows_of_windows_are_parted_where_chunks_begin(chunk_px, cols, expected, monkeypatch):
    monkeypatch.setattr("jobs.embed_filling.CHUNK_PX", chunk_px)
    items = SceneItems(Lattice(70, 100, 32, 0), WHOLE, grid(70, 100))
    assert list(by_chunks(items, 1, cols)) == expected


@pytest.mark.parametrize("at_once", [1, 2, 3])
def test_a_unit_is_read_on_while_as_many_passes_as_there_are_teams_are_computed(at_once):
    told: list[str] = []

    class Slow:
        """A network that tells what is asked and what is waited for."""

        def __init__(self) -> None:
            self.at_once = at_once

        def ask(self, images, valid, turn):
            assert turn == 7
            told.append(f"ask {images[0]}")
            return images

        def answer(self, asked, clock):
            told.append(f"wait {asked[0]}")
            return np.full((len(asked), 4), asked[0], np.float32)

    rows = [[0, 3], [1], [2, 4], [5]]
    filling = Filling(0, 1.0, None, np.zeros((7, 4), np.float32), np.ones(7, np.float32), np.zeros(7, bool), Clock())
    filling.turn = 7
    for number, some in enumerate(rows):
        filling.ask(Slow(), some, [number] * len(some), None)
    filling.end(Slow())
    asks, waits = ([f"{word} {n}" for n in range(4)] for word in ("ask", "wait"))
    expected = asks[:at_once]
    for ask, wait in zip(asks[at_once:], waits, strict=False):
        expected += [wait, ask]
    assert told == expected + waits[4 - at_once :]
    assert filling.vectors[:, 0].tolist() == [0, 1, 2, 0, 2, 3, 0]
    assert filling.seen.tolist() == [True] * 6 + [False]
    assert filling.images == 6


def test_the_job_ingests_embeds_and_an_unchanged_rerun_does_nothing(tmp_path, monkeypatch, capsys):
    here = embedded_world(tmp_path)
    assert main(here.command()) == 0
    assert "2 of 2 scenes embedded" in capsys.readouterr().out
    before = files_below(here.out)
    monkeypatch.setattr("jobs.embed_stage.Network", None)
    assert main(here.command()) == 0
    assert files_below(here.out) == before
    assert json.loads((here.out / "stages/embed.json").read_text())["images"] == 16


def test_a_dry_run_counts_and_touches_nothing(tmp_path, capsys):
    here = embedded_world(tmp_path, quadrants=True)
    assert main([*here.command(), "--dry-run"]) == 0
    assert "units of vectors" in capsys.readouterr().out
    assert not here.out.exists()


def test_a_new_scene_is_all_that_is_embedded(tmp_path, capsys):
    here = embedded_world(tmp_path)
    assert main(here.command()) == 0
    here.scene("c", image(64, 130, 5), transform=moved(5000, 0))
    assert main(here.command()) == 0
    assert json.loads((here.out / "stages/embed.json").read_text())["images"] == 3


def test_a_run_that_was_cut_short_goes_on_where_it_was(tmp_path, monkeypatch):
    monkeypatch.setattr("jobs.embed_plan.UNIT_WINDOWS", 4)
    monkeypatch.setattr("tiler.embedding_store.UNIT_WINDOWS", 4)
    here, done = embedded_world(tmp_path), []
    whole = job.Embed.__call__

    def dying(stage):
        work = whole(stage)

        def one(unit):
            if len(done) == 2:
                raise KeyboardInterrupt
            done.append(unit)
            return work(unit)

        return one

    monkeypatch.setattr(job.Embed, "__call__", dying)
    assert main(here.command()) == 130
    first = set(done)
    monkeypatch.setattr(job.Embed, "__call__", whole)
    assert main(here.command()) == 0
    markers = list((here.out / "markers/embed").rglob("*.json"))
    assert json.loads((here.out / "stages/embed.json").read_text())["units"] == len(markers) - len(first) == 3


def test_a_vector_that_is_not_finite_is_quarantined_alone(tmp_path, monkeypatch, capsys):
    here = embedded_world(tmp_path)
    from jobs.embed_network import Network

    whole, bad = Network._forward, image(150, 210)[:, :TILE_PX, TILE_PX : 2 * TILE_PX]

    def poisoned(self, images, valid):
        vectors, seconds = whole(self, images, valid)
        vectors[[bool((one == bad).all()) for one in images]] = np.nan
        return vectors, seconds

    monkeypatch.setattr(Network, "_forward", poisoned)
    assert main(here.command()) == 3
    said = capsys.readouterr().err
    assert "/item_1: its vector is not finite (fp32)" in said
    assert main(here.command()) == 3  # and still so when nothing is left to do
    assert "/item_1: its vector is not finite" in capsys.readouterr().err


def test_settings_that_cannot_work_are_refused(tmp_path, capsys):
    here = embedded_world(tmp_path)
    good = here.settings["embed"]
    for embedder, said in (
        (None, "add `embed: {model: FOLDER}`"),
        ({**good, "model": str(tmp_path / "none")}, "card.json is missing"),
        ({**good, "model": write_embedder(tmp_path / "ir", ("ir", "wv"))}, r"['ir', 'wv'] would be missing"),
        ({**good, "tile_px": 100}, "multiple of 64"),
        ({**good, "modle": "x"}, "did you mean"),
    ):
        here.settings["embed"] = embedder
        assert main(here.command()) == 2
        assert said in capsys.readouterr().err
    assert not here.out.exists()


def test_what_the_name_of_a_store_depends_on(tmp_path):
    here = embedded_world(tmp_path)

    def names(*changes: str) -> list[str]:
        run = plan_embed(load_config(RunConfig, here.config, changes)).planned
        return [plan.name for plan in embedding_of(run, None).plans]

    first = names()
    assert names() == first
    assert names("infer.overlap_px=64", "fuse.threshold=0.4") == first
    assert not set(names("embed.quadrants=true")) & set(first)
    assert not set(names("embed.missing_limit=0.5")) & set(first)
    assert not set(names(f"embed.model={write_embedder(tmp_path / 'other', seed=2)}")) & set(first)


@pytest.mark.slow
def test_ray_makes_the_same_vectors(tmp_path):
    one, other = embedded_world(tmp_path / "1", quadrants=True), embedded_world(tmp_path / "2", quadrants=True)
    other.settings["embed"]["model"] = one.settings["embed"]["model"]
    assert main(one.command()) == 0
    assert main(other.command("engine={kind: ray, workers: 2, threads_per_worker: 1}")) == 0
    paths = zip(*(sorted((world.out / "embed").glob("*.zarr")) for world in (one, other)), strict=True)
    for path, again in paths:  # named by the times of their files, too
        a, b = EmbeddingStore(str(path)), EmbeddingStore(str(again))
        for x, y in zip(a.read(0, len(a)), b.read(0, len(b)), strict=True):
            assert x.tobytes() == y.tobytes()


def test_status_and_sweep_know_vectors(tmp_path, capsys):
    here = embedded_world(tmp_path)
    assert main(here.command()) == 0
    assert status.main([here.config]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert any(line.split()[:3] == ["embed", "2", "units"] for line in lines)
    before = {path.name for path in (here.out / "embed").iterdir()}
    here.settings["embed"]["missing_limit"] = 0.2
    assert status.main([here.config]) == 3
    assert "embed: done again for a, b: missing limit changed" in capsys.readouterr().out
    assert main(here.command()) == 0
    assert {path.name for path in (here.out / "embed").iterdir()} > before
    assert sweep.main([here.config]) == 0
    left = {path.name for path in (here.out / "embed").iterdir()}
    assert len(left) == 2
    assert not left & before
    assert len(list((here.out / "markers/embed").iterdir())) == 2
    assert main(here.command()) == 0  # nothing that is needed is gone
    assert json.loads((here.out / "stages/embed.json").read_text())["units"] == 2
    del here.settings["embed"]
    assert sweep.main([here.config]) == 0  # a configuration that names no network does not say that none is needed
    assert {path.name for path in (here.out / "embed").iterdir()} == left

"""Plans: decided from headers alone, named by what made them, and complete before anything starts."""

import hashlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs import plan as plan_module
from jobs.config import RunConfig
from jobs.parsing import load
from jobs.plan import Precision, Run, key_of, plan_run
from tests.jobs.worlds import KOREA, ORIGIN, UTM51, World, image, moved, world, write_bundle
from tiler.grids import MapGrid

FP32 = Precision("cpu", "fp32", 1)


def planned(here: World, *changes: str) -> Run:
    return plan_run(load(RunConfig, here.config, changes))


def refusal(here: World, *changes: str) -> str:
    with pytest.raises(ValueError) as error:  # noqa: PT011
        _ = planned(here, *changes).cards
    return str(error.value)


@pytest.fixture
def two(tmp_path) -> World:
    """Scenes named against the order of their ids."""
    here = world(tmp_path)
    here.scene("b-20240102", image(130, 170), transform=moved(3, 5))
    here.scene("a", image(90, 140, 2), transform=moved(3000, -40))
    return here


VALUES = st.recursive(
    st.none() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=6,
)


@given(st.lists(VALUES, max_size=3), VALUES)
def test_a_key_is_a_digest_of_its_facts_and_of_nothing_else(facts, more):
    canonical = json.dumps(facts, sort_keys=True, separators=(",", ":"))
    assert key_of(*facts) == hashlib.sha256(canonical.encode()).hexdigest()[:12]
    assert key_of(*facts, more) != key_of(*facts)
    assert key_of({"a": 1, "b": more}) == key_of({"b": more, "a": 1})


def test_planning_writes_nothing(two):
    run = planned(two)
    _ = run.cards
    run.mosaic(run.logits(FP32))
    assert not two.out.exists()


def test_scenes_stand_in_order_of_their_ids(two):
    run = planned(two)
    assert [s.scene.id for s in run.scenes] == ["a", "b-20240102"]
    assert [p.source.scene.id for p in run.logits(FP32)] == ["a", "b-20240102"]
    assert run.scenes[1].scene.acquired.date().isoformat() == "2024-01-02"
    assert all(s.name.startswith(s.scene.id + "-") for s in run.scenes)


def test_each_file_of_a_folder_is_a_scene(two):
    named = planned(two)
    found = planned(two, f"scenes={two.folder / 'scenes'}")
    assert [s.name for s in found.scenes] == [s.name for s in named.scenes]
    assert [s.scene.id for s in planned(two, f"scenes={two.folder}/scenes/b*.tif").scenes] == ["b-20240102"]


def test_auto_grid_is_the_first_scenes_own(two):
    run = planned(two)
    first = run.scenes[0].scene.grid
    assert run.grid == MapGrid.like(first)
    rows, cols = run.grid.pixels.rowcol(*first.xy([0, first.height], [0, first.width]))
    assert [v % 1 for v in (*rows, *cols)] == [0, 0, 0, 0]
    # the first scene is set aside: the map of the others stays where it was
    left = run.without([run.scenes[0].name])
    assert left.grid == run.grid
    assert [s.scene.id for s in left.scenes] == ["b-20240102"]


def test_logits_are_named_by_what_makes_them(two):
    """Anything that changes a logit changes the name; anything else does not."""

    def names(*changes: str, precision: Precision = FP32) -> list[str]:
        return [p.name for p in planned(two, *changes).logits(precision)]

    base = names()
    same = ["fuse.threshold=0.3", "engine.workers=7", "engine.kind=ray", "outputs=[cog]", f"out={two.folder}/elsewhere"]
    assert names(*same, "grid={crs: EPSG:5179, resolution_m: 20}") == base
    area = two.folder / "area.geojson"
    area.write_text('{"type": "Polygon", "coordinates": [[[126, 36], [128, 36], [128, 38], [126, 38], [126, 36]]]}')
    others = [
        names("infer.overlap_px=0"),
        names("infer.tile_px=96"),
        names("infer.tta=flips4"),
        names(f"models=[{write_bundle(two.folder / 'other', 2)}]"),
        names(f"models=[{two.folder}/net0, {write_bundle(two.folder / 'other', 2)}]"),
        names(f"area={area}"),
        names(precision=Precision("cpu", "bf16", 1)),
        names("sensor=LS30"),
    ]
    area.write_text('{"type": "Polygon", "coordinates": [[[126, 36], [128, 36], [128, 38.5], [126, 38], [126, 36]]]}')
    others.append(names(f"area={area}"))
    flat = [name for found in [base, *others] for name in found]
    assert len(set(flat)) == len(flat) == 2 * 10


def test_an_area_that_touches_no_scene_is_refused(two):
    area = two.folder / "elsewhere.geojson"
    area.write_text('{"type": "Polygon", "coordinates": [[[10, 10], [11, 10], [11, 11], [10, 10]]]}')
    with pytest.raises(ValueError, match="touches none of the scenes"):
        planned(two, f"area={area}")


def test_labels_near_a_scene_are_part_of_it_and_others_are_not(two):
    from tests.jobs.worlds import write_tif

    base = [s.name for s in planned(two).scenes]
    codes = image(30, 20)[0] % 2 + 1
    write_tif(two.folder / "labels" / "x.tif", codes, transform=moved(10, 20), nodata=None)
    labels = f"labels={{files: {two.folder}/labels, codes: {{1: 1}}}}"
    near = [s.name for s in planned(two, labels).scenes]
    assert near[1] != base[1]  # it lies on b
    write_tif(two.folder / "labels" / "y.tif", codes, transform=moved(3005, -30), nodata=None)
    both = [s.name for s in planned(two, labels).scenes]
    assert both[0] != near[0]
    assert both[1] == near[1]


def test_every_pixel_of_every_scene_has_a_cell_that_knows_the_scene(two):
    run = planned(two, "grid={crs: EPSG:5179, resolution_m: 10}")
    plans = run.logits(FP32)
    plan = run.mosaic(plans)
    scenes = {task.cell: task.scenes for task in plan.tasks}
    assert len(scenes) == len(plan.tasks) == len({task.unit for task in plan.tasks})
    for logits in plans:
        grid = logits.source.scene.grid
        import numpy as np
        import pyproj

        rows, cols = np.mgrid[0 : grid.height, 0 : grid.width] + 0.5
        x, y = pyproj.Transformer.from_crs(grid.crs, KOREA, always_xy=True).transform(*grid.xy(rows, cols))
        row, col = plan.grid.pixels.rowcol(x, y)
        assert (row >= plan.extent.y0).all()
        assert (row < plan.extent.y1).all()
        assert (col >= plan.extent.x0).all()
        assert (col < plan.extent.x1).all()
        for cell in {(int(r), int(c)) for r, c in zip((row // 2048).ravel(), (col // 2048).ravel(), strict=True)}:
            found = [names for place, names in scenes.items() if (place.row, place.col) == cell]
            assert logits.name in found[0]
    order = [p.name for p in plans]
    assert all(list(t.scenes) == sorted(t.scenes, key=order.index) for t in plan.tasks)


def test_a_footprint_is_worked_out_once_for_all_who_ask(two, monkeypatch):
    run, asked = planned(two), []
    whole = run.mosaic(run.logits(FP32))
    monkeypatch.setattr(plan_module, "footprint", lambda *grids: asked.append(grids))
    left = run.without([run.scenes[0].name])
    fewer = left.mosaic(left.logits(FP32))
    assert asked == []
    assert list(run.mosaic(run.logits(FP32)).tasks) == list(whole.tasks)
    names = {name for task in fewer.tasks for name in task.scenes}
    assert names == {left.logits(FP32)[0].name}
    assert {task.cell for task in fewer.tasks} == {t.cell for t in whole.tasks if names & set(t.scenes)}
    # another grid is another run, which remembers nothing of this one
    other = planned(two, "grid={crs: EPSG:5179, resolution_m: 10}")
    with pytest.raises(TypeError):
        other.mosaic(other.logits(FP32))
    assert len(asked) == 1


def test_a_map_is_named_by_its_grid_and_its_logits(two):
    run = planned(two)
    plans = run.logits(FP32)
    names = {run.mosaic(plans).name, run.mosaic(plans[:1]).name, run.mosaic(plans[1:]).name}
    other = planned(two, "grid={crs: EPSG:5179, resolution_m: 10}")
    assert len(names | {other.mosaic(other.logits(FP32)).name}) == 4
    once, again = run.mosaic(plans), run.mosaic(run.logits(FP32))
    assert (again.name, again.extent, list(again.tasks)) == (once.name, once.extent, list(once.tasks))


def test_bundles_must_fit(two):
    write_bundle(two.folder / "alien", 3, channels=("red", "swir", "mask"))
    write_bundle(two.folder / "forest", 4, classes=("forest",))
    write_bundle(two.folder / "many", 5, classes=("forest", "water"))
    net = two.settings["models"][0]
    assert "['swir'] would be missing" in refusal(two, f"models=[{two.folder}/alien]")
    text = refusal(two, f"models=[{net}, {two.folder}/forest]")
    assert "forest" in text
    assert "industrial" in text
    many = f"models=[{two.folder}/many]"
    assert planned(two, many).classes == ("forest", "water")
    assert planned(two, many, "fuse.threshold=0.5").classes == ("forest", "water")
    assert "tell 2 classes apart (forest, water)" in refusal(two, many, "fuse.threshold=0.4")
    write_bundle(two.folder / "twice", 7, classes=("background", "water", "water"))
    assert "rename the repeated one" in refusal(two, f"models=[{two.folder}/twice]")
    assert "no bundle at" in refusal(two, f"models=[{net}, {two.folder}/nowhere]")
    twin = write_bundle(two.folder / "twin" / "net0", 6)
    assert "['net0', 'net0']; rename one" in refusal(two, f"models=[{net}, {twin}]")
    assert "names no bundle" in refusal(two, "models=[]")
    assert planned(two, f"models=[{two.folder}/forest]").classes == ("forest",)


def test_scenes_of_other_zones_keep_their_own_grid(two):
    two.scene("west", image(40, 60), crs=UTM51, transform=ORIGIN)
    run = planned(two)
    west = next(s.scene for s in run.scenes if s.scene.id == "west")
    assert west.grid.pyproj_crs.to_epsg() == 32651
    assert (west.grid.transform, west.grid.height, west.grid.width) == (tuple(ORIGIN)[:6], 40, 60)

"""Rules of fusion: which scenes a pixel takes, against numpy over whole scenes."""

import numpy as np
import pytest

from cluster.engine import SerialEngine
from cluster.storage import Storage
from jobs.config import RunConfig
from jobs.map_changes import PublishedMap, compare
from jobs.mosaic import plan_mosaic
from jobs.parsing import load
from jobs.products import class_of
from tests.jobs.worlds import World, answering, image, layers, logit_of, make, moved, rounding, small_cells, world

SIZE = (40, 52)
SCENES = {
    # id: acquired, cloud cover in percent, share of rows that are missing, place
    "a": ("2024-03-01", None, 0.5, (0, 0)),
    "b": ("2022-01-08", 30.0, 0.0, (7, 3)),
    "c": (None, 0.0, 0.0, (-4, 9)),
    "d": ("2023-05-06", None, 0.1, (2, -6)),
}
BY_DATE, BY_CLOUDS = "adbc", "cdba"


@pytest.fixture(scope="module")
def here(tmp_path_factory) -> World:
    found = world(tmp_path_factory.mktemp("rules"))
    for place, (name, (acquired, cloud_cover, missing, where)) in enumerate(SCENES.items()):
        found.scene(name, pixels(place, missing), acquired, transform=moved(*where))
        found.settings["scenes"][-1] |= {} if cloud_cover is None else {"cloud_cover": cloud_cover}
    return found


def pixels(seed: int, missing: float) -> np.ndarray:
    array = image(*SIZE, seed)
    array[:, : round(missing * SIZE[0])] = 0
    return array


def stacked() -> tuple[np.ndarray, dict[str, int]]:
    """Logits (scene, y, x) on the map's pixels, NaN where not seen, and the place of each scene."""
    top, left = min(w[0] for *_, w in SCENES.values()), min(w[1] for *_, w in SCENES.values())
    bottom, right = max(w[0] for *_, w in SCENES.values()), max(w[1] for *_, w in SCENES.values())
    out = np.full((len(SCENES), SIZE[0] + bottom - top, SIZE[1] + right - left), np.nan)
    for place, (_, _, missing, (row, col)) in enumerate(SCENES.values()):
        array = pixels(place, missing)
        values = np.where((array == 0).any(axis=0), np.nan, logit_of(array))
        out[place, row - top : row - top + SIZE[0], col - left : col - left + SIZE[1]] = values
    return out, {name: place for place, name in enumerate(SCENES)}


@pytest.mark.parametrize(
    ("changes", "order", "most"),
    [
        (["fuse.rule=mean"], "abcd", 4),
        (["fuse.rule=latest"], BY_DATE, 1),
        (["fuse.rule=clearest"], BY_CLOUDS, 1),
        (["fuse.rule=best_n", "fuse.best_n=2"], BY_CLOUDS, 2),
        (["fuse.rule=best_n", "fuse.best_n=9"], BY_CLOUDS, 4),
    ],
)
def test_a_pixel_takes_the_first_by_the_rule(here, tmp_path, changes, order, most):
    values, place = stacked()
    chosen = values[[place[name] for name in order]]
    seen = ~np.isnan(chosen)
    chosen = np.where(seen & (np.cumsum(seen, axis=0) <= most), chosen, np.nan)
    rule = World(tmp_path, here.settings | {"out": str(tmp_path / "out")})
    rule.settings["fuse"] = dict(pair.removeprefix("fuse.").split("=") for pair in changes)
    if "best_n" in rule.settings["fuse"]:
        rule.settings["fuse"]["best_n"] = int(rule.settings["fuse"]["best_n"])
    with answering(), small_cells():
        found = layers(make(rule, SerialEngine(1)))
    np.testing.assert_array_equal(found["count"], seen.sum(axis=0))
    some = seen.any(axis=0)
    np.testing.assert_array_equal(np.isnan(found["logit"]), ~some)
    expected = np.nanmean(chosen[:, some], axis=0)
    assert (np.abs(found["logit"][some] - expected) <= rounding(np.full_like(expected, 5))).all()


def test_a_rule_is_another_map_and_the_mean_keeps_its_name(here):
    with answering(), small_cells():
        make(here, SerialEngine(1))
        rules = ("mean", "latest", "clearest", "best_n")
        maps = {rule: plan_mosaic(load(RunConfig, here.config, [f"fuse.rule={rule}"])).map for rule in rules}
    assert len({plan.name for plan in maps.values()}) == 4
    assert "fusion" not in maps["mean"].made_of
    plain = plan_mosaic(load(RunConfig, here.config)).map
    assert plain.name == maps["mean"].name
    assert [name[0] for name in maps["latest"].tasks[0].scenes] == list(BY_DATE)


def test_a_number_without_its_rule_is_refused(here):
    with pytest.raises(ValueError, match=r"set fuse\.rule=best_n"):
        load(RunConfig, here.config, ["fuse.best_n=2"])


def test_maps_of_the_same_scenes_by_another_rule_are_compared_pixel_by_pixel(tmp_path):
    """Also where the rule leaves the scenes in the order of their ids."""
    found = world(tmp_path)
    found.scene("a", image(*SIZE, 1), "2024-03-01")
    found.scene("b", image(*SIZE, 2), "2022-01-08")
    with answering(), small_cells():
        maps = []
        for rule in ("mean", "latest"):
            found.settings["fuse"] = {"rule": rule}
            make(found, SerialEngine(1))
            name = plan_mosaic(load(RunConfig, found.config)).map.name
            maps.append(PublishedMap(Storage(str(found.out)), name, 0.5))
        change, same = compare(*maps), compare(maps[0], maps[0])
        was, now = (class_of(one.store().read("logit", one.store().extent), 0.5) for one in maps)
    assert change.gained_px == ((was == 0) & (now == 1)).sum() > 10
    assert change.lost_px == ((was == 1) & (now == 0)).sum()
    assert (same.gained_px, same.lost_px) == (0, 0)

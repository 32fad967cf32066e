"""A run whose scenes come from a catalogue is the run of the same files, named one by one."""

import json

import pytest

from cluster.engine import SerialEngine
from jobs.config import RunConfig
from jobs.ingest import ingest, main
from jobs.parsing import load
from jobs.plan import plan_run
from jobs.preflight import scene_specs
from tests.jobs.worlds import BANDS, files_below, image, moved, world, write_tif
from tests.tiler.stac_for_tests import api, asset, item, write_static
from tests.tiler.web_for_tests import web

NAMES = ("b-1", "a-2")


@pytest.fixture
def here(tmp_path):
    """Two scenes, a file a band, one with a scene classification; not yet named in the run."""
    here = world(tmp_path)
    for number, name in enumerate(NAMES):
        place = moved(700 * number, -300 * number)
        pixels = image(70 + number, 90, seed=number)
        for band, values in zip(BANDS, pixels, strict=True):
            write_tif(tmp_path / "data" / name / f"{band}.tif", values, transform=place)
        clouds = (pixels[0] > 6000).astype("uint8") * 5 + 4
        write_tif(tmp_path / "data" / name / "scl.tif", clouds, transform=place, nodata=None)
    return here


def items():
    """The items of the scenes, the bands under other keys than their names, and one that is not asked for."""
    found = [item(name, day=f"2024-06-0{n + 1}") for n, name in enumerate(NAMES)]
    for one in found:
        one["assets"]["scl"] = asset(f"{one['id']}/scl.tif")
    return [*found, item("absent", day="2023-01-01")]


def direct(place):
    """The same scenes, named in the run."""
    return [
        {
            "id": name,
            "bands": {band: f"{place}/{name}/{band}.tif" for band in BANDS},
            "acquired": f"2024-06-0{number + 1}T02:11:00Z",
            "cloud_cover": 5.0,
            "quality": {"files": f"{place}/{name}/scl.tif", "rule": "scl"},
        }
        for number, name in enumerate(NAMES)
    ]


def planned(here, **settings):
    here.settings |= settings
    return plan_run(load(RunConfig, here.config))


def test_a_static_catalogue_is_its_files(here):
    start = write_static(here.folder / "data", items())
    search = {"stac": str(start), "datetime": "2024-06", "quality": {"asset": "scl"}}
    run = planned(here, scenes=search)
    expected = planned(here, scenes=direct(here.folder / "data"))
    assert [s.scene.id for s in run.scenes] == ["a-2", "b-1"]
    assert [s.name for s in run.scenes] == [s.name for s in expected.scenes], "what identifies their stores is equal"
    ingest(expected, SerialEngine(1))
    before = files_below(here.out)
    ingest(run, SerialEngine(1))
    assert files_below(here.out) == before, "nothing was left to do"
    valid = 1 - run.scenes[0].scene.read(run.scenes[0].scene.grid.box)[1].mean()
    assert valid > 0.1, "clouds are missing"


def test_an_api_is_its_files_and_the_command_runs(here, tmp_path, capsys):
    with web(here.folder / "data", tmp_path / "log") as files:
        hosted = items()
        for each in (one for item in hosted for one in item["assets"].values()):
            each["href"] = f"{files.address}/{each['href']}"
        with api(hosted, page=1) as host:
            here.settings["sources"] = {"schemes": ["s3", "http"], "hosts": ["127.0.0.1"]}
            here.settings["scenes"] = {"stac": host.address, "datetime": "2024-06", "quality": {"asset": "scl"}}
            run = load(RunConfig, here.config)
            here.settings["scenes"] = direct(files.address)
            assert scene_specs(run) == tuple(sorted(load(RunConfig, here.config).scenes, key=lambda one: one.id))
            here.settings["scenes"] = {"stac": host.address, "datetime": "2024-06"}
            assert main([here.config, "--dry-run"]) == 0
            assert "2 shards" in capsys.readouterr().out
            assert main(here.command()) == 0
            assert "2 of 2 scenes ingested" in capsys.readouterr().out
            done = files_below(here.out)
            assert main(here.command()) == 0
            assert files_below(here.out) == done
            assert "2023" not in json.dumps(host.asked)


def test_a_catalogue_that_grew_is_more_work_and_no_other(here):
    everything = items()[:2]
    start = here.folder / "data" / "items.json"

    def run_of(found):
        start.write_text(json.dumps({"type": "FeatureCollection", "features": found}))
        return planned(here, scenes={"stac": str(start)})

    first = run_of(everything[:1])
    ingest(first, SerialEngine(1))
    grown = run_of(everything)
    assert {s.name for s in first.scenes} < {s.name for s in grown.scenes}
    assert sum(outcome.before for outcome in ingest(grown, SerialEngine(1))) == 2, "a shard and a scene were done"


def test_left_out_items_are_told_and_refusals_name_the_key(here, caplog):
    bad = item("radar") | {"assets": {}}
    start = write_static(here.folder / "data", [*items()[:2], bad])
    planned(here, scenes={"stac": str(start), "collection": "s2"})
    assert "scenes: 1 items are left out: item 'radar'" in caplog.text
    with pytest.raises(ValueError, match=r"scenes: .* none that fits \{'max_cloud': 1.0\}"):
        planned(here, scenes={"stac": str(start), "max_cloud": 1})


@pytest.mark.parametrize(
    ("scenes", "told"),
    [
        ({"stac": "https://evil.example.net/v1"}, "scenes.stac: 'https://evil.example.net/v1' may not be opened"),
        ({"stac": "x", "colection": "s2"}, "did you mean 'collection'?"),
        ({"collection": "s2"}, "is required and missing"),
        ({"stac": "x", "max_cloud": "little"}, "max_cloud"),
    ],
)
def test_searches_are_checked_with_the_run(here, scenes, told):
    here.settings["scenes"] = scenes
    with pytest.raises(ValueError) as error:  # noqa: PT011
        load(RunConfig, here.config)
    assert told in str(error.value)
    assert "tuple" not in str(error.value)
    assert str(error.value).count(";") <= 2, "of one shape"


def test_parts_of_a_search_can_be_set(here):
    here.settings["scenes"] = {"stac": "x", "max_cloud": 20}
    config = load(RunConfig, here.config, ["scenes.datetime=2024-07", "scenes.max_cloud=40"])
    assert (config.scenes.datetime, config.scenes.max_cloud) == ("2024-07", 40)

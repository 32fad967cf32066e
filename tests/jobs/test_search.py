"""Search, from the command line: every kind of example, filter and mistake, on tiny archives."""

import csv
import json
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import rasterio
import shapely
import torch
from PIL import Image

from jobs import embed
from jobs.search import main
from tests.jobs.vectors import clock, embedded_world, frame_run, frames, write_embedder
from tests.jobs.worlds import World, image, moved, write_tif
from tiler.embedding_store import EmbeddingStore

torch.set_num_threads(1)
COUNT = 40
GAP = 17
"""The frame that is missing."""


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> World:
    """Return the world of two embedded scenes, with quadrants."""
    here = embedded_world(tmp_path_factory.mktemp("scenes"), quadrants=True)
    assert embed.main(here.command()) == 0
    return here


@pytest.fixture(scope="module")
def weather(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Return the run of embedded frames, of which one is missing."""
    folder, kept = tmp_path_factory.mktemp("weather"), np.arange(COUNT) != GAP
    config = frame_run(folder, frames(COUNT)[kept], clock(COUNT)[kept])
    assert embed.main([config]) == 0
    return config


def search(config: str, out: Path, *words: str, code: int = 0) -> list[dict[str, str]]:
    """Search; return the table."""
    assert main([config, "--out", str(out), *words]) == code
    with (out / "results.csv").open() as file:
        return list(csv.DictReader(file))


def stores(here: World) -> dict[str, EmbeddingStore]:
    found = [EmbeddingStore(str(path)) for path in (here.out / "embed").glob("*.zarr")]
    return {store.what.source: store for store in found}


def vectors(store: EmbeddingStore) -> np.ndarray:
    return store.read(0, len(store))[0].astype(np.float64)


def test_a_window_finds_what_a_plain_product_finds(scenes, tmp_path, capsys):
    rows = search(scenes.config, tmp_path, "--window", "a:1,2", "--top", "7")
    every = {name: vectors(store) for name, store in stores(scenes).items()}
    query = every["a"][(1 * 4 + 2) * 5]
    expected = sorted(
        (
            (float(row @ query), name, item)
            for name, some in every.items()
            for item, row in enumerate(some)
            if row.any()
        ),
        key=lambda one: (-one[0], one[1], one[2]),
    )
    expected = [one for one in expected if one[1:] != ("a", 30)][:7]
    assert [float(row["score"]) for row in rows] == [one[0] for one in expected]
    items = {"a": 4, "b": 3}
    labels = [(r["source"], (int(r["row"]) * items[r["source"]] + int(r["col"])) * 5 + int(r["part"])) for r in rows]
    assert labels == [one[1:] for one in expected]
    said = capsys.readouterr()
    assert said.out.splitlines()[1].split()[2] == rows[0]["id"]
    assert "7 of " in said.err


def test_the_three_tables_say_the_same(scenes, tmp_path):
    rows = search(scenes.config, tmp_path, "--window", "a:0,0", "--top", "5")
    features = json.loads((tmp_path / "results.geojson").read_text())["features"]
    table = pq.read_table(tmp_path / "results.parquet")
    geo = json.loads(table.schema.metadata[b"geo"])
    assert geo["version"] == "1.1.0"
    assert geo["columns"]["geometry"]["encoding"] == "WKB"
    for row, feature, other in zip(rows, features, table.to_pylist(), strict=True):
        shape, twin = shapely.geometry.shape(feature["geometry"]), shapely.from_wkb(other["geometry"])
        assert shape.equals(twin)
        assert shape.contains(shapely.Point(float(row["lon"]), float(row["lat"])))
        assert row["id"] == feature["properties"]["id"] == other["id"]
        assert float(row["score"]) == feature["properties"]["score"] == other["score"]
    record = json.loads((tmp_path / "search.json").read_text())
    assert record["examples"] == ["window a:0,0"]
    assert record["network"]["dimension"] == 192


@pytest.mark.parametrize("shards", [1, 2, 5])
def test_shards_change_not_one_bit(scenes, weather, tmp_path, shards):
    for name, config, words in (
        ("scenes", scenes.config, ["--window", "a:1,2", "--unlike", "window:b:0,0"]),
        ("weather", weather, ["--sequence", "2019-01-31T00:00,2019-01-31T03:00,2019-01-31T09:00"]),
    ):
        search(config, tmp_path / name, *words, "--no-sheet")
        search(config, tmp_path / f"{name}-cut", *words, "--no-sheet", "--shards", str(shards))
        whole, cut = (tmp_path / folder / "results.csv" for folder in (name, f"{name}-cut"))
        assert whole.read_bytes() == cut.read_bytes()


def test_a_frame_finds_frames(weather, tmp_path, drawn_pictures):
    rows = search(weather, tmp_path, "--time", "2019-02-02", "--top", "3")
    assert [row["source"] for row in rows] == ["coms"] * 3
    assert "2019-02-02T00:00Z" not in [row["time"] for row in rows]
    features = json.loads((tmp_path / "results.geojson").read_text())["features"]
    assert all(feature["geometry"] is None for feature in features)
    with Image.open(tmp_path / "sheet.png") as sheet:
        assert np.asarray(sheet.convert("L")).std() > 10


def test_hours_around_an_example_are_left_out(weather, tmp_path):
    asked = np.datetime64("2019-02-02T00:00")
    rows = search(
        weather, tmp_path, "--time", "2019-02-02T00:00", "--exclude-hours", "24", "--top", "100", "--no-sheet"
    )
    hours = [abs((np.datetime64(row["time"][:-1]) - asked) / np.timedelta64(1, "h")) for row in rows]
    assert len(rows) == COUNT - 17  # 8 frames on both sides (one of them is missing), and itself
    assert min(hours) == 27


def test_sequences_keep_their_rhythm_and_need_every_frame(weather, tmp_path):
    rows = search(weather, tmp_path, "--sequence", "2019-01-30T00:00,2019-01-30T06:00", "--top", "100", "--no-sheet")
    starts = [np.datetime64(row["time"][:-1]) for row in rows]
    every, found = clock(COUNT), set(starts)
    expected = {t for i, t in enumerate(every) if i + 2 < COUNT and GAP not in (i, i + 2) and not {i, i + 2} & {0, 2}}
    assert found == expected
    store = EmbeddingStore(str(next((Path(weather).parent / "out/embed").glob("*.zarr"))))
    unit, times = vectors(store), store.times
    at = {t: unit[i] for i, t in enumerate(times)}
    step = np.timedelta64(6, "h")
    score = (at[starts[0]] @ at[every[0]] + at[starts[0] + step] @ at[every[2]]) / 2
    assert float(rows[0]["score"]) == score


@pytest.mark.parametrize(
    ("words", "part"),
    [(["--at", "127.0480,37.7330"], True), (["--cell", ""], False), (["--polygon", "{polygon}"], True)],
)
def test_places_are_examples(scenes, tmp_path, words, part):
    place = tmp_path / "place.geojson"
    ring = [[127.047, 37.731], [127.050, 37.731], [127.050, 37.7335], [127.047, 37.7335], [127.047, 37.731]]
    place.write_text(json.dumps({"type": "Polygon", "coordinates": [ring]}))
    words = [word.format(polygon=place) for word in words]
    if words[0] == "--cell":
        words[1] = _cell_of(scenes)
    rows = search(scenes.config, tmp_path, *words, "--exclude-km", "0.5", "--no-sheet")
    assert rows
    assert all(row["source"] == "b" or float(row["lat"]) < 37.80 for row in rows)
    record = json.loads((tmp_path / "search.json").read_text())
    assert record["taken_away"]["the examples themselves"] >= 1


def _cell_of(here: World) -> str:
    from jobs.config import RunConfig
    from jobs.parsing import load
    from jobs.plan import plan_run

    run = plan_run(load(RunConfig, here.config))
    _, touched = run.touched([run.scenes[0]])
    row, col, _ = touched[0].tolist()
    return f"{row},{col}"


def test_a_picture_of_a_window_finds_that_window(scenes, tmp_path):
    array = image(150, 210)[:, 64:128, 64:128]
    path = write_tif(tmp_path / "estate.tif", array)
    rows = search(scenes.config, tmp_path, "--image", path, "--top", "1")
    assert rows[0]["id"] == "a:1,1"
    assert float(rows[0]["score"]) == pytest.approx(1, abs=2e-3)


def test_negatives_push_away(scenes, tmp_path):
    plain = search(scenes.config, tmp_path / "1", "--window", "a:0,0", "--no-sheet", "--top", "80")
    other = search(
        scenes.config, tmp_path / "2", "--window", "a:0,0", "--unlike", "window:b:1,0", "--no-sheet", "--top", "80"
    )
    rank = {row["id"]: at for at, row in enumerate(plain)}
    assert "b:1,0" in rank
    assert "b:1,0" not in [row["id"] for row in other]
    assert [row["id"] for row in plain] != [row["id"] for row in other]


@pytest.mark.parametrize(
    ("words", "good"),
    [
        (["--dates", "2019-08-01:"], lambda row: row["source"] == "b"),
        (["--dates", ":2019-02-12"], lambda row: row["source"] == "a"),
        (["--bbox", "127.04,37.70,127.07,37.80"], lambda row: row["source"] == "a"),
        (["--missing-limit", "0.1"], lambda row: float(row["missing_ratio"]) <= 0.1),
        (["--parts", "whole"], lambda row: row["part"] == "0"),
        (["--parts", "quadrants"], lambda row: row["part"] != "0"),
    ],
)
def test_filters_keep_what_they_say(scenes, tmp_path, words, good):
    every = search(scenes.config, tmp_path / "1", "--window", "a:1,1", "--top", "1000", "--no-sheet")
    rows = search(scenes.config, tmp_path / "2", "--window", "a:1,1", "--top", "1000", "--no-sheet", *words)
    assert [row["id"] for row in rows] == [row["id"] for row in every if good(row)]
    assert 0 < len(rows) < len(every)


def test_the_similarity_map_has_the_scores_and_the_holes(scenes, tmp_path):
    search(scenes.config, tmp_path, "--window", "a:1,1", "--map", "--no-sheet")
    store = stores(scenes)["a"]
    unit, items = vectors(store), store.items
    query = unit[items.item(1, 1)]
    with rasterio.open(tmp_path / "similarity.tif") as data:
        for row, col, part in ((0, 0, 1), (0, 1, 4), (0, 2, 3)):
            box = items.box(items.item(row, col, part))
            x, y = items.grid.xy(np.array(box.y0 + 8.5), np.array(box.x0 + 8.5))
            value = next(data.sample([(float(x), float(y))]))[0]
            assert value == pytest.approx(float(unit[items.item(row, col, part)] @ query), abs=1e-3)
        x, y = items.grid.xy(np.array(104.5), np.array(104.5))  # here the last row of windows was shifted back
        both = (unit[items.item(1, 1, 4)] @ query + unit[items.item(2, 1, 2)] @ query) / 2
        assert next(data.sample([(float(x), float(y))]))[0] == pytest.approx(float(both), abs=1e-3)
        hole = stores(scenes)["b"].items.grid.xy(np.array(50.0), np.array(96.0))
        assert np.isnan(next(data.sample([tuple(map(float, hole))]))[0])
    assert not list(tmp_path.glob("*.zarr"))


@pytest.mark.slow
def test_ray_finds_the_same(scenes, tmp_path):
    words = ["--window", "a:1,2", "--map", "--shards", "3"]
    one = search(scenes.config, tmp_path / "1", *words)
    other = search(scenes.config, tmp_path / "2", *words, "--set", "engine.kind=ray", "--set", "engine.workers=2")
    assert one == other
    with rasterio.open(tmp_path / "1/similarity.tif") as a, rasterio.open(tmp_path / "2/similarity.tif") as b:
        np.testing.assert_array_equal(a.read(1), b.read(1))


def test_an_index_finds_most_of_it_and_says_how_much(weather, tmp_path, capsys):
    exact = search(weather, tmp_path / "1", "--time", "2019-02-01T00:00", "--top", "5", "--no-sheet")
    words = ["--time", "2019-02-01T00:00", "--top", "5", "--no-sheet", "--index", "faiss"]
    rows = search(weather, tmp_path / "2", *words)
    assert "recall@10 1.000 when it was built" in capsys.readouterr().err
    assert rows == exact  # of so few there is one cell
    words += ["--exclude-hours", "30"]
    assert not {r["id"] for r in search(weather, tmp_path / "3", *words)} & {r["id"] for r in rows[:1]}
    assert "building" not in capsys.readouterr().err


def test_new_frames_are_all_that_is_embedded(tmp_path, capsys):
    images, times = frames(12), clock(12)
    config = frame_run(tmp_path, images[[0, 1, 2, 4, 5, 6, 7, 8]], times[[0, 1, 2, 4, 5, 6, 7, 8]])
    assert embed.main([config]) == 0
    first = EmbeddingStore(str(next((tmp_path / "out/embed").glob("*.zarr"))))
    before = {t: row.tobytes() for t, row in zip(first.times, first.read(0, 8)[0], strict=True)}
    frame_run(tmp_path, images, times)  # one fills a gap, three are new
    assert embed.main([config]) == 0
    facts = json.loads((tmp_path / "out/stages/embed.json").read_text())
    assert (facts["images"], facts["taken"]) == (4, 8)
    store = next(s for s in map(EmbeddingStore, map(str, (tmp_path / "out/embed").glob("*.zarr"))) if len(s) == 12)
    after = {t: row.tobytes() for t, row in zip(store.times, store.read(0, 12)[0], strict=True)}
    assert {t: after[t] for t in before} == before
    assert (store.columns()[0] > 0).all()


def test_mistakes_are_told(scenes, weather, tmp_path, capsys):
    small = write_tif(tmp_path / "small.tif", image(20, 20)[:2])
    for config, words, said in (
        (weather, ["--time", "2019-01-30T01:00"], "the nearest is 2019-01-30T00:00Z"),
        (weather, ["--time", "2031-01-01"], "holds 2019-01-30T00:00Z to 2019-02-03T21:00Z"),
        (weather, ["--time", "yesterday"], "is no time"),
        (weather, ["--at", "127,37"], "the archive holds frames"),
        (weather, ["--time", "2019-02-01", "--bbox", "1,2,3,4"], "frames, which have no places"),
        (weather, ["--time", "2019-02-01", "--map"], "frames have none"),
        (weather, ["--time", "2019-02-01", "--sensor", "GK2A"], "the archive has ['coms']"),
        (weather, ["--sequence", "2019-02-01T00:00,2019-02-01T00:00"], "a time comes twice"),
        (weather, ["--sequence", "2019-02-01T00:00", "--index", "faiss"], "only searched exactly"),
        (weather, [], "name an example"),
        (weather, ["--unlike", "time:2019-02-01"], "add one with --like"),
        (weather, ["--like", "tine:2019"], "did you mean 'time'?"),
        (weather, ["--time", "2019-02-01", "--top", "0"], "give 1 to 10000"),
        (weather, ["--time", "2019-02-01", "--dates", "2018:2017"], "is later than"),
        (weather, ["--time", "2019-02-01", "--dates", "2001-01-01:2001-02-01"], "--dates: 39"),
        (scenes.config, ["--time", "2019-02-12"], "the archive holds scenes"),
        (scenes.config, ["--at", "129,36"], "no scene reaches it; the archive reaches from 127.04"),
        (scenes.config, ["--window", "c:0,0"], "no scene 'c'"),
        (scenes.config, ["--window", "a:9,0"], "there is no such window"),
        (scenes.config, ["--window", "a"], "give SCENE:row,col"),
        (scenes.config, ["--window", "b:0,1"], "saw too little"),
        (scenes.config, ["--cell", "1,2"], "the nearest is"),
        (scenes.config, ["--image", small], "has 2 bands"),
        (scenes.config, ["--image", str(tmp_path / "no.tif")], "no.tif"),
        (scenes.config, ["--polygon", str(tmp_path / "no.geojson")], "does not exist"),
        (scenes.config, ["--window", "a:0,0", "--missing-limit", "2"], "from 0 to 1"),
    ):
        assert main([config, "--out", str(tmp_path / "out"), *words]) == 2, words
        assert said in capsys.readouterr().err, words
    assert not (tmp_path / "out").exists()


def test_what_is_not_embedded_yet(tmp_path, capsys):
    here = embedded_world(tmp_path)
    assert main([here.config, "--window", "a:0,0"]) == 2
    assert f"run `sandan embed {here.config}` first" in capsys.readouterr().err
    assert embed.main(here.command()) == 0
    here.scene("c", image(64, 130, 5), transform=moved(5000, 0))
    assert main([here.config, "--window", "a:0,0", "--no-sheet"]) == 3
    assert "1 of 3 scenes" in capsys.readouterr().err


def test_vectors_of_two_networks_are_not_compared(scenes, tmp_path, capsys):
    other = embedded_world(tmp_path)
    other.settings["embed"]["model"] = write_embedder(tmp_path / "second", seed=2)
    assert embed.main(other.command()) == 0
    assert main([scenes.config, other.config, "--window", "a:0,0"]) == 2
    assert "vectors of different networks cannot be compared" in capsys.readouterr().err

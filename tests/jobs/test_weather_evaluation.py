"""The evaluation from frame stores to the files of its report, on two sensors and planted embeddings."""

import json

import numpy as np
import pytest

from cluster.engine import open_engine
from cluster.storage import Storage
from jobs.weather_evaluation import Settings, Weather, judge, read_embeddings
from jobs.weather_gallery import gallery_of
from jobs.weather_gates import judge_gates
from jobs.weather_report import Results, text, write_report
from jobs.weather_scores import States
from jobs.weather_table import Found, table_one
from tests.tiler.frames_for_tests import write_frames
from tiler.embedding_store import Embedded, EmbeddingStore, create_frame_embeddings

BANDS = ("ir", "swir", "wv")
START = np.datetime64("2018-06-01T00:00:00", "s")


def picture(vectors, rng, noise):
    """Frames of which the state is a smooth pattern."""
    y, x = np.mgrid[:16, :22] / 6
    waves = np.stack([np.sin(x + k) * np.cos(y - k) for k in range(vectors.shape[1])])
    clean = 0.5 + 0.1 * np.einsum("nk,kyx->nyx", vectors, waves)
    return np.clip(255 * (clean[:, None] + rng.normal(0, noise, (len(vectors), 3, 16, 22))), 1, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def weather(tmp_path_factory):
    folder, rng = tmp_path_factory.mktemp("frames"), np.random.default_rng(0)
    count = 240
    vectors = np.cumsum(rng.normal(0, 0.7, (count, 3)), 0) % 4 - 2
    times = START + np.arange(count) * np.timedelta64(12, "h")
    parts = {"coms": slice(0, 160), "gk2a": slice(120, 240)}
    urls = [
        write_frames(folder, picture(vectors[p], rng, 0.05), None, times[p], BANDS, series=name, step_s=43200)
        for name, p in parts.items()
    ]
    clean = write_frames(folder, picture(vectors, rng, 0.0), None, times, BANDS, series="clean", step_s=43200)
    frames = gallery_of(urls)
    rows = vectors[((frames.times - START) / np.timedelta64(12, "h")).astype(int)]
    quadrant = np.where(rows[:, 0] > 1.2, (rows[:, 1] > 0).astype(int), -1)
    held = frames.times.astype("datetime64[D]").astype(int) // 10 % 2 == 0
    return Weather(frames, held, clean, States(rows, quadrant)), rows


def embeddings(rows, seeds=3):
    noise = {"timely": 0.05, "frozen": 4.0, "simclr-as-written": 4.0, "simclr-ntxent": 4.0}
    return {
        m: [rows + np.random.default_rng(s + 7 * p).normal(0, n, rows.shape) for s in range(seeds)]
        for p, (m, n) in enumerate(noise.items())
    }


def test_from_frame_stores_to_the_report(weather, tmp_path, monkeypatch):
    monkeypatch.setattr("jobs.weather_gates.LEAST_STRETCHES", 5)
    known, rows = weather
    storage, settings = Storage(str(tmp_path)), Settings(k=10, queries=60, layouts=False)
    with open_engine("serial") as engine:
        found = judge(engine, storage, known, embeddings(rows), settings)
        assert found.sources == ("observed", "clean")
        may_ask = np.flatnonzero(known.validation[found.chosen])
        assert len(found.asked) == 60 < len(found.question.queries) <= len(may_ask)
        assert set(found.question.queries) <= set(may_ask)
        for places in found.question.images.values():
            assert (np.flatnonzero((places >= 0).all((0, 2))) == found.asked).all()
            assert (np.delete(places, found.asked, axis=1) == -1).all()
        again = judge(engine, storage, known, embeddings(rows), settings)
    assert {m: {n: s.seeds for n, s in row.items() if s.mean == s.mean} for m, row in found.scores.items()} == {
        m: {n: s.seeds for n, s in row.items() if s.mean == s.mean} for m, row in again.scores.items()
    }
    assert set(found.scores) == {*embeddings(rows), "pixels", "pca", "season", "random"}
    timely, frozen, chance = (found.scores[m]["recall_clean_psnr_72h"].mean for m in ("timely", "frozen", "random"))
    assert timely > 2 * frozen
    assert chance == pytest.approx(found.base["chance_72h"], abs=0.04)
    assert found.scores["pixels"]["recall_observed_psnr_0h"].mean > 0.5
    gates = judge_gates(found.scores, found.differences, found.headings, found.stretches)
    assert [g.verdict for g in gates[:3]] == ["held"] * 3
    one = table_one([Found("2018-06-01", "timely", 1, "2018-08-01", {"psnr": 20.0, "ssim": 0.5})], found.headings)
    results = Results("Weather", found, one, {}, gates, {"timely": "random:1"}, {"evaluate": 1.0})
    write_report(storage, results)
    values = json.loads((tmp_path / "scores.json").read_text())
    assert values["scores"]["timely"]["recall_clean_psnr_72h"]["mean"] == pytest.approx(timely)
    assert len(values["scores"]["timely"]["state_ndcg_72h"]["seeds"]) == 3
    told, page, md = text(results), (tmp_path / "report.html").read_text(), (tmp_path / "report.md").read_text()
    for word in ("Claims", "0.2148 ± 0.0974", "base rate", "fewer than 2000", "weights from random:1"):
        assert word in page + told, word
        assert word.replace("Claims", "### Claims") in md + told
    for name in ("table1", "table2", "recalls-observed", "recalls-clean", "states", "differences"):
        assert (tmp_path / f"{name}.csv").read_text().count("\n") > 1


def test_without_states_and_clean_images_recall_is_what_is_left(weather, tmp_path):
    known, rows = weather
    bare = Weather(known.frames, known.validation)
    with open_engine("serial") as engine:
        settings = Settings(k=10, queries=9, gallery="all", layouts=False)
        found = judge(engine, Storage(str(tmp_path)), bare, {"timely": [rows]}, settings)
    assert found.sources == ("observed",)
    assert len(found.gallery) == 280
    assert not any(name.startswith(("state", "typhoon", "cross")) for name in found.scores["timely"])
    assert found.differences == ()


def test_too_small_a_gallery_is_all_frames_or_refused(weather, tmp_path):
    known, rows = weather
    few = Weather(known.frames, known.frames.times < START + np.timedelta64(20, "D"))
    with open_engine("serial") as engine:
        settings = Settings(k=60, queries=5, layouts=False)
        found = judge(engine, Storage(str(tmp_path)), few, {"timely": [rows]}, settings)
        assert len(found.gallery) == 280
        assert "too few for 60 answers" in found.notes[0]
        assert "stretches of 10 days" in found.notes[-1]
        with pytest.raises(ValueError, match="wants a gallery of 347 frames or more, found 40"):
            judge(engine, Storage(str(tmp_path)), few, {"timely": [rows]}, Settings(k=250))


def test_vectors_of_stores_come_in_the_order_of_the_gallery(weather, tmp_path):
    known, _ = weather
    urls, rng = [], np.random.default_rng(5)
    kept = []
    for index, store in enumerate(known.frames.stores):
        url = str(tmp_path / f"{index}.zarr")
        what = Embedded(store.series, "x", "COMS", "net", "d" * 64, 4, 0.9)
        create_frame_embeddings(url, what, store.times, (16, 22))
        vectors, seen = rng.normal(size=(len(store), 4)).astype(np.float32), np.arange(len(store)) != 3
        filled = EmbeddingStore(url)
        content = store.digests
        filled.write(0, vectors, np.zeros(len(store), np.float32), seen, content)
        urls.append(url)
        kept.append(np.where(seen[:, None], vectors / np.linalg.norm(vectors, axis=1, keepdims=True), 0))
    found = read_embeddings(urls, known.frames)
    expected = np.stack([kept[s][f] for s, f in zip(known.frames.series, known.frames.frames, strict=True)])
    np.testing.assert_allclose(found, expected, atol=1e-3)
    with pytest.raises(ValueError, match="of other frames"):
        read_embeddings(urls[::-1], known.frames)

from datetime import date

import numpy as np
import pytest

from jobs.weather_gallery import gallery_of
from jobs.weather_seasons import DATES, season_queries, season_results, top_found
from jobs.weather_table import table_one
from jobs.weather_truth import metric_of
from tests.tiler.frames_for_tests import write_frames


def clock(start, days):
    return np.datetime64(start, "s") + np.arange(days * 8) * np.timedelta64(3, "h")


def test_queries_are_at_noon_in_korea_on_the_dates_of_the_document():
    times = clock("2018-12-01T00:00:00", 420)
    found = times[season_queries(times, DATES)]
    assert [str(t) for t in found] == [f"2019-{d}T03:00:00" for d in ("02-12", "08-03", "10-08", "12-24")]


def test_dates_that_are_not_there_are_the_nearest_day_of_the_latest_year():
    times = clock("2015-06-01T00:00:00", 600)  # to January 2017
    found = times[season_queries(times, (date(2019, 8, 3), date(2019, 2, 12)))]
    assert str(found[0]) == "2016-08-02T03:00:00"  # leap year: the same day of the year
    assert str(found[1]) == "2016-02-12T03:00:00"
    few = clock("2015-06-01T00:00:00", 30)
    assert season_queries(few, (date(2019, 12, 24), date(2019, 12, 25))) == [0]
    assert season_queries(few, (date(2019, 12, 24), date(2019, 6, 10))) == [0, 9 * 8 + 1]


def test_what_is_found_is_of_the_gallery_and_not_near_the_query(tmp_path):
    rng = np.random.default_rng(0)
    images = rng.integers(1, 255, (160, 3, 16, 20)).astype(np.uint8)
    gallery = gallery_of([write_frames(tmp_path, images, None, clock("2019-08-01T00:00:00", 20), ("a", "b", "c"))])
    angle = np.linspace(0, 2, 160)
    embeddings = np.stack([np.cos(angle), np.sin(angle)], 1)
    chosen = np.arange(160) % 3 == 0
    queries = season_queries(gallery.times, (date(2019, 8, 3), date(2019, 8, 15)))
    found = top_found(embeddings, queries, chosen, gallery.times)
    assert found.tolist() == [[42, 45, 48], [138, 87, 141]]  # the nearest of the gallery more than 24 steps away
    metrics = {"psnr": metric_of("psnr", None), "ssim": metric_of("ssim", None)}
    rows, sheet = season_results(gallery, queries, {"timely": found}, metrics, None)
    assert sheet.startswith(b"\x89PNG")
    one = gallery.images(np.array([87, queries[1]])).astype(np.float64)
    assert rows[4].values["psnr"] == pytest.approx(-10 * np.log10(np.square(one[0] - one[1]).mean()), abs=1e-4)
    assert (rows[4].rank, rows[4].time) == (2, str(gallery.times[87].astype("datetime64[m]")).replace("T", " "))
    table = table_one(rows, {"psnr": "PSNR", "ssim": "SSIM"})
    assert len(table.rows) == 2 * 3 + 1 + 1
    for query in {row[0] for row in table.rows if row[0].startswith("2019")}:
        here = [row for row in table.rows if row[0] == query]
        assert all(sum(row[column].startswith("**") for row in here) >= 1 for column in (4, 5))
    assert table.rows[-1][4:] == ("13.09", "0.262")

"""The gates of quality in a tick: with a scene of another scale nothing is mapped, and no network runs."""

import pytest

from tests.jobs.products import PLACES, country


@pytest.mark.slow
def test_a_scene_of_another_scale_is_not_published(tmp_path):
    names = ("north", "south", "west", "east")
    with country(tmp_path, *names, gates={"max_odd": 6, "max_missing": 0.9}) as here:
        here.scene("isle", low=2, high=90)  # reflectance x 100, where all others have x 10,000
        assert set(PLACES) == {*names, "isle"}
        code, tiles = here.tick()
        judged = {one["gate"]: one for one in here.record["gates"]}
        assert (code, tiles) == (3, 0)
        assert here.record["outcome"] == "refused"
        assert "is not mapped: band 1 of scene isle" in here.record["told"]
        assert not judged["max_odd"]["passed"]
        assert "of scene isle has the mean" in judged["max_odd"]["told"]
        assert judged["max_missing"]["passed"]
        here.month()
        here.scene("isle")
        assert here.tick()[0] == 0
        assert {one["gate"]: one["passed"] for one in here.record["gates"]}["max_odd"]

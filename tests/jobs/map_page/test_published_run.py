"""Opening a published map, also from an object store."""

from contextlib import ExitStack

import numpy as np
import pytest

from cluster.storage import Storage
from jobs.map_page.description import ShownRun, attribution_of
from jobs.map_page.pictures import tile_picture
from jobs.map_page.published_run import open_published


def test_attribution_tells_scenes_sensor_and_dates(published):
    run = open_published(published.config, ExitStack())
    assert attribution_of(run) == "2 scenes, SN10, 2023-05-06 to 2024-01-02, run out"


def test_layers_that_are_asked_for_are_all_there_is(published):
    run = open_published(str(published.out), ExitStack())
    assert list(ShownRun.of("a", run, ["spread"]).by_id) == ["spread"]
    with pytest.raises(ValueError, match=r"--layers sprea: .* has probability, class"):
        ShownRun.of("a", run, ["sprea"])


@pytest.mark.slow
def test_a_map_in_an_object_store_is_the_same_map(published, shown, bucket):
    store = Storage(bucket)
    for path in sorted(published.out.rglob("*")):
        if path.is_file() and (published.out / "map") not in path.parents:
            store.put_file(path.relative_to(published.out).as_posix(), path)
    with ExitStack() as held:
        run = open_published(bucket, held)
        other = ShownRun.of("a", run)
        assert list(other.by_id) == list(shown.by_id)
        for name, layer in shown.by_id.items():
            for at in layer.bounds.tiles(14):
                one, two = tile_picture(layer, 14, *at), tile_picture(other.by_id[name], 14, *at)
                assert (one is None) == (two is None)
                if one is not None:
                    np.testing.assert_array_equal(one.rgba, two.rgba)
        folder = run.folder
        assert folder.exists()
    assert not folder.exists()

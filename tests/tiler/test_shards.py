"""Shards: every pixel of a scene in exactly one of them."""

import numpy as np

from tests.tiler.rasters_for_tests import grid
from tiler.grids import Box
from tiler.shards import Shard, shard_box, shard_count, shard_shape, shards_of


def test_shards_partition_the_scene():
    of = grid(2600, 5001)
    times = np.zeros((2600, 5001), int)
    for shard in shards_of("s", of):
        times[shard_box(shard, of).slices] += 1
    assert (times == 1).all()
    assert shard_count(of) == len(list(shards_of("s", of))) == 2 * 3
    assert shard_shape(of) == (2048, 2048)
    assert shard_box(Shard("s", 1, 2), of) == Box(2048, 4096, 2600, 5001)
    assert Shard("s", 1, 2).unit == "s/r1_c2"
    assert shard_shape(grid(75, 600)) == (512, 1024)

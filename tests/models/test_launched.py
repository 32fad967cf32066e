"""What is launched arrives whole: on the CPU at once, from a GPU while it computes on."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch

from models.imagery import Imagery
from models.launched import Outlet
from models.predict import Ensemble
from tests.models.test_predict import CHANNELS, member


class Bad(Exception):
    pass


def complain(place):
    raise Bad(place)


def test_on_the_cpu_nothing_is_copied_and_the_first_bad_window_is_named():
    outlet = Outlet(torch.device("cpu"))
    begun = outlet.begin()
    windows = torch.arange(24, dtype=torch.float16).reshape(3, 2, 2, 2)
    launched = outlet.bring(begun, windows, torch.tensor([True, True, True]), complain)
    found, seconds = launched.result()
    assert found.ctypes.data == windows.data_ptr()
    assert 0 <= seconds == launched.result()[1]
    with pytest.raises(Bad, match="1"):
        outlet.bring(begun, windows, torch.tensor([True, False, False]), complain).result()


@pytest.mark.gpu
def test_a_gpu_is_given_the_next_windows_before_the_last_ones_have_arrived():
    """Whoever waits, in whatever order: each gets its own windows, the same that one at a time gives."""
    ensemble = Ensemble([member("five", CHANNELS[:5], 1)], CHANNELS[:5], precision="fp32", device="cuda", batch=2)
    random = np.random.default_rng(1)
    scenes = [random.integers(0, 9, (4, 128, 160)).astype(np.uint16) for _ in range(6)]
    valid, fill, more = np.ones((128, 160), bool), np.zeros(4, np.float32), np.empty((0, 128, 160), np.float32)
    corners = [(0, 0), (32, 64), (64, 96)]

    def launch(bands):
        return ensemble.launch(Imagery.of(bands, valid, fill, more, "cuda"), corners, 64)

    expected = [launch(bands).result()[0] for bands in scenes]
    launched = [launch(bands) for bands in scenes]
    with ThreadPoolExecutor(3) as pool:
        found = list(pool.map(lambda one: one.result(), launched[::-1]))[::-1]
    for (windows, seconds), wanted in zip(found, expected, strict=True):
        np.testing.assert_array_equal(windows, wanted)
        assert seconds > 0

"""What is launched arrives whole: on the CPU at once, from a GPU while it computes on."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from models.imagery import Imagery
from models.launched import Asked, Outlet, joined, store_as_float16
from models.predict import Ensemble
from tests.models.test_predict import CHANNELS, member


def asked(halved: bool = False) -> Asked:
    return Asked("bf16", halved, lambda place: place == 1)


def test_on_the_cpu_nothing_is_copied_and_the_first_broken_window_is_named():
    outlet = Outlet(torch.device("cpu"))
    begun = outlet.begin()
    windows = torch.arange(24, dtype=torch.float16).reshape(3, 2, 2, 2)
    counts = torch.tensor([[0, 0], [0, 7], [0, 0]])
    answer = outlet.bring(begun, windows, counts, asked()).result()
    assert answer.windows.ctypes.data == windows.data_ptr() == answer.whole().ctypes.data
    assert answer.seconds >= 0
    assert answer.clamped.tolist() == [0, 7, 0]
    for broken, told in ((1, "tile 1 .*bf16.* holds infinities"), (2, "tile 2 .* holds none")):
        counts[broken:, 0] = 5
        with pytest.raises(FloatingPointError, match=told):
            outlet.bring(begun, windows, counts, asked()).result().whole()
        counts[:, 0] = 0


def test_a_part_of_an_answer_is_replaced():
    outlet = Outlet(torch.device("cpu"))
    windows = torch.arange(24, dtype=torch.float16).reshape(3, 2, 2, 2)
    first = outlet.bring(outlet.begin(), windows, torch.tensor([[0, 1], [9, 2], [9, 3]]), asked()).result()
    other = outlet.bring(outlet.begin(), -windows[:2], torch.tensor([[0, 4], [8, 0]]), asked(True)).result()
    found = first.replaced([1, 2], other)
    np.testing.assert_array_equal(found.windows, np.concatenate([windows[:1], -windows[:2]]))
    assert (found.broken.tolist(), found.clamped.tolist()) == ([0, 0, 8], [1, 4, 0])
    assert found.asked.batch_halved
    assert not first.asked.batch_halved
    assert first.windows[1, 0, 0, 0] == 8, "the first answer is left as it was"


@given(st.lists(st.integers(1, 4), min_size=1, max_size=5), st.data())
def test_parts_joined_are_the_whole(sizes, data):
    count, outlet, parts, first = sum(sizes), Outlet(torch.device("cpu")), [], 0
    windows = torch.arange(2 * count, dtype=torch.float16).reshape(count, 2, 1, 1)
    counts = torch.tensor(data.draw(st.lists(st.tuples(*[st.integers(0, 3)] * 2), min_size=count, max_size=count)))
    halved = data.draw(st.lists(st.booleans(), min_size=len(sizes), max_size=len(sizes)))
    infinite = data.draw(st.lists(st.booleans(), min_size=count, max_size=count))
    for size, half in zip(sizes, halved, strict=True):
        here, inputs = slice(first, first + size), infinite[first : first + size]
        about = Asked("bf16", half, inputs.__getitem__)
        parts.append(outlet.bring(outlet.begin(), windows[here], counts[here], about).result())
        first += size
    found = joined(parts)
    np.testing.assert_array_equal(found.windows, windows)
    np.testing.assert_array_equal(np.stack([found.broken, found.clamped], 1), counts)
    assert found.seconds == sum(part.seconds for part in parts)
    assert found.asked.batch_halved == any(halved)
    assert [found.asked.infinite_input(place) for place in range(count)] == infinite


LARGEST = 65504.0


@settings(max_examples=60, deadline=None)
@given(st.lists(st.floats(width=32) | st.sampled_from([LARGEST, -LARGEST, 65505.0, -7e4]), min_size=8, max_size=8))
def test_what_is_stored_as_float16_is_finite_or_counted(numbers):
    values = torch.tensor(numbers).reshape(2, 1, 2, 2)
    out, counts = torch.empty((2, 1, 2, 2), dtype=torch.float16), torch.ones((2, 2), dtype=torch.int64)
    before = values.numpy().copy()
    expected = before.clip(-LARGEST, LARGEST)
    store_as_float16(values, out, counts)
    for tile, stored, (broken, clamped) in zip(before, out.numpy(), (counts - 1).tolist(), strict=True):
        finite = np.isfinite(tile)
        assert broken == (~finite).sum()
        assert clamped == (finite & (np.abs(tile) > LARGEST)).sum()
        assert np.isfinite(stored[finite]).all()
    np.testing.assert_array_equal(np.isnan(out.numpy()), np.isnan(before))
    with np.errstate(invalid="ignore"):
        np.testing.assert_array_equal(out.numpy(), expected.astype(np.float16))


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

    expected = [launch(bands).result().whole() for bands in scenes]
    launched = [launch(bands) for bands in scenes]
    with ThreadPoolExecutor(3) as pool:
        found = list(pool.map(lambda one: one.result(), launched[::-1]))[::-1]
    for answer, wanted in zip(found, expected, strict=True):
        np.testing.assert_array_equal(answer.whole(), wanted)
        assert answer.seconds > 0

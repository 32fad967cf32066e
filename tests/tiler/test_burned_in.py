"""What is drawn over every frame."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from tests.real_data import needs, real
from tiler.burned_in import find_lines, sample_size, title_rows

HEIGHT, WIDTH = 60, 83


def clouds(count: int, seed: int = 0) -> np.ndarray:
    """Frames of smooth fields that move and change, (frame, y, x) from 0 to 220."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:HEIGHT, :WIDTH] / 12
    frames = []
    for _ in range(count):
        waves = rng.uniform(-1.5, 1.5, (6, 2))
        phases = rng.uniform(0, 2 * np.pi, 6)
        field = sum(np.sin(a * y + b * x + p) for (a, b), p in zip(waves, phases, strict=True))
        frames.append(110 + 18 * field + rng.normal(0, 2, y.shape))
    return np.clip(frames, 0, 220)


def drawing() -> np.ndarray:
    """A coast, a dotted graticule and a text, bool (y, x)."""
    lines = np.zeros((HEIGHT, WIDTH), bool)
    x = np.arange(WIDTH)
    lines[(30 + 9 * np.sin(x / 9)).astype(int), x] = True
    lines[::2, 40] = True
    lines[15, ::2] = True
    lines[50:53, 5:12:2] = True
    return lines


def planes(frames: np.ndarray, dtype: str = "uint8", span: tuple[float, float] = (0, 255)) -> list:
    low, high = span
    numbers = np.rint(low + frames / 255 * (high - low)).astype(dtype)
    return [(plane, np.ones(plane.shape, bool), span) for plane in numbers]


@pytest.mark.parametrize(("dtype", "span"), [("uint8", (0, 255)), ("int16", (-500, 1500))])
def test_thin_bright_lines_that_stand_still_are_found(dtype: str, span: tuple[float, float]) -> None:
    lines = drawing()
    frames = clouds(24)
    frames[:, lines] = 0.6 * frames[:, lines] + 0.4 * 255  # half transparent
    found = find_lines(planes(frames, dtype, span))
    assert (found & lines).sum() > 0.97 * lines.sum()
    assert (found & ~lines).sum() < 0.02 * lines.size


def test_where_nothing_is_drawn_nearly_nothing_is_found() -> None:
    assert find_lines(planes(clouds(24))).mean() < 0.02


def test_a_line_that_moves_is_weather() -> None:
    frames = clouds(24)
    for at, frame in enumerate(frames):
        frame[(5 + 2 * at) % HEIGHT] = 250
    assert find_lines(planes(frames)).mean() < 0.02


def test_what_is_missing_does_not_count() -> None:
    frames = clouds(24)
    some = planes(frames)
    for values, valid, _ in some:
        values[20, :], valid[20, :] = 255, False
    assert not find_lines(some)[20].any()


def test_a_sample_fits_the_memory() -> None:
    assert sample_size(325, 375, 3) == 24
    assert sample_size(1500, 1300, 3) * 3 * 1500 * 1300 * 2 <= 260_000_000
    assert sample_size(11000, 11000, 3) == 8


def test_rows_of_titles() -> None:
    rows = title_rows(7, 5, 2, 1)
    assert rows.sum(axis=1).tolist() == [5, 5, 0, 0, 0, 0, 5]
    with pytest.raises(ValueError, match="leave nothing of 7"):
        title_rows(7, 5, 4, 3)


@needs("weather_coms")
def test_coast_lines_and_the_graticule_of_real_frames() -> None:
    paths = sorted(real("weather_coms").glob("*/*.png"))[::3]
    numbers = np.stack([np.asarray(Image.open(path).copy()) for path in paths]).astype(float)
    found = find_lines(planes(numbers))
    assert 0.02 < found.mean() < 0.06
    coast = found[144:170, 143:162]  # the Yellow Sea's, around Bohai
    assert coast.mean() > 0.1
    assert found[200:300, 171:177].any(axis=1).mean() > 0.4  # a meridian, dotted
    assert found[100:120, 150:175].mean() < 0.05  # land and cloud

import io

import numpy as np
import pytest
from PIL import Image

from jobs.weather_figures import MONTH_COLORS, Panel, composite, contact_sheet, month_layouts
from tests.pictures import drawn


def panel(value, bands=3):
    return Panel(np.full((bands, 12, 20), value, np.float32), f"value {value}")


def colors_of(png):
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGB")).reshape(-1, 3)


def share(png, color):
    return (np.abs(colors_of(png).astype(int) - color).max(1) <= 2).mean()


def test_infrared_is_red_shortwave_green_vapour_blue():
    image = np.stack([np.full((2, 3), v) for v in (1.0, 0.5, -1.0, 0.3)])
    assert composite(image)[0, 0].tolist() == [255, 128, 0]
    assert composite(image[1:2])[1, 2].tolist() == [128, 128, 128]


def test_the_contact_sheet_shows_every_image_once():
    found = {m: [panel(0.1 * (3 * p + r + 1)) for r in range(3)] for p, m in enumerate(("frozen", "blur", "timely"))}
    with drawn():
        png = contact_sheet([(panel(1.0), found)] * 4)
    shares = [share(png, round(255 * 0.1 * step)) for step in range(1, 10)]
    assert min(shares) > 0.01
    assert max(shares) < 1.2 * min(shares)


def test_rows_must_be_alike():
    with pytest.raises(ValueError, match="in every row"):
        contact_sheet([(panel(1), {"a": [panel(1)]}), (panel(1), {"a": []})])


def test_frames_have_the_colour_of_their_month():
    times = np.array(["2018-01-05", "2018-01-09", "2019-07-01"], "datetime64[s]").repeat(20)
    layout = np.random.default_rng(0).normal(size=(60, 2))
    with drawn():
        png = month_layouts({"timely": layout, "frozen": layout[::-1]}, times, {"timely": "ring score 0.5"})
    seen = [share(png, np.round(255 * np.array(color)).astype(int)) for color in MONTH_COLORS]
    assert seen[0] > 1.3 * seen[6] > 0
    assert sum(seen) == pytest.approx(seen[0] + seen[6])


def test_the_colours_of_months_are_a_circle():
    colors = np.array(MONTH_COLORS)
    steps = np.abs(colors - np.roll(colors, 1, 0)).sum(1)
    assert steps.max() < 3 * steps.min()
    assert len(np.unique(colors.round(3), axis=0)) == 12

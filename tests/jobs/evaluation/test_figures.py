"""Pictures of an evaluation: drawn of any values that an evaluation may hold, and the same bytes each time."""

import io

import numpy as np
import pytest
from PIL import Image

from jobs.evaluation.figures import PICTURES, confusion, pictures, pictures_of, reliability, score_bars, size_bars

pytestmark = pytest.mark.usefixtures("drawn_pictures")


def curve(counts: list[int]) -> dict[str, list]:
    middle = [(k + 0.5) / len(counts) for k in range(len(counts))]
    return {
        "counts": counts,
        "confidence": [m if n else None for m, n in zip(middle, counts, strict=True)],
        "accuracy": [m**2 if n else None for m, n in zip(middle, counts, strict=True)],
    }


def calibration(counts: list[int], temperature: float | None = 1.3) -> dict:
    told = {"ece": 0.05 if sum(counts) else None, "ece_equal_mass": None, "temperature": temperature}
    return {**told, "equal_width": curve(counts), "equal_mass": curve(counts)}


def row(name: str, value: float | None, low: float | None = None, high: float | None = None) -> dict:
    return {"name": name, "id": name, "mIoU": value, "intervals": {"mIoU": [low, high]}}


SIZES = [
    {"size": "0 to 5 ha", "labelled": 9, "found": 4, "partly": 2, "missed": 3},
    {"size": "5 ha and more", "labelled": 0, "found": 0, "partly": 0, "missed": 0},
]
EVALUATION = {
    "principal": "map",
    "classes": ["background", "산단"],
    "rows": [row("map", 0.7, 0.6, 0.75), row("one block", 0.4), row("undefined", None)],
    "calibration": {"map": calibration([5, 0, 40, 9])},
    "confusion": [[90, 10], [0, 0]],
    "objects": {"by_size": SIZES},
}
CURVE = {"value": [0.01, None, 0.6], "pixels": [900, 0, 100], "wrong": [0.01, None, 0.4]}
DOUBT = {
    "entropy": {
        "unit": "nat",
        "pixels": 1000,
        "wrong_pixels": 49,
        "auroc": 0.9,
        "equal_width": CURVE,
        "equal_mass": CURVE,
    },
    "disagreement": {
        "unit": "logit",
        "pixels": 3,
        "wrong_pixels": 0,
        "auroc": None,
        "equal_width": CURVE,
        "equal_mass": CURVE,
    },
}


def opened(png: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGB"))


def test_every_picture_is_drawn_and_always_the_same():
    first, again = (pictures(EVALUATION | {"uncertainty": DOUBT}) for _ in range(2))
    assert set(first) == set(PICTURES) == {"scores", "reliability", "confusion", "sizes", "uncertainty"}
    assert first == again
    for png in first.values():
        assert opened(png).std() > 1


def test_a_map_that_knows_no_uncertainty_has_no_picture_of_it():
    assert set(PICTURES) - set(pictures_of(EVALUATION)) == set(PICTURES) - set(
        pictures_of(EVALUATION | {"uncertainty": {}})
    )
    assert "uncertainty" not in pictures_of(EVALUATION)


@pytest.mark.parametrize(
    "draw",
    [
        lambda: reliability(calibration([0, 0, 0], None), "nothing"),
        lambda: confusion(np.eye(7, dtype=int).tolist(), [f"class {k}" for k in range(7)]),
        lambda: score_bars([row("map", None)]),
        lambda: size_bars([SIZES[1]]),
    ],
    ids=["reliability", "confusion", "scores", "sizes"],
)
def test_values_that_are_not_there_are_no_fault(draw):
    assert min(opened(draw()).shape[:2]) > 50


def test_a_bar_and_its_interval_are_as_long_as_their_values():
    short, long = (opened(score_bars([row("m", v, v - 0.05, v + 0.05)])) for v in (0.2, 0.6))
    blue = [(np.abs(p.astype(int) - (0x00, 0x72, 0xB2)).max(axis=2) < 12).sum() for p in (short, long)]
    assert blue[1] > 2 * blue[0] > 0
    without = opened(score_bars([row("m", 0.6)]))
    assert without.shape == long.shape
    assert (without != long).any()


def test_found_partly_and_missed_have_colours_of_their_own():
    def seen(**counts: int) -> set[str]:
        picture = opened(size_bars([{**SIZES[0], "found": 0, "partly": 0, "missed": 0, **counts}]))
        colors = {"found": (0x00, 0x9E, 0x73), "partly": (0xE6, 0x9F, 0x00), "missed": (0xD5, 0x5E, 0x00)}
        return {k for k, c in colors.items() if (np.abs(picture.astype(int) - c).max(axis=2) < 6).sum() > 2000}

    assert seen(found=3) == {"found"}
    assert seen(partly=1, missed=1) == {"partly", "missed"}

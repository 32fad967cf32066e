"""What a run may say of frames."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from tiler.frame_spec import FrameSpec


def test_bands_are_named_as_the_store_names_them() -> None:
    assert FrameSpec(files="x", bands=("ir105", "SW038", "wv069")).bands == ("ir", "swir", "wv")
    spec = FrameSpec(files="x", value_range={"IR1": (0, 10), "wv": (2, 3)})
    assert (spec.range_of("ir"), spec.range_of("wv"), spec.range_of("swir")) == ((0, 10), (2, 3), None)
    assert FrameSpec(files="x", value_range=(1, 2)).range_of("swir") == (1, 2)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"bands": ("ir1", "ir105")}, r"must differ, they stand for \['ir', 'ir'\]"),
        ({"step_minutes": 0.01}, "whole seconds"),
        ({"phase_minutes": 180}, "must be below step_minutes"),
        ({"tolerance_minutes": 90}, "below half of it"),
        ({"series": "../x"}, "letters, digits"),
        ({"value_range": (3, 3)}, "is empty"),
        ({"side_px": 0}, "greater than or equal to 1"),
        ({"burned_in": {"lins": True}}, "Extra inputs"),
    ],
)
def test_settings_that_cannot_be(values: dict, message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        FrameSpec.model_validate({"files": "x", **values})

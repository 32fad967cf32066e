"""The real files in `../shared/data`, which some tests use and no machine has to have."""

from pathlib import Path

import pytest

FOLDER = Path(__file__).resolve().parents[2] / "shared" / "data"


def needs(name: str) -> pytest.MarkDecorator:
    """Skip a test where the folder `name` of real data is absent."""
    return pytest.mark.skipif(not (FOLDER / name).is_dir(), reason=f"real data absent: {FOLDER / name}")


def real(name: str) -> Path:
    """Return the place of a folder or file of real data."""
    return FOLDER / name

"""Real frames of COMS: two situations, a day each, embedded by what was trained on synthetic weather alone."""

import csv
from pathlib import Path

import numpy as np
import pytest
import yaml

from jobs import embed, search, synthesize, train
from tests.real_data import needs, real

DAYS = {"2011-03-03": ("07:00", "10:00", "13:00"), "2012-10-27": ("15:00", "18:00", "21:00")}
"""The two situations, and frames of each that are three hours apart."""
SIDE_PX = 64


@pytest.fixture(scope="module")
def weather(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the run of 300 days of synthetic weather as COMS sees it."""
    folder = tmp_path_factory.mktemp("weather")
    assert (
        synthesize.main([str(folder), "--kind", "weather", "--scale", "tiny", "--side", str(SIDE_PX), "--days", "300"])
        == 0
    )
    return folder / "weather.yaml"


def embedder(folder: Path, run: Path) -> str:
    """Train a small network from random weights; return its folder."""
    recipe = {
        "task": "embed",
        "out": str(folder / "timely"),
        "method": "timely",
        "network": {
            "architecture": "vit_tiny_patch16_224",
            "weights": "random:1",
            "side_px": SIDE_PX,
            "patch_px": 8,
            "depth": 4,
            "lora": {"rank": 8, "alpha": 16, "dropout": 0.1},
        },
        "data": {"run": str(run), "split": {"kind": "blocks"}, "validation_samples": 64},
        "train": {"epochs": 6, "batch": 64, "learning_rate": 1e-3},
        "engine": {"kind": "serial"},
    }
    path = folder / "recipe.yaml"
    path.write_text(yaml.safe_dump(recipe))
    assert train.main([str(path)]) == 0
    return recipe["out"]


@pytest.mark.slow
@pytest.mark.timeout(900)
@needs("weather_coms")
def test_three_hours_away_is_nearer_than_another_day(weather: Path, tmp_path: Path):
    """Untrained, the same network finds night frames of the other day for an afternoon; so it does after 40 steps."""
    run = tmp_path / "coms.yaml"
    values = {
        "out": str(tmp_path / "out"),
        "frames": {
            "files": str(real("weather_coms")),
            "series": "coms",
            "step_minutes": 15,
            "burned_in": {"top_px": 6, "lines": True},
        },
        "embed": {"model": embedder(tmp_path, weather)},
        "engine": {"kind": "serial"},
    }
    run.write_text(yaml.safe_dump(values))
    assert embed.main([str(run)]) == 0
    for day, clock in DAYS.items():
        for hour in clock:
            out = tmp_path / f"{day}-{hour[:2]}"
            words = ["--time", f"{day}T{hour}", "--exclude-hours", "2.9", "--top", "100", "--no-sheet"]
            assert search.main([str(run), "--out", str(out), *words]) == 0
            with (out / "results.csv").open() as file:
                found = [row["time"] for row in csv.DictReader(file)]
            away = [place for place, moment in enumerate(found) if abs(_hours(moment, f"{day}T{hour}")) == 3]
            other = [place for place, moment in enumerate(found) if not moment.startswith(day)]
            assert away
            assert len(other) >= 24
            assert max(away) < min(other), (day, hour, found)


def _hours(one: str, other: str) -> float:
    return float((np.datetime64(one.rstrip("Z"), "s") - np.datetime64(other, "s")) / np.timedelta64(1, "h"))

"""The page about the planet: its numbers are those of its formula, and its formula is that of hand and pencil."""

import json

import pytest

from benchmarks import planet

FIGURES = {
    "networks": {"a": {"flop": 90e9, "traffic_bytes": 3e9}, "b": {"flop": 60e9, "traffic_bytes": 1e9}},
    "cpu": {"windows_per_s": 0.05},
    "bytes_per_px": {"scene store": 5.0, "window logits": 4.0, "map": 7.0, "products": 2.0},
    "core_nanoseconds_per_px": {"ingest": 300.0, "mosaic": 200.0, "publish": 220.0},
    "driver_units_per_s": 500.0,
}


def test_the_page_is_what_the_figures_give():
    """Run `python benchmarks/planet.py` after a change of either."""
    page = planet.PAGE.read_text()
    assert planet.with_tables(page, planet.tables(json.loads(planet.FIGURES.read_text()))) == page


def test_the_page_names_what_the_module_assumes():
    page = planet.PAGE.read_text()
    for text in ("790 TFLOP/s, 4.3 TB/s", "| 1.07 |", "2.50 USD a GPU-hour, 0.05 USD a core-hour, 23 USD a TB-month"):
        assert text in page
    found = planet.MULTIPLY_PER_S, planet.BYTES_PER_S, planet.OVERHEAD, *planet.PRICES.values()
    assert found == (790e12, 4.3e12, 1.07, 2.50, 0.05, 23.0)


def test_windows_advance_by_tile_minus_overlap():
    assert planet.windows_of(448**2 * 1e-4 * 7) == pytest.approx(7)  # a window's own ground is 4.48 km x 4.48 km
    assert planet.windows_of(100.0, dates=3) == pytest.approx(3 * planet.windows_of(100.0))
    assert planet.windows_of(planet.REGIONS["the planet"]) == pytest.approx(7.42e6, rel=1e-3)


def test_seconds_hours_and_money_of_one_worker():
    flop, traffic = 4 * 150e9, 4 * 4e9
    assert planet.roofline_s(flop, traffic) == (pytest.approx(0.6 / 790), pytest.approx(16e9 / 4.3e12))
    cpu, gpu = planet.workers_of(FIGURES)
    assert (cpu.seconds_per_window, cpu.measured) == (20.0, True)
    assert gpu.seconds_per_window == pytest.approx(0.6 / 790 + 16 / 4300)
    assert not gpu.measured
    assert planet.hours(3600.0, cpu, 4) == pytest.approx(20 * 1.07 / 4)
    assert planet.fed_workers(500.0, gpu) == pytest.approx(500 * 16 * gpu.seconds_per_window * 1.07)
    assert planet.core_hours(1e9, FIGURES["core_nanoseconds_per_px"]) == pytest.approx(0.2)


def test_a_measured_gpu_takes_the_place_of_the_estimate():
    _, gpu = planet.workers_of(FIGURES | {"gpu": {"name": "H100", "windows_per_s": 125.0}})
    assert (gpu.name, gpu.seconds_per_window, gpu.measured) == ("H100 (measured)", 0.008, True)
    text = planet.tables(FIGURES | {"gpu": {"name": "H100", "windows_per_s": 125.0}})
    assert "estimate" not in text
    rows = {line.split(" | ")[0].strip("| "): line.split(" | ")[1:] for line in text.splitlines()}
    assert float(rows["hours of Infer, 1 x H100 (measured)"][0]) == pytest.approx(
        1e9 / 448**2 * 0.008 * 1.07 / 3600, rel=0.01
    )
    assert rows["window logits, TB"][0] == "0.004"


def test_only_the_computed_part_of_a_page_changes():
    page = f"before\n{planet.BEGIN}\nold \\1\n{planet.END}\nafter\n"
    assert planet.with_tables(page, "new \\2") == f"before\n{planet.BEGIN}\nnew \\2\n{planet.END}\nafter\n"
    with pytest.raises(ValueError, match="begin"):
        planet.with_tables("nothing here", "new")

"""Pictures of curation show the numbers that they are given, and the report gives them those of the files."""

from collections import Counter

import numpy as np
import pytest
from matplotlib.colors import to_hex
from PIL import Image

from jobs import curate, curate_figures
from jobs.curate_figures import by_class, class_counts
from jobs.figures import INDUSTRIAL, INK, LINE_COLORS
from jobs.illustrations_counts import EXAMPLE
from jobs.illustrations_report import example_pair
from jobs.shell import DONE
from tests.jobs.curation_world import CLEAN, DIRTY, MANY, picture_run, write_pictures
from tiler.tile_store import TileStore


@pytest.fixture
def panel_of(monkeypatch):
    """Return what draws a picture and gives back its first panel."""
    drawn = []
    monkeypatch.setattr(curate_figures, "png_bytes", lambda figure: drawn.append(figure) or b"")

    def panel(draw, *arguments):
        draw(*arguments)
        return drawn[-1].axes[0]

    return panel


def test_bars_are_the_counts_before_and_after(panel_of):
    counts, kept = {"a": 66, "b": 12, "": 3, "empty": 0}, {"a": 10, "b": 12, "": 3}
    panel = panel_of(class_counts, counts, kept, ("a",), 36.0)
    before, after = panel.containers
    assert [bar.get_width() for bar in before] == [66, 12, 3, 0]
    assert [bar.get_width() for bar in after] == [10, 12, 3, 0]
    assert [label.get_text() for label in panel.get_yticklabels()] == ["a", "b", "(none)", "empty"]
    assert {"10 of 66", "12", "3", "0"} <= {text.get_text() for text in panel.texts}
    assert [to_hex(bar.get_facecolor()) == to_hex(INDUSTRIAL) for bar in after] == [True, False, False, False]
    assert [list(line.get_xdata()) for line in panel.lines] == [[36.0, 36.0]]


def test_boxes_are_the_quartiles_of_each_class(panel_of):
    values = {"a": np.array([1.0, 2, 3, 4, 5, np.nan]), "b": np.array([10.0, 20, 30]), "empty": np.empty(0)}
    panel = panel_of(by_class, values, "width, px", ("b",))
    boxes = [np.asarray(patch.get_path().vertices)[:, 0] for patch in panel.patches]
    for box, column in zip(boxes, list(values.values())[:2], strict=False):
        known = column[np.isfinite(column)]
        assert (box.min(), box.max()) == tuple(np.percentile(known, [25, 75]))
    medians = [line.get_xdata()[0] for line in panel.lines if line.get_color() == INK]
    assert medians[:2] == [3.0, 20.0]
    assert [label.get_text() for label in panel.get_yticklabels()] == ["a", "b", "empty"]
    assert panel.get_xlabel() == "width, px"
    colors = [to_hex(patch.get_facecolor()) for patch in panel.patches]
    assert colors[:2] == [to_hex(LINE_COLORS[5]), to_hex(INDUSTRIAL)]


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """Pictures, of which the over-full class is balanced."""
    folder = tmp_path_factory.mktemp("figures")
    photos = write_pictures(folder / "files")
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("jobs.curate_report.write_report", lambda desk: {})
        assert curate.main(["balance", picture_run(folder)]) == DONE
        assert curate.main(["apply", picture_run(folder)]) == DONE
    return folder, photos


def test_the_report_draws_what_numpy_counts_in_the_files(world, monkeypatch):
    folder, _ = world
    drawn = {}

    def bars(counts, kept, over_full, bound):
        drawn["Tiles by class"] = (dict(counts), dict(kept), tuple(over_full), bound)
        return b""

    def boxes(values, unit, marked):
        drawn[unit] = (values, tuple(marked))
        return b""

    monkeypatch.setattr("jobs.curate_report.class_counts", bars)
    monkeypatch.setattr("jobs.curate_report.by_class", boxes)
    assert curate.main(["report", picture_run(folder)]) == DONE
    page = (folder / "out/curation/report.html").read_text()
    for title in ("Tiles by class", "Width", "Height", "Mean pixel"):
        assert f"<h3>{title}</h3>" in page
    names = sorted(str(path.relative_to(folder / "files")) for path in (folder / "files").rglob("*.png"))
    names.remove("birds/006.png")  # it is damaged
    images = {name: np.asarray(Image.open(folder / "files" / name)) for name in names}
    counted = Counter(name.split("/")[0] for name in images)
    counts, kept, over_full, bound = drawn["Tiles by class"]
    assert counts == counted
    assert counts["cars"] == MANY
    assert kept == counted | {"cars": 10}
    assert (over_full, bound) == (("cars",), 3 * np.median(list(counted.values())))
    for unit, number in (
        ("width, px", lambda image: image.shape[1]),
        ("height, px", lambda image: image.shape[0]),
        ("mean pixel, digital numbers", np.mean),
    ):
        values, marked = drawn[unit]
        assert marked == DIRTY
        assert list(values) == sorted((*CLEAN, *DIRTY))
        for name, column in values.items():
            wanted = [number(image) for path, image in images.items() if path.startswith(f"{name}/")]
            np.testing.assert_allclose(column, wanted, rtol=1e-6)


@pytest.mark.parametrize("known", [True, False])
def test_the_example_pair_shows_an_illustration_and_a_photo_with_their_means(world, monkeypatch, known):
    folder, photos = world
    store = TileStore(str(next((folder / "out/tiles").glob("*.zarr"))))
    ids = [tile["id"] for tile in store.tiles]
    rows = np.array([row for row, name in enumerate(ids) if name.split("/")[0] in DIRTY])
    pixel, photo = store.facts("pixel")[rows], np.isin([ids[row] for row in rows], sorted(photos))
    shown = []
    monkeypatch.setattr("jobs.illustrations_report.picture_of", lambda store, row: shown.append(row))
    monkeypatch.setattr("jobs.illustrations_report.sheet", lambda pictures, titles, columns: "; ".join(titles).encode())
    figure = example_pair(store, rows, pixel, photo if known else None)
    means = [np.asarray(Image.open(folder / "files" / ids[row])).mean() for row in shown]
    assert figure.png.decode() == f"illustration: {means[0]:.2f}; photo: {means[1]:.2f}"
    assert [ids[row] in photos for row in shown] == [False, True]
    if known:
        for row, wanted, of_side in zip(shown, EXAMPLE, (~photo, photo), strict=True):
            nearest = np.abs(pixel[of_side] - wanted).min()
            assert abs(store.facts("pixel")[row] - wanted) == nearest
    else:
        assert means == [pytest.approx(pixel.max()), pytest.approx(pixel.min())]
    assert "220.19" in figure.caption

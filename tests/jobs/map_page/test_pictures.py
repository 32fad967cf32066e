"""Tiles show what the rasters hold, wherever they lie."""

import math
import shutil
from contextlib import ExitStack

import numpy as np
import pyproj
import pytest
import rasterio
import shapely

from jobs import map as map_job
from jobs.map_page.description import ShownRun
from jobs.map_page.imagery import Imagery
from jobs.map_page.layers import ImageryLayer, raster_layers
from jobs.map_page.pictures import png_of, tile_picture
from jobs.map_page.published_run import open_published
from jobs.map_page.xyz import TILE_PX, Bounds, tile_box, world_grid
from tests.jobs.worlds import World, answering, small_cells, write_tif
from tiler.classes import NO_CLASS


def raster_places(path, zoom, x, y):
    """For each pixel of a tile the raster's pixel that holds its centre, by GDAL's own numbers: row, col, inside."""
    with rasterio.open(path) as data:
        crs, transform, height, width = data.crs.to_wkt(), data.transform, data.height, data.width
    box = tile_box(zoom, x, y)
    cols, rows = np.meshgrid(np.arange(box.x0, box.x1) + 0.5, np.arange(box.y0, box.y1) + 0.5)
    east, north = world_grid(zoom).xy(rows, cols)
    px, py = pyproj.Transformer.from_crs("EPSG:3857", crs, always_xy=True).transform(east, north)
    c, r = ~transform @ (px, py)
    inside = (r >= 0) & (r < height) & (c >= 0) & (c < width)
    return np.floor(r), np.floor(c), inside, np.hypot(r - np.round(r), c - np.round(c))


def test_the_class_map_is_drawn_pixel_by_pixel(shown):
    layer = shown.by_id["class"]
    with rasterio.open(layer.path) as data:
        values = data.read(1)
    drawn = 0
    for x, y in layer.bounds.tiles(layer.native_zoom):
        picture = tile_picture(layer, layer.native_zoom, x, y)
        rows, cols, inside, _ = raster_places(layer.path, layer.native_zoom, x, y)
        expected = np.full((TILE_PX, TILE_PX), NO_CLASS)
        expected[inside] = values[rows[inside].astype(int), cols[inside].astype(int)]
        found = np.full_like(expected, NO_CLASS) if picture is None else picture.pixels
        assert (found != expected).mean() < 1e-3  # centres that lie on a border to a hundredth of a pixel
        drawn += 0 if picture is None else 1
    assert drawn > 0
    assert {0, 1} <= set(np.unique(values))


@pytest.mark.parametrize("zoom_out", [0, 2, 5])
def test_probabilities_are_averaged_and_holes_stay_holes(shown, zoom_out):
    layer = shown.by_id["probability"]
    zoom = layer.native_zoom - zoom_out
    pictures = [tile_picture(layer, zoom, x, y) for x, y in layer.bounds.tiles(zoom)]
    shown_px = sum(int((one.pixels < 255).sum()) for one in pictures if one is not None)
    with rasterio.open(layer.path) as data:
        seen = np.isfinite(data.read(1)).sum() * 100
    middle = math.radians((layer.bounds.south + layer.bounds.north) / 2)
    pixel_m2 = (2 * 20037508.342789244 / 256 / 2**zoom * math.cos(middle)) ** 2
    assert shown_px * pixel_m2 == pytest.approx(seen, rel=0.02 if zoom_out < 5 else 0.3)


def test_outside_of_a_layer_nothing_is_drawn(shown):
    layer = shown.by_id["class"]
    x, y = next(layer.bounds.tiles(layer.native_zoom))
    assert tile_picture(layer, layer.native_zoom, x - 5, y) is None
    for at in ((3, 8, 0), (3, 0, 8), (-1, 0, 0), (23, 0, 0), (3, -1, 0)):
        with pytest.raises(ValueError, match="there is no tile"):
            tile_picture(layer, *at)


def test_a_map_across_the_antimeridian_is_drawn_on_both_sides(tmp_path):
    values = np.tile(np.linspace(0, 1, 400, dtype=np.float32), (150, 1))
    place = rasterio.Affine(100.0, 0.0, 620_000.0, 0.0, -100.0, 7_220_000.0)
    path = tmp_path / "probability.tif"
    write_tif(path, values, crs="EPSG:32660", transform=place, nodata=math.nan)
    (layer,) = raster_layers("probability", path)
    tiles = {at: tile_picture(layer, 9, *at) for at in layer.bounds.tiles(9)}
    columns = {x for (x, _), picture in tiles.items() if picture is not None}
    assert {0, 511} <= columns
    for y in {y for _, y in tiles}:
        west, east = tiles[511, y], tiles[0, y]
        if west is None or east is None:
            continue
        last, first = west.pixels[:, -1].astype(int), east.pixels[:, 0].astype(int)
        both = (last < 255) & (first < 255)
        assert both.any()
        assert np.abs(last - first)[both].max() <= 2  # the ramp goes on where the world begins again


def test_imagery_shows_scenes_and_lets_holes_through(shown):
    layer = shown.by_id["imagery-colour"]
    assert isinstance(layer, ImageryLayer)
    zoom = layer.native_zoom
    pictures = {at: tile_picture(layer, zoom, *at) for at in layer.bounds.tiles(zoom)}
    assert any(one is not None and one.pixels[..., :3].std() > 10 for one in pictures.values())
    opaque = sum(int((one.pixels[..., 3] == 255).sum()) for one in pictures.values() if one is not None)
    middle = math.radians((layer.bounds.south + layer.bounds.north) / 2)
    pixel_m2 = (2 * 20037508.342789244 / 256 / 2**zoom * math.cos(middle)) ** 2
    with rasterio.open(shown.by_id["count"].path) as data:
        seen = ((data.read(1) > 0) & (data.read(1) != 65535)).sum() * 100
    assert opaque * pixel_m2 == pytest.approx(seen, rel=0.03)


def test_near_infrared_is_another_picture(shown):
    layer = shown.by_id["imagery-colour"]
    at = max(layer.bounds.tiles(14), key=lambda one: (tile_picture(layer, 14, *one) is not None, one))
    colour, nir = (tile_picture(shown.by_id[f"imagery-{view}"], 14, *at) for view in ("colour", "nir"))
    assert (colour.pixels[..., 3] == nir.pixels[..., 3]).all()
    assert (colour.pixels[..., 0] == nir.pixels[..., 1]).all()  # red is shown as green
    assert (colour.pixels[..., 0] != nir.pixels[..., 0]).any()


def test_a_png_holds_the_picture(shown):
    import io

    from PIL import Image

    for name in ("class", "probability", "imagery-nir"):
        layer = shown.by_id[name]
        pictures = [p for at in layer.bounds.tiles(13) if (p := tile_picture(layer, 13, *at)) is not None]
        read = np.asarray(Image.open(io.BytesIO(png_of(pictures[0]))).convert("RGBA"))
        np.testing.assert_array_equal(read, pictures[0].rgba)


def test_a_map_in_sheets_is_drawn_as_one_in_a_file(published, tmp_path):
    """Sheets and the virtual raster over them are another folder, and the same pictures."""
    settings = {**published.settings, "out": str(tmp_path / "out")}
    shutil.copytree(published.out, tmp_path / "out", symlinks=True)
    here = World(tmp_path, settings)
    with answering(), small_cells():
        assert map_job.main(here.command("publish.one_file_px=64", "publish.sheet_cells=1")) == 0
    found = open_published(str(here.out), ExitStack())
    assert found.files["class"].suffix == ".vrt"
    sheets = ShownRun.of("a", found)
    whole = ShownRun.of("a", open_published(str(published.out), ExitStack()))
    for name in ("class", "probability", "latest"):
        layer, other = sheets.by_id[name], whole.by_id[name]
        assert layer.native_zoom == other.native_zoom
        for zoom in (layer.native_zoom, layer.native_zoom - 1):
            for at in layer.bounds.tiles(zoom):
                one, two = tile_picture(layer, zoom, *at), tile_picture(other, zoom, *at)
                assert (one is None) == (two is None)
                if one is not None:
                    np.testing.assert_array_equal(one.rgba, two.rgba)


def test_what_nobody_saw_is_seen_through_in_every_layer(shown):
    zoom, opaque = shown.by_id["class"].native_zoom, 0
    for at in shown.by_id["class"].bounds.tiles(zoom):
        pictures = [tile_picture(shown.by_id[name], zoom, *at) for name in ("class", "count", "latest")]
        masks = [np.zeros((256, 256), bool) if one is None else one.rgba[..., 3] > 0 for one in pictures]
        assert all(one is None for one in pictures) or not any(one is None for one in pictures)
        assert (masks[0] == masks[1]).all()
        assert (masks[0] == masks[2]).all()
        opaque += masks[0].sum()
    assert opaque


def test_scenes_under_others_are_not_read(shown, monkeypatch):
    imagery = shown.by_id["imagery-colour"].imagery
    first, last = (shapely.Polygon(one.outline) for one in imagery.scenes)
    at = (first & last).representative_point()
    ((x, y),) = Bounds(at.x, at.y, at.x, at.y).tiles(19)
    both, asked = imagery.tile("colour", 19, x, y), []
    of_scene = Imagery._warped
    monkeypatch.setattr(Imagery, "_warped", lambda self, *of: asked.append(of[0].store.id) or of_scene(self, *of))
    np.testing.assert_array_equal(imagery.tile("colour", 19, x, y), both)
    assert asked == [imagery.scenes[-1].store.id]
    assert (both[..., 3] == 255).all()

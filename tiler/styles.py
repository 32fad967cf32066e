"""QGIS styles: a `.qml` beside each product, which QGIS takes up by itself when the product is opened.

Class maps get the colours and names of their own table; other products a ramp over the range of their values, shown in
QGIS' own terms (`paletted` and `singlebandpseudocolor` of the QGIS 3 style format).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from xml.etree import ElementTree

from tiler.cog import BandStatistics, CogSpec

Rgb = tuple[int, int, int]
HEADER = "<!DOCTYPE qgis PUBLIC 'http://mrcc.com/qgis.dtd' 'SYSTEM'>\n"
QGIS_VERSION = "3.22"
"""Whose format it is; later versions read it."""
SURE: tuple[Rgb, ...] = ((247, 247, 245), (241, 200, 215), (226, 122, 162), (190, 24, 93), (96, 6, 44))
"""Of probabilities: from paper to the colour of the class."""
DARK_TO_LIGHT: tuple[Rgb, ...] = ((68, 1, 84), (59, 82, 139), (33, 145, 140), (94, 201, 98), (253, 231, 37))
"""Five of viridis (van der Walt and Smith 2015): even steps for every eye."""


def style_of(spec: CogSpec, low: float, high: float, names: Mapping[int, str] | None = None) -> str:
    """Return the style of a product as XML.

    Args:
        spec: the product; of several bands the first is shown.
        low: value of the first colour; not used where the product has a colour table.
        high: value of the last colour.
        names: of the values of the colour table.
    """
    root = ElementTree.Element("qgis", version=QGIS_VERSION, styleCategories="AllStyleCategories")
    pipe = ElementTree.SubElement(root, "pipe")
    kind = "singlebandpseudocolor" if spec.colors is None else "paletted"
    renderer = ElementTree.SubElement(pipe, "rasterrenderer", type=kind, band="1", opacity="1", alphaBand="-1")
    if spec.colors is None:
        _ramp(renderer, low, high, SURE if spec.name == "probability" else DARK_TO_LIGHT)
    else:
        palette = ElementTree.SubElement(renderer, "colorPalette")
        for value, (*rgb, alpha) in spec.colors.items():
            label = (names or {}).get(value, str(value))
            entry = {"value": str(value), "color": _hex(rgb), "alpha": str(alpha), "label": label}
            ElementTree.SubElement(palette, "paletteEntry", entry)
    ElementTree.SubElement(root, "blendMode").text = "0"
    ElementTree.indent(root, " ")
    return HEADER + ElementTree.tostring(root, encoding="unicode") + "\n"


def write_style(path: Path, spec: CogSpec, names: Mapping[int, str], first: BandStatistics) -> Path:
    """Write the style of a product's file beside it, and return its path.

    Args:
        path: of the product; the file itself may lie elsewhere already.
        spec: what it holds.
        names: of the values of a class map.
        first: of the first band's pixels.
    """
    low, high = (0.0, 1.0) if spec.name == "probability" else _range(first)
    style = path.with_suffix(".qml")
    style.write_text(style_of(spec, low, high, names), encoding="utf-8")
    return style


def _range(first: BandStatistics) -> tuple[float, float]:
    """Return the ends of a band's values, apart, so that ramps have steps."""
    low, high = (first.minimum, first.maximum) if first.count else (0.0, 0.0)
    return low, high if high > low else low + 1.0


def _ramp(renderer: ElementTree.Element, low: float, high: float, colors: Sequence[Rgb]) -> None:
    """Add a ramp of colours between two values, linear between its stops."""
    renderer.set("classificationMin", f"{low:g}")
    renderer.set("classificationMax", f"{high:g}")
    shader = ElementTree.SubElement(ElementTree.SubElement(renderer, "rastershader"), "colorrampshader")
    modes = {"colorRampType": "INTERPOLATED", "classificationMode": "1", "clip": "0"}
    ends = {"minimumValue": f"{low:g}", "maximumValue": f"{high:g}"}
    for key, value in (modes | ends).items():
        shader.set(key, value)
    for place, color in enumerate(colors):
        stop = low + (high - low) * place / (len(colors) - 1)
        item = {"value": f"{stop:.6g}", "color": _hex(color), "alpha": "255", "label": f"{stop:.3g}"}
        ElementTree.SubElement(shader, "item", item)


def _hex(rgb: Sequence[int]) -> str:
    return "#{:02x}{:02x}{:02x}".format(*rgb)

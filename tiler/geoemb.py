"""The attributes that a group of embeddings carries after the public geoemb and proj conventions for zarr.

geoemb v1: https://github.com/geo-embeddings/embeddings-zarr-convention, proj v0.1:
https://github.com/zarr-conventions/proj. Both speak of models and sources by URI. Where one has no public address it is
named by a URN of its digest: that stays true wherever the files go, and tells nothing of who made them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

GEOEMB = {
    "schema_url": "https://raw.githubusercontent.com/geo-embeddings/embeddings-zarr-convention/refs/tags/v1/schema.json",
    "spec_url": "https://github.com/geo-embeddings/embeddings-zarr-convention/blob/v1/README.md",
    "uuid": "61c12cc5-0e28-4056-999a-480cf3fb7e4c",
    "name": "geoemb:",
    "description": "Geoembeddings convention for geospatial embedding arrays with model provenance",
}
PROJ = {
    "schema_url": "https://raw.githubusercontent.com/zarr-conventions/proj/refs/tags/v0.1/schema.json",
    "spec_url": "https://github.com/zarr-conventions/proj/blob/v0.1/README.md",
    "uuid": "f17cb550-5864-4468-aeb7-f3180cfb622f",
    "name": "proj",
    "description": "Coordinate reference system information for geospatial data",
}
LAYOUTS = ("regular_grid", "irregular")
URI = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:\S+")


def urn(kind: str, name: str) -> str:
    """Return a URI for something that has no public address: `urn:sandan:<kind>:<name>`.

    Args:
        kind: what it is: "embedder", "scene", "frames".
        name: digest or name of a store; what a URN cannot hold becomes "-".
    """
    return f"urn:sandan:{kind}:{re.sub(r'[^A-Za-z0-9._~:-]', '-', name)}"


def chip_attributes(
    *,
    dimension: int,
    model: str,
    sources: Sequence[str],
    chip_px: tuple[int, int],
    stride_px: tuple[int, int],
    gsd_m: float | None = None,
    crs_wkt: str | None = None,
) -> dict[str, Any]:
    """Return the group attributes of embeddings of chips (windows, whole frames) that are stored as float16.

    Args:
        dimension: numbers in one embedding.
        model: URI of the network.
        sources: URIs of what was embedded, at least one.
        chip_px: height and width of a chip in pixels.
        stride_px: distance of neighbouring chips, y and x.
        gsd_m: ground sample distance in metres, where known.
        crs_wkt: coordinate reference system of the chips, where they have one.

    Raises:
        ValueError: what the convention does not allow.
    """
    found: dict[str, Any] = {
        "zarr_conventions": [GEOEMB] if crs_wkt is None else [GEOEMB, PROJ],
        "geoemb:type": "chip",
        "geoemb:dimensions": dimension,
        "geoemb:model": model,
        "geoemb:source_data": list(sources),
        "geoemb:data_type": "float16",
        "geoemb:chip_layout": {
            "layout_type": "regular_grid",
            "chip_size": list(chip_px),
            "stride": list(stride_px),
        },
    }
    if gsd_m is not None:
        found["geoemb:gsd"] = gsd_m
    if crs_wkt is not None:
        found["proj:wkt2"] = crs_wkt
    check_geoemb(found)
    return found


def check_geoemb(attributes: Mapping[str, Any]) -> None:
    """Refuse group attributes that do not follow the geoemb convention v1.

    Raises:
        ValueError: names every field that is missing or is not what the convention asks for.
    """
    faults = [f"{name} ({asked})" for name, asked, good in _checks(attributes) if not good]
    if faults:
        raise ValueError(f"the attributes do not follow the geoemb convention v1: {', '.join(faults)}")


def _checks(attributes: Mapping[str, Any]) -> list[tuple[str, str, bool]]:
    """Return name, what is asked, and whether it is so, of every field."""
    conventions = attributes.get("zarr_conventions")
    registered = isinstance(conventions, list | tuple) and any(
        isinstance(one, Mapping) and one.get("uuid") == GEOEMB["uuid"] for one in conventions
    )
    kind, sources = attributes.get("geoemb:type"), attributes.get("geoemb:source_data")
    some = isinstance(sources, list | tuple) and len(sources) > 0
    checks = [
        ("zarr_conventions", f"holds the entry with uuid {GEOEMB['uuid']}", registered),
        ("geoemb:type", "pixel or chip", kind in ("pixel", "chip")),
        ("geoemb:dimensions", "whole number from 1", _whole(attributes.get("geoemb:dimensions"))),
        ("geoemb:model", "URI", _uri(attributes.get("geoemb:model"))),
        ("geoemb:source_data", "list of one URI or more", some and all(map(_uri, sources or ()))),
        ("geoemb:data_type", "name of a type", bool(attributes.get("geoemb:data_type"))),
    ]
    if "geoemb:gsd" in attributes:
        gsd = attributes["geoemb:gsd"]
        checks.append(("geoemb:gsd", "metres above 0", isinstance(gsd, int | float) and gsd > 0))
    if kind == "chip" or "geoemb:chip_layout" in attributes:
        layout = attributes.get("geoemb:chip_layout")
        layout = layout if isinstance(layout, Mapping) else {}
        checks += [
            ("geoemb:chip_layout.layout_type", " or ".join(LAYOUTS), layout.get("layout_type") in LAYOUTS),
            ("geoemb:chip_layout.chip_size", "two whole numbers from 1", _pair(layout.get("chip_size"))),
        ]
        if "stride" in layout:
            checks.append(("geoemb:chip_layout.stride", "two whole numbers from 1", _pair(layout["stride"])))
    return checks


def _whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1


def _pair(value: object) -> bool:
    return isinstance(value, list | tuple) and len(value) == 2 and all(map(_whole, value))


def _uri(value: object) -> bool:
    return isinstance(value, str) and URI.fullmatch(value) is not None

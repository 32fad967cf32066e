"""The STAC catalogue of a run: which map this is, of what it was made, by which networks, and how to read it.

Layout, all links relative, so the folder can be moved or copied into a bucket as it is:

    catalog.json
    map.json                      the products, with projection, statistics, sizes and checksums; its version
    models/NAME/NAME.json         one item per network (machine learning model extension)
    sheets/NAME/NAME.json         one item per sheet of a map that is too large for one file

Extension fields are plain data here: pystac's helper classes change between its versions, the fields do not.
"""

import json
import math
import posixpath
import re
from collections.abc import Iterable, Sequence
from datetime import datetime as Datetime
from pathlib import Path
from typing import Any

import pystac
import pystac.utils
from pystac.layout import CustomLayoutStrategy

from tiler.catalog_facts import STATISTICS, AssetFacts, BandFacts, CatalogFacts, ClassFacts, ModelFacts

SCHEMAS = "https://stac-extensions.github.io"
EXTENSIONS = {
    "projection": "2.0.0",
    "raster": "2.0.0",
    "file": "2.1.0",
    "processing": "1.2.0",
    "classification": "2.0.0",
    "mlm": "1.4.0",
    "version": "1.2.0",
}
WEIGHTS_TYPE = "application/octet-stream; framework=pytorch"
TASKS = ("semantic-segmentation",)


def write_catalog(directory: Path, *, facts: CatalogFacts) -> Path:
    """Write `catalog.json` and its items into `directory` (a local folder); return the path of `catalog.json`.

    Written over an earlier catalogue, it replaces it. Raises OSError from the disk.
    """
    map_id = f"{facts.run_id}-map"
    catalog = pystac.Catalog(id=facts.run_id, title=facts.title, description=facts.lineage)
    sheets = {f"{map_id}-{name}": _sheet_path(name) for name in facts.sheets}
    paths = {map_id: "map.json", **sheets, **{model.name: _model_path(model.name) for model in facts.models}}
    catalog.add_items([_map_item(map_id, facts), *(_model_item(model, facts) for model in facts.models)])
    catalog.add_items([_map_item(f"{map_id}-{name}", sheet, "../../", name) for name, sheet in facts.sheets.items()])
    folders = CustomLayoutStrategy(item_func=lambda item, top: f"{top}/{paths[item.id]}")
    catalog.normalize_hrefs(str(Path(directory).absolute()), strategy=folders)
    catalog.save(catalog_type=pystac.CatalogType.SELF_CONTAINED)
    if facts.predecessor is not None:
        _link_predecessor(Path(directory) / "map.json", facts.predecessor)
    return Path(directory) / "catalog.json"


def _link_predecessor(path: Path, href: str) -> None:
    """Add the link to the last map's item; pystac would read that item, which may lie in a bucket, or be swept."""
    item = json.loads(path.read_text(encoding="utf-8"))
    item["links"].append({"rel": "predecessor-version", "href": href, "type": "application/geo+json"})
    path.write_text(json.dumps(item, indent=2), encoding="utf-8")


def _text(time: Datetime | None) -> str | None:
    return None if time is None else pystac.utils.datetime_to_str(time)


def _model_path(name: str) -> str:
    return f"models/{name}/{name}.json"


def _sheet_path(name: str) -> str:
    return f"sheets/{name}/{name}.json"


def _map_item(map_id: str, facts: CatalogFacts, up: str = "./", sheet: str = "") -> pystac.Item:
    """The item of a map, or of a sheet of it whose folder lies below that of the catalogue."""
    properties = {
        "title": f"{facts.title}, sheet {sheet}" if sheet else facts.title,
        "created": _text(facts.created),
        "proj:code": f"EPSG:{facts.epsg}" if facts.epsg else None,
        "proj:wkt2": facts.crs_wkt,
        "proj:shape": list(facts.shape),
        "proj:transform": list(facts.transform),
        "processing:level": "L4",  # the level of model output
        "processing:lineage": facts.lineage,
        "processing:software": dict(facts.software),
        "processing:datetime": _text(facts.created),
        "sandan:scenes": [{"id": scene.id, "datetime": _text(scene.datetime)} for scene in facts.scenes],
        **facts.properties,
    }
    used = ["projection", "raster", "file", "processing", "classification"]
    if facts.version is not None:
        properties["version"] = facts.version
        used.append("version")
    item = _item(map_id, facts, properties, used)
    for key, asset in facts.assets.items():
        item.add_asset(key, _asset(key, asset, facts))
    item.add_links(_sources(facts, up))
    return item


def _item(name: str, facts: CatalogFacts, properties: dict[str, Any], extensions: Iterable[str]) -> pystac.Item:
    """An item over the map's place and time; without acquisition times STAC still wants one: that of the run."""
    return pystac.Item(
        id=name,
        geometry=dict(facts.footprint),
        bbox=list(facts.bbox),
        datetime=facts.created if facts.start is None else None,
        start_datetime=facts.start,
        end_datetime=facts.end,
        properties=properties,
        stac_extensions=[f"{SCHEMAS}/{name}/v{EXTENSIONS[name]}/schema.json" for name in extensions],
    )


def _sources(facts: CatalogFacts, up: str) -> list[pystac.Link]:
    """Of what the map was derived: its scenes' files, then the items of its networks."""
    scenes = [pystac.Link("derived_from", href, title=scene.id) for scene in facts.scenes for href in scene.hrefs]
    models = [
        pystac.Link(
            "derived_from",
            f"{up}{_model_path(model.name)}",
            "application/geo+json",
            extra_fields={"mlm:name": model.name},
        )
        for model in facts.models
    ]
    return scenes + models


def _file(size_bytes: int | None, sha256: str | None) -> dict[str, Any]:
    """Fields of the file extension; 1220 is the multihash prefix of SHA-256 with its 32 bytes."""
    size = {} if size_bytes is None else {"file:size": size_bytes}
    return size if sha256 is None else size | {"file:checksum": f"1220{sha256}"}


def _asset(key: str, asset: AssetFacts, facts: CatalogFacts) -> pystac.Asset:
    fields = _file(asset.size_bytes, asset.sha256)
    if asset.dtype is not None:
        fields["bands"] = [_band(band, asset, facts) for band in asset.bands]
    if asset.classes:
        fields["classification:classes"] = _classes(asset.classes)
    return pystac.Asset(asset.href, asset.title, None, asset.media_type, list(asset.roles), fields)


def _classes(classes: Sequence[ClassFacts]) -> list[dict[str, Any]]:
    """The extension's names are of ASCII letters, digits, - and _ only: the title says what any other name is."""
    found: list[dict[str, Any]] = []
    for one in classes:
        name = re.sub("[^0-9A-Za-z_-]+", "-", one.name).strip("-") or f"class-{one.value}"
        if name in {earlier["name"] for earlier in found}:
            name = f"{name}-{one.value}"
        title = {} if name == one.name else {"title": one.name}
        color = {} if one.color is None else {"color_hint": "{:02X}{:02X}{:02X}".format(*one.color)}
        found.append({"value": one.value, "name": name, **title, **color})
    return found


def _band(facts_of_band: BandFacts, asset: AssetFacts, facts: CatalogFacts) -> dict[str, Any]:
    """Since STAC 1.1 the values of a band are core fields; JSON has no NaN, so nodata says "nan"."""
    band: dict[str, Any] = {"name": facts_of_band.name, "data_type": asset.dtype, "raster:sampling": "area"}
    if asset.nodata is not None:
        band["nodata"] = "nan" if math.isnan(asset.nodata) else asset.nodata
    if facts_of_band.unit:
        band["unit"] = facts_of_band.unit
    if facts_of_band.statistics:
        known = facts_of_band.statistics
        band["statistics"] = {name: known[name] for name in STATISTICS if name in known}
    if facts.resolution_m is not None:
        band["raster:spatial_resolution"] = facts.resolution_m
    return band


def _model_item(model: ModelFacts, facts: CatalogFacts) -> pystac.Item:
    bands = [{"name": channel} for channel in model.channels]
    properties: dict[str, Any] = {
        "title": f"{model.architecture} with {model.encoder}" if model.encoder else model.architecture,
        "created": _text(facts.created),
        "bands": bands,  # the model extension wants them here, STAC only if an asset has them as well
        "mlm:name": model.name,
        "mlm:architecture": model.architecture,
        "mlm:tasks": list(TASKS),
        "mlm:framework": "PyTorch",
        "mlm:framework_version": model.framework_version,
        "mlm:input": [_input(model)],
        "mlm:output": [_output(model)],
        "mlm:hyperparameters": {"encoder": model.encoder or "none", "bundle_digest": model.digest},
    }
    item = _item(model.name, facts, properties, ("mlm", "file", "classification"))
    local = "://" not in model.href and not model.href.startswith("/")
    href = posixpath.normpath(f"../../{model.href}") if local else model.href  # seen from the item's folder
    fields = _file(model.weights_bytes, model.weights_sha256)
    fields |= {"bands": bands, "mlm:artifact_type": "safetensors.torch.save_file"}
    item.add_asset("weights", pystac.Asset(href, "Weights", None, WEIGHTS_TYPE, ["mlm:model", "mlm:weights"], fields))
    return item


def _input(model: ModelFacts) -> dict[str, Any]:
    scaling = [{"type": "z-score", "mean": one["mean"], "stddev": one["stddev"]} for one in model.scaling] or None
    tensor = _tensor(len(model.channels), model.tile_px)
    return {"name": "tile", "bands": list(model.channels), "input": tensor, "value_scaling": scaling}


def _output(model: ModelFacts) -> dict[str, Any]:
    classes = _classes([ClassFacts(value, name) for value, name in enumerate(model.classes)])
    tensor = _tensor(model.outputs, model.tile_px)
    return {"name": "logits", "tasks": list(TASKS), "result": tensor, "classification:classes": classes}


def _tensor(channels: int, side_px: int) -> dict[str, Any]:
    order = ["batch", "channel", "height", "width"]
    return {"shape": [-1, channels, side_px, side_px], "dim_order": order, "data_type": "float32"}

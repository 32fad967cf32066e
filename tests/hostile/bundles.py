"""Bundles that would run code, lie about their tensors, or are no bundles: cards when planning, weights when loaded."""

import hashlib
import io
import json
import pickle
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import yaml

from jobs.bundles import read_bundles
from jobs.map import main
from models.bundle import load_files
from models.weight_sources import read_state
from tests.hostile.cases import Case
from tests.jobs.worlds import write_bundle
from tests.tiler.rasters_for_tests import numbers, write_tif

PICKLED = "pickled-code-was-run"


class Evil:
    """Leaves a file when it is unpickled."""

    def __init__(self, place: Path) -> None:
        self.place = place

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.place / PICKLED,)


def header(tensors: dict[str, Any], data: bytes = b"", length: int | None = None) -> bytes:
    """Return a safetensors file."""
    text = json.dumps(tensors).encode()
    return struct.pack("<Q", len(text) if length is None else length) + text + data


def tensor(kind: str, shape: list[int], start: int, stop: int) -> dict[str, Any]:
    """Return how a header describes a tensor."""
    return {"dtype": kind, "shape": shape, "data_offsets": [start, stop]}


def spoilt_weights(good: bytes, folder: Path) -> dict[str, bytes]:
    """Return weights none of which is a network's; the card is made to fit their digest."""
    (size,) = struct.unpack("<Q", good[:8])
    described, data = json.loads(good[8 : 8 + size]), good[8 + size :]
    first = next(name for name, one in described.items() if name != "__metadata__" and one["dtype"] == "F32")
    start, stop = described[first]["data_offsets"]

    def changed(**fields: Any) -> bytes:
        return header({**described, first: {**described[first], **fields}}, data)

    zipped = io.BytesIO()
    with zipfile.ZipFile(zipped, "w") as archive:
        archive.writestr("archive/data.pkl", pickle.dumps(Evil(folder)))
    saved = io.BytesIO()
    torch.save({"x": Evil(folder)}, saved)
    return {
        "a pickle": pickle.dumps(Evil(folder)),
        "a pickle in a zip": zipped.getvalue(),
        "what torch.save makes": saved.getvalue(),
        "a header without end": header({}, length=2**63),
        "a header of four gigabytes": header({}, length=2**32),
        "a header beyond the file": header({}, length=10**6),
        "a header of nothing": struct.pack("<Q", 0),
        "a header that is no JSON": struct.pack("<Q", 9) + b"{nothing}",
        "a deep header": struct.pack("<Q", 100_000) + b"[" * 100_000,
        "nothing": b"",
        "no tensors": header({}),
        "cut": good[: len(good) // 2],
        "a byte too many": good + b"x",
        "offsets beyond the file": changed(data_offsets=[start, 10**15]),
        "offsets that go back": changed(data_offsets=[stop, start]),
        "offsets below nought": changed(data_offsets=[-8, stop]),
        "offsets over each other": changed(data_offsets=[0, stop + 4]),
        "a shape that does not fit": changed(shape=[10**9, 10**9, 10**9]),
        "a shape below nought": changed(shape=[-1]),
        "a shape of another order": changed(shape=[1, *described[first]["shape"][::-1]]),
        "an unknown type": changed(dtype="F31"),
        "whole numbers for floats": changed(dtype="I32"),
        "bytes for floats": changed(dtype="U8", shape=[stop - start]),
        "a tensor missing": header(*_without(described, data, first)),
        "a tensor too many": header(described | {"y": tensor("F32", [1], len(data), len(data) + 4)}, data + bytes(4)),
        "a petabyte": header({"x": tensor("F32", [2**48], 0, 2**50)}),
        "NaN": good[: 8 + size + start] + struct.pack("<f", float("nan")) * ((stop - start) // 4) + data[stop:],
        "infinity": good[: 8 + size + start] + struct.pack("<f", float("inf")) * ((stop - start) // 4) + data[stop:],
    }  # fmt: skip


def _without(described: dict[str, Any], data: bytes, name: str) -> tuple[dict[str, Any], bytes]:
    start, stop = described[name]["data_offsets"]
    moved: dict[str, Any] = {}
    for other, one in described.items():
        if other == name or other == "__metadata__":
            continue
        a, b = one["data_offsets"]
        shift = stop - start if a >= stop else 0
        moved[other] = {**one, "data_offsets": [a - shift, b - shift]}
    return moved, data[:start] + data[stop:]


def _cards(card: dict[str, Any]) -> dict[str, bytes]:
    """Return cards that are to be refused when planning."""
    changes: dict[str, dict[str, Any]] = {
        "a name that climbs": {"name": "../../x"},
        "an absolute name": {"name": "/x"},
        "a name of dots": {"name": ".."},
        "no name": {"name": ""},
        "a name of control characters": {"name": "\x1b[2Jx\n"},
        "a name of NUL": {"name": "a\0b"},
        "an endless name": {"name": "x" * 10_000},
        "a class of control characters": {"classes": ["a\nb"]},
        "no classes": {"classes": []},
        "a million channels": {"channels": [f"c{i}" for i in range(100_000)]},
        "channels that the sensor has not": {"channels": ["a", "b", "c", "d", "e"]},
        "offsets of another number": {"offset": [0.0]},
        "a scale of nought": {"scale": [0.0] * 5},
        "a scale below nought": {"scale": [-1.0] * 5},
        "a temperature of nought": {"temperature": 0},
        "another format": {"format": 2},
        "an unknown key": {"code": "import os"},
        "a text as channels": {"channels": "red"},
        "a list as a name": {"name": ["x"]},
    }
    made = {name: json.dumps({**card, **change}).encode() for name, change in changes.items()}
    text = json.dumps(card)
    return made | {
        "an offset that is not a number": text.replace('"offset": [', '"offset": [NaN, ').encode(),
        "an offset without end": text.replace('"offset": [', '"offset": [1e999, ').encode(),
        "a deep split": text.replace('"split": {', '"split": {"a": ' + "[" * 50_000 + "]" * 50_000 + ", ").encode(),
        "a card of eight megabytes": text.encode() + b" " * 2**23,
        "half a card": text[: len(text) // 2].encode(),
        "a pickle": pickle.dumps(Evil(Path("."))),
        "no UTF-8": text.encode().replace(b"unet", b"\xff\xfe"),
        "a list": b"[]",
        "nothing": b"",
        "NUL": b"\0" * 99,
    }


def cases(folder: Path) -> list[Case]:
    """Return every case."""
    scene = write_tif(folder / "scene.tif", numbers(4, 90, 70))
    base = Path(write_bundle(folder / "base"))
    good, card = (base / "weights.safetensors").read_bytes(), json.loads((base / "card.json").read_bytes())
    made = []

    def bundle(name: str, weights: bytes, text: bytes) -> str:
        place = folder / name
        place.mkdir()
        (place / "weights.safetensors").write_bytes(weights)
        (place / "card.json").write_bytes(text)
        return str(place)

    def planned(place: str, **settings: Any) -> Callable[[], object]:
        config = folder / f"{len(made)}.yaml"
        run = {"out": str(folder / "out"), "scenes": scene, "models": [place], "engine": {"kind": "serial"}, **settings}
        config.write_text(yaml.safe_dump(run))
        return lambda: main([str(config), "--dry-run"])

    def loaded(place: str) -> Callable[[], object]:
        return lambda: load_files(read_bundles([place])[0]) and None

    def left() -> None:
        if (folder / PICKLED).exists() or Path(PICKLED).exists():
            raise AssertionError("pickled code was run")

    for number, (name, text) in enumerate(_cards(card).items()):
        made.append(Case(f"card: {name}", planned(bundle(f"card{number}", good, text)), f"card{number}"))
    for number, (name, weights) in enumerate(spoilt_weights(good, folder).items()):
        fitting = json.dumps({**card, "weights_sha256": hashlib.sha256(weights).hexdigest()}).encode()
        made.append(Case(f"weights: {name}", loaded(bundle(f"weights{number}", weights, fitting)), "base"))
        path = folder / f"start{number}.pth"
        path.write_bytes(weights)
        if "pickle" in name or "torch" in name:
            made.append(Case(f"weights to start from: {name}", lambda path=path: read_state(path), path.name))
    made.append(
        Case("weights of another card", loaded(bundle("other", good[:-1] + b"\1", json.dumps(card).encode())), "base")
    )
    for name, changes in {
        "an encoder to be fetched": {"encoder": "tu-hf-hub:evil/model"},
        "an encoder of another place": {"encoder": "../../x"},
        "an unknown architecture": {"architecture": "os.system"},
    }.items():
        text = json.dumps({**card, **changes}).encode()
        made.append(Case(name, loaded(bundle(name.replace(" ", "-"), good, text)), "nknown"))
    made.append(Case("no bundle", planned(str(folder / "none")), "none"))
    made.append(Case("a bundle that is a file", planned(scene), "scene.tif"))
    made.append(Case("windows of nothing", planned(str(base), infer={"tile_px": 0}), "tile_px"))
    made.append(Case("an overlap of all", planned(str(base), infer={"tile_px": 64, "overlap_px": 64}), "overlap"))
    made.append(Case("a bundle as it is", planned(str(base)), None))
    made.append(Case("its weights", loaded(str(base)), None))
    made.append(Case("nothing was run", left, None))
    return made

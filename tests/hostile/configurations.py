"""Configurations that are bombs, say a thing twice, build objects, or are no text."""

import os
from collections.abc import Callable
from pathlib import Path

from jobs.config import RunConfig
from jobs.parsing import load
from jobs.recipe_config import RecipeConfig
from tests.hostile.cases import Case

GOOD = "out: o\nscenes: s/*.tif\n"
LAUGHS = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]\n" for i in range(1, 12)
)
TEXTS = {
    "billion laughs": (LAUGHS + "models: *a11\n", "unfold"),
    "laughs in a mapping": (LAUGHS.replace("[", "{k: [").replace("]", "]}") + "scenes: *a11\n", "unfold"),
    "laughs through merges": (
        "a: &a {x: &b [1,2,3,4,5,6,7,8,9,0]}\n" + LAUGHS + GOOD + "engine: {<<: *a, k: *a11}\n",
        "unfold",
    ),
    "an alias of itself": ("out: &a [*a]\nscenes: x.tif\n", "alias"),
    "a merge of itself": ("out: o\nscenes: x.tif\nengine: &e {<<: *e}\n", "alias"),
    "python object": ("out: !!python/object/apply:os.system [touch pwned]\nscenes: x.tif\n", "the tag"),
    "python name": ("out: !!python/name:os.system\nscenes: x.tif\n", "the tag"),
    "python module": ("!!python/module:os {}", "the tag"),
    "unknown tag": ("out: !secret x\nscenes: x.tif\n", "the tag"),
    "binary": ("out: !!binary '*'\nscenes: x.tif\n", "the tag"),
    "deep lists": ("out: " + "[" * 5000 + "]" * 5000, "deep"),
    "deep mappings": ("out: " + "{a: " * 2000 + "1" + "}" * 2000, "deep"),
    "deep blocks": ("\n".join(" " * i + "a:" for i in range(400)), "deep"),
    "just too deep": ("out: " + "[" * 70 + "]" * 70, "deep"),
    "a key twice": (GOOD + "out: elsewhere\n", "twice"),
    "a key twice below": (GOOD + "engine: {kind: ray, kind: serial}\n", "twice"),
    "no such day": (GOOD + "x: 2024-13-45\n", "month"),
    "a number too long": (GOOD + "x: " + "9" * 5000 + "\n", ""),
    "a list as key": (GOOD + "? [a, b]\n: c\n", "unhashable"),
    "numbers as keys": ("1: 2\n" + GOOD, ""),
    "nothing": ("", "NoneType"),
    "a scalar": ("hello", "str"),
    "a list": ("- a\n- b\n", "list"),
    "two documents": (GOOD + "---\n" + GOOD, "single document"),
    "control characters": ("out: a\x07b\n", "special characters"),
    "NUL": ("out: a\0b\n", "special characters"),
    "NUL in quotes": ('out: o\nscenes: "x\\0.tif"\n', "control characters"),
    "line break in a path": ('out: o\nscenes: "x\\n.tif"\n', "control characters"),
    "escape sequence in a path": ('out: o\nscenes: "\\e[2Jx.tif"\n', "control characters"),
    "half a surrogate": ('out: o\nscenes: "\\ud800.tif"\n', ""),
    "a path without end": ("out: o\nscenes: " + "x" * 100_000 + "\n", "characters"),
    "a huge unknown key": (GOOD + "k" * 900 + ": 1\n", "unknown key"),
    "thousands of wrong scenes": ("out: o\nscenes:\n" + "- {id: '/', file: 1}\n" * 3000, "more like these"),
    "not a number": (GOOD + "grid: {crs: EPSG:5179, resolution_m: .nan}\n", "resolution_m"),
    "infinite": (GOOD + "grid: {crs: EPSG:5179, resolution_m: .inf}\n", "resolution_m"),
    "infinite price": (GOOD + "engine: {kind: serial, price_per_worker_hour: .inf}\n", "price"),
    "infinite tolerance": (GOOD + "evaluate: {size_edges_ha: [0, .inf]}\n", "size_edges_ha"),
    "not a number of a threshold": (GOOD + "fuse: {threshold: .nan}\n", "threshold"),
    "a mapping where a number belongs": (GOOD + "infer: {tile_px: {a: 1}}\n", "tile_px"),
    "a list where a mapping belongs": (GOOD + "infer: [1, 2]\n", "infer"),
    "ids that climb": ("out: o\nscenes: [{id: ../x, files: x.tif}]\n", "id"),
    "an absolute id": ("out: o\nscenes: [{id: /x, files: x.tif}]\n", "id"),
    "an id with a line break": ('out: o\nscenes: [{id: "x\\ny", files: x.tif}]\n', "id"),
    "an id with NUL": ('out: o\nscenes: [{id: "x\\0", files: x.tif}]\n', "id"),
    "an empty id": ("out: o\nscenes: [{id: '', files: x.tif}]\n", "id"),
    "an endless id": (f"out: o\nscenes: [{{id: {'x' * 300}, files: x.tif}}]\n", "id"),
    "a hidden id": ("out: o\nscenes: [{id: .x, files: x.tif}]\n", "id"),
    "extends itself": ("extends: bad.yaml\n", "circle"),
    "extends a list": ("extends: [a, b]\n", "extends"),
    "extends a number": ("extends: 7\n", "extends"),
    "extends NUL": ('extends: "a\\0b"\n', "extends"),
    "extends what is absent": ("extends: none.yaml\n", "none.yaml"),
    "extends a folder": ("extends: .\n", "is not a file"),
    "extends a device": ("extends: /dev/zero\n", "is not a file"),
    "a host that is a pattern": (GOOD + "sources: {schemes: [https], hosts: ['*']}\n", "host"),
    "web without hosts": (GOOD + "sources: {schemes: [https]}\n", "hosts"),
    "an unknown scheme": (GOOD + "sources: {schemes: [ftp]}\n", "schemes"),
}
"""What a file holds, and a word of what must be said of it."""
BYTES = {
    "latin 1": "out: o\nscenes: caf\xe9.tif\n".encode("latin-1"),
    "UTF-16": GOOD.encode("utf-16"),
    "noise": bytes(range(256)) * 9,
    "zeros": b"\0" * 3000,
    "a TIFF": b"II*\0" + bytes(300),
    "too large": b"# nothing\n" * 500_000,
}
SETTINGS = (
    *("", "=", "=1", "engine", "a..b=1", ".=1", "engine.=1", "scenes.0.id=x", "models.9999999999=x", "models.x=1"),
    *("engine.kind=[", "engine.kind=!!python/object:os.x {}", "engine.kind=*a", "engine.kind={a: 1, a: 2}"),
    *("infer.tile_px.x=1", "infer.tile_px=.nan", "infer.tile_px=" + "9" * 5000, "scenes=\0", "scenes=\ud800.tif"),
    *(".".join("abcdefghijklmnopqrstuvw") + "=1", "engine.kind=" + "[" * 3000, "__class__=1", "models=&a [*a]"),
    *("models=" + "x" * 200_000, "k" * 200_000 + "=1", "infer.batch=0", "grid={crs: 1}"),
)
ADDRESSES = (
    *("http://example.org/a.tif", "https://169.254.169.254/latest/a.tif", "ftp://h/a.tif", "file:///etc/a.tif"),
    *("/vsicurl/https://example.org/a.tif", "/vsis3/bucket/a.tif", "/vsizip//vsicurl/https://h/a.zip/a.tif"),
    *("/vsizip/vsicurl/https://h/a.zip/a.tif", "/vsizip/{/vsicurl/https://h/a.zip}/a.tif", "/vsizip/a.zip/../../b.tif"),
    *("/vsimem/a.tif", "/vsistdin/", "/vsisubfile/0_10,/etc/a.tif", "/vsitar//tmp/a.tar/a.tif", "/vsigzip//tmp/a.gz"),
    *("vrt://a.tif", "<VRTDataset/>", "GTIFF_DIR:1:a.tif", 'ZARR:"/vsicurl/http://h"', "WMS:http://h/a", "PG:dbname=x"),
    *(
        "a/http://h/a.tif",
        "s3://",
        "gs:///",
        "S3://bucket/a.tif",
        "az://b/a.tif",
        "memory://a.tif",
        "zip://a.zip!a.tif",
    ),
)
NAMED = (
    *("labels={codes: {1: 1}, files: '@'}", "models=['@']", "area='@'", "modalities=[{sensor: GEMS, files: '@'}]"),
    *("sensor='@'", "infer.adaptive='@'", "regions={file: '@', name: n}", "modalities=[{sensor: '@'}]"),
    *("scenes=[{id: a, files: b.tif, georeference: '@'}]", "scenes=[{id: a, bands: {red: '@'}}]"),
    *("scenes=[{id: a, files: [b.tif, '@']}]", "scenes=[{id: a, files: b.tif, quality: {files: ['@']}}]"),
    *("scenes=[{id: a, modalities: {gems: '@'}}]", "dataset={root: '@'}"),
)
"""Where an address (@) may stand."""


def cases(folder: Path) -> list[Case]:
    """Return every case."""

    def run(path: Path, *settings: str) -> Callable[[], object]:
        return lambda: load(RunConfig, str(path), settings)

    made = []
    for number, (name, (text, says)) in enumerate(TEXTS.items()):
        path = folder / str(number) / "bad.yaml"
        path.parent.mkdir()
        path.write_bytes(text.encode("utf-8", "surrogatepass"))
        made.append(Case(name, run(path), says or "bad.yaml"))
    for name, data in BYTES.items():
        path = folder / f"{name}.yaml"
        path.write_bytes(data)
        made.append(Case(name, run(path), path.name))
    good = folder / "good.yaml"
    good.write_bytes(b"\xef\xbb\xbf" + GOOD.encode())
    made.append(Case("a byte order mark", run(good), None))
    made += [Case(f"--set {text[:60]!a}", run(good, text), "") for text in SETTINGS]
    made += [Case(f"scenes: {a}", run(good, f"scenes='{a}'"), "scenes: ") for a in ADDRESSES]
    for key in NAMED:
        made.append(Case(f"an address in {key}", run(good, key.replace("@", "/vsicurl/http://h/a.tif")), "/vsicurl/"))
    chain = folder / "chain"
    chain.mkdir()
    for number in range(40):
        (chain / f"{number}.yaml").write_text(f"extends: {number + 1}.yaml\n")
    made.append(Case("extends without end", run(chain / "0.yaml"), "extends"))
    os.mkfifo(folder / "pipe.yaml")
    made.append(Case("a pipe", run(folder / "pipe.yaml"), "pipe.yaml"))
    made.append(Case("a device", run(Path("/dev/zero")), "/dev/zero"))
    made.append(Case("a folder", run(folder), "is not a file"))
    made.append(Case("a recipe of laughs", lambda: load(RecipeConfig, str(folder / "0" / "bad.yaml")), "unfold"))
    return made

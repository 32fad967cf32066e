"""Bundles of classifiers and autoencoders that would run code, lie about their sizes, or are of another kind."""

import contextlib
import hashlib
import io
import json
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

from jobs.curate import main as curate
from models.autoencoder import AutoencoderSpec, build_autoencoder
from models.classifier import ClassifierSpec, build_classifier
from models.image_bundle import (
    image_files,
    load_autoencoder,
    load_classifier,
    read_image_bundle,
    save_image_bundle,
)
from models.image_cards import AutoencoderCard, ClassifierCard
from tests.hostile.bundles import PICKLED, Evil, spoilt_weights
from tests.hostile.cases import Case
from tests.jobs.curation_world import picture_run, write_pictures
from tests.jobs.worlds import write_bundle

SCALING: dict[str, Any] = {"offset": (128.0,) * 3, "scale": (64.0,) * 3}
SHARED: dict[str, Any] = {
    "channels": ("red", "green", "blue"),
    "sensor": "RGB",
    "training_data": "none",
    "weights": "random:0",
    "side_px": 32,
    **SCALING,
}


def classifier_files() -> dict[str, bytes]:
    """Return the files of a tiny classifier."""
    spec = ClassifierSpec(in_channels=3, classes=2, side_px=32, widths=(2, 3), hidden=4)
    facts: dict[str, Any] = {"architecture": "cnn", "classes": ("a", "b"), "widths": (2, 3), "hidden": 4}
    card = ClassifierCard(name="c", kind="classifier", **facts, **SHARED)
    return image_files(build_classifier(spec, **SCALING), card)


def autoencoder_files() -> dict[str, bytes]:
    """Return the files of a tiny autoencoder."""
    spec = AutoencoderSpec(in_channels=3, side_px=32, width=2, bottleneck=5)
    card = AutoencoderCard(name="a", kind="autoencoder", width=2, bottleneck=5, **SHARED)
    return image_files(build_autoencoder(spec, **SCALING), card)


CARDS: dict[str, dict[str, Any]] = {
    "a name that climbs": {"name": "../../x"},
    "an absolute name": {"name": "/x"},
    "a name of control characters": {"name": "\x1b[2Jx\n"},
    "an endless name": {"name": "x" * 10_000},
    "another format": {"format": 2},
    "an unknown key": {"code": "import os"},
    "a kind that is none": {"kind": "os.system"},
    "no kind": {"kind": None},
    "a text as channels": {"channels": "red"},
    "a million channels": {"channels": [f"c{i}" for i in range(100_000)]},
    "offsets of another number": {"offset": [0.0]},
    "a scale of nought": {"scale": [0.0] * 3},
    "a side of nought": {"side_px": 0},
    "a side below nought": {"side_px": -32},
    "a side of a billion": {"side_px": 10**9},
    "a side beyond all numbers": {"side_px": 10**400},
    "a side that is a text": {"side_px": "wide"},
    "offsets of other weights": {"offset": [1.0, 2.0, 3.0]},
}
"""Changes of either card."""
OWN: dict[str, dict[str, dict[str, Any]]] = {
    "classifier": {
        "no classes": {"classes": []},
        "one class twice": {"classes": ["a", "a"]},
        "a class of control characters": {"classes": ["a\nb", "c"]},
        "more classes than weights": {"classes": [f"c{i}" for i in range(5_000)]},
        "counts of other classes": {"class_counts": [1]},
        "no widths": {"widths": []},
        "widths of nought": {"widths": [0, 0]},
        "widths of a billion": {"widths": [10**9, 10**9]},
        "wide to four gigabytes": {"widths": [4096, 4096], "side_px": 64, "hidden": 1024},
        "a dense layer beyond memory": {"side_px": 4096, "hidden": 16_384},
        "an unknown architecture": {"architecture": "os.system"},
    },
    "autoencoder": {
        "a width of a billion": {"width": 10**9},
        "a bottleneck of a billion": {"bottleneck": 10**9},
        "a bottleneck of nought": {"bottleneck": 0},
        "275 gigabytes": {"side_px": 1024, "width": 128, "bottleneck": 16_384},
        "a side that cannot be halved": {"side_px": 33},
        "an unknown architecture": {"architecture": "os.system"},
    },
}
LOADERS: dict[str, Callable[..., Any]] = {"classifier": load_classifier, "autoencoder": load_autoencoder}


def cases(folder: Path) -> list[Case]:
    """Return every case."""
    made: list[Case] = []
    files = {"classifier": classifier_files(), "autoencoder": autoencoder_files()}
    for kind, good in files.items():
        load, card = LOADERS[kind], json.loads(good["card.json"])

        def loaded(load=load, good=good, **changed: bytes) -> Callable[[], object]:
            given = {**good, **{name.replace("_", "."): data for name, data in changed.items()}}
            return lambda: load(given) and None

        for name, change in {**CARDS, **OWN[kind]}.items():
            made.append(Case(f"{kind}, card: {name}", loaded(card_json=json.dumps({**card, **change}).encode()), ""))
        for name, text in {
            "half of it": good["card.json"][:99],
            "a deep one": b'{"name": ' + b"[" * 50_000 + b"]" * 50_000 + b"}",
            "eight megabytes": good["card.json"] + b" " * 2**23,
            "a pickle": pickle.dumps(Evil(folder)),
            "a list": b"[]",
            "nothing": b"",
        }.items():
            made.append(Case(f"{kind}, card: {name}", loaded(card_json=text), "card.json"))
        for name, weights in spoilt_weights(good["weights.safetensors"], folder).items():
            fitting = {**card, "weights_sha256": hashlib.sha256(weights).hexdigest()}
            given = {"card_json": json.dumps(fitting).encode(), "weights_safetensors": weights}
            made.append(Case(f"{kind}, weights: {name}", loaded(**given), ""))
        other = files["autoencoder" if kind == "classifier" else "classifier"]
        alone = {name: {name: data} for name, data in good.items()}
        made += [
            Case(f"{kind}: the weights of another card", loaded(weights_safetensors=other["weights.safetensors"]), ""),
            Case(f"{kind}: the other kind", lambda load=load, other=other: load(other) and None, "another kind"),
            Case(f"{kind}: no weights", lambda load=load, some=alone["card.json"]: load(some), "Copy it whole"),
            Case(f"{kind}: no card", lambda load=load, some=alone["weights.safetensors"]: load(some), "Copy it"),
            Case(f"{kind}: as it is", loaded(), None),
        ]  # fmt: skip
    made += _from_disk(folder, files)

    def left() -> None:
        if (folder / PICKLED).exists() or Path(PICKLED).exists():
            raise AssertionError("pickled code was run")

    made.append(Case("nothing was run", left, None))
    return made


def _from_disk(folder: Path, files: dict[str, dict[str, bytes]]) -> list[Case]:
    """Return bundles on disk, as `sandan curate clean --encoder` and a recipe's `recipe:` read them."""
    write_pictures(folder / "files")
    run = picture_run(folder)
    with contextlib.redirect_stdout(io.StringIO()):
        assert curate(["report", run]) == 0
    segmentation = write_bundle(folder / "segmentation")
    for kind, good in files.items():
        (folder / kind).mkdir()
        for name, data in good.items():
            (folder / kind / name).write_bytes(data)
    taken = folder / "taken"
    taken.mkdir()
    (taken / "mine.txt").write_text("no bundle")
    network, card = (
        build_autoencoder(AutoencoderSpec(in_channels=3, side_px=32, width=2, bottleneck=5), **SCALING),
        None,
    )
    card = AutoencoderCard(name="a", kind="autoencoder", width=2, bottleneck=5, **SHARED)

    def encoder(spec: str) -> Callable[[], object]:
        return lambda: curate(["clean", run, "--reducers", "mean_pool", "--encoder", spec])

    return [
        Case("a classifier as encoder", encoder(f"x={folder / 'classifier'}"), "classifier"),
        Case("a network that maps as encoder", encoder(f"x={segmentation}"), "segmentation"),
        Case("no bundle as encoder", encoder(f"x={taken}"), "card.json is missing"),
        Case("a name that climbs as encoder", encoder("../../x"), "NAME=BUNDLE"),
        Case("an encoder as it is", encoder(f"x={folder / 'autoencoder'}"), None),
        Case("to write over what is no bundle", lambda: save_image_bundle(taken, network, card), "taken"),
        Case("to read what is no bundle", lambda: read_image_bundle(taken), "taken"),
    ]

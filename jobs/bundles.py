"""Reading bundles from wherever they lie."""

from __future__ import annotations

from collections.abc import Iterable

from cluster.storage import Storage
from models.card import CARD_FILE, LARGEST_BYTES, WEIGHTS_FILE, Card, read_card
from tiler.imagery_preparation import operations_of
from tiler.sensors import Sensor

FILES = (CARD_FILE, WEIGHTS_FILE)
"""What networks are made of; a bundle's folder may hold more."""


def read_bundles(folders: Iterable[str]) -> list[dict[str, bytes]]:
    """Return the files of bundles by name.

    Raises:
        FileNotFoundError: one is missing.
    """
    return [{name: Storage(folder).get(name) for name in FILES} for folder in folders]


def card_bytes(folder: str, key: str, advice: str) -> bytes:
    """Return the bytes of the card of a bundle.

    Args:
        folder: of the bundle.
        key: of the configuration that names it, for errors.
        advice: what to do where there is none, for errors.

    Raises:
        ValueError: there is none, or it is larger than any card.
    """
    storage = Storage(folder)
    if not storage.exists(CARD_FILE):
        raise ValueError(f"{key}: no bundle at {folder} ({CARD_FILE} is missing); {advice}")
    size = storage.size(CARD_FILE)
    if size > LARGEST_BYTES:
        raise ValueError(f"{key}: the card of {folder} has {size} bytes, no card is that large; copy the bundle again")
    return storage.get(CARD_FILE)


def card_of(folder: str) -> Card:
    """Return the card of a bundle.

    Raises:
        ValueError: there is none, or it is not what a card is.
    """
    data = card_bytes(folder, "models", "train it first: sandan train RECIPE.yaml")
    try:
        return read_card(data)
    except ValueError as error:
        raise ValueError(f"models: {folder}: {error}") from error


def fitting_card(path: str, sensor: Sensor, offered: tuple[str, ...]) -> Card:
    """Return the card of a bundle.

    Args:
        path: of the bundle.
        sensor: of the run.
        offered: channels that the run's stores offer.

    Raises:
        ValueError: there is no bundle, or it needs what is not offered.
    """
    card = card_of(path)
    missing = [channel for channel in card.channels if channel not in offered]
    if missing:
        raise ValueError(
            f"models: the bundle {path} needs channels {list(card.channels)}, the run (sensor {sensor.name}) gives "
            f"{list(offered)}; {missing} would be missing: use a bundle trained on this sensor, or add to `modalities` "
            f"what gives them"
        )
    check_prepared(path, card.sensor, sensor.name)
    return card


def check_prepared(path: str, learnt_from: str, asked_for: str) -> None:
    """Refuse a network that learnt from pixels that went through other operations.

    Args:
        path: of its bundle, for errors.
        learnt_from: name of the sensor in its card.
        asked_for: name of the sensor of what it is to answer for.

    Raises:
        ValueError: its tiles were pre-processed in another way.
    """
    learnt, here = operations_of(learnt_from), operations_of(asked_for)
    if learnt != here:
        raise ValueError(
            f"models: the bundle {path} learnt from tiles with `preprocess` {list(learnt)}, these have {list(here)}; "
            "take data that are prepared alike (scenes are not prepared), or another bundle"
        )

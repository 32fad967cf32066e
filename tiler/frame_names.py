"""What the file names of weather services say: sensor, band and time, as in KMA's `coms_mi_le1b_ir1_..._YYYYMMDDHHMM`.

Names differ between portals and years (`ir1`, `ir01`, `ir105`; `.png`, `.nc`; with and without area), so a name is
taken word by word: the first is the sensor, exactly one is a band, exactly one a time. Everything else (instrument,
level, area) is kept aside. A name that does not say all three is not guessed at.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from pathlib import PurePosixPath

SYNONYMS = {
    "ir": ("ir", "ir1", "ir01", "ir105", "ir108"),
    "ir2": ("ir2", "ir02", "ir120", "ir123"),
    "swir": ("swir", "sw", "sw038", "ir039"),
    "wv": ("wv", "wv067", "wv069"),
    "vis": ("vis", "vi006", "vis006"),
}
"""Bands that stand for one another in a series or between sensors: COMS beside GK2A (AMI) and SEVIRI, 10.5 to 10.8,
12.0 to 12.4, 3.7 to 3.9, 6.7 to 6.9 and 0.6 to 0.7 micrometres; in the order in which bands are shown."""
OTHERS = (
    *("vi004", "vi005", "vi008", "nr013", "nr016", "wv063", "wv073", "ir087", "ir096", "ir112", "ir133"),
    *("vis008", "ir016", "wv062", "ir097", "ir134", "hrv"),
)
"""Further bands of AMI and SEVIRI, which stand for themselves."""
_CANONICAL = {word: name for name, words in SYNONYMS.items() for word in words} | {name: name for name in OTHERS}
_MINUTES, _SECONDS, _DAY = r"(?:19|20)\d{10}", r"(?:19|20)\d{12}", r"(?:19|20)\d{6}"
_SENSOR = re.compile(r"[a-z][a-z0-9]*")


@dataclass(frozen=True)
class FrameName:
    """What a file name says."""

    sensor: str
    """Lower case: `coms`, `gk2a`."""
    band: str
    """By `band_name`."""
    time: datetime
    """UTC, without a zone, as numpy has it."""
    view: str
    """The other words: instrument, level, area."""


def band_name(word: str) -> str:
    """Return the name of a band that stands for its synonyms: `ir` of `ir01`, `IR_108` and `ir105`.

    A word that is no synonym stands for itself, in lower case without separators.
    """
    plain = re.sub(r"[^a-z0-9]", "", word.lower())
    return _CANONICAL.get(plain, plain)


def shown_order(bands: set[str]) -> tuple[str, ...]:
    """Return bands in the order in which they are shown: ir, swir and wv as red, green and blue; then the others."""
    first = [name for name in ("ir", "swir", "wv") if name in bands]
    return (*first, *sorted(bands - set(first)))


def parse_name(path: str) -> FrameName:
    """Read a file name.

    Raises:
        ValueError: says what the name lacks, or has twice.
    """
    stem = PurePosixPath(path.replace("\\", "/")).name.lower()
    stem = re.sub(r"(\.[a-z][a-z0-9]{0,3})+$", "", stem)
    words = [word for word in re.split(r"[^a-z0-9]+", stem) if word]
    if not words or not _SENSOR.fullmatch(words[0]) or words[0] in _CANONICAL:
        raise ValueError("the name does not begin with a sensor")
    times, rest = _times(words[1:])
    if len(times) != 1:
        raise ValueError(f"the name holds {_number(len(times))} YYYYMMDDHHMM")
    bands = [word for word in rest if word in _CANONICAL]
    if len(bands) != 1:
        raise ValueError(f"the name holds {_number(len(bands))} band that is known" + (f": {bands}" if bands else ""))
    view = "_".join(word for word in rest if word != bands[0])
    return FrameName(words[0], _CANONICAL[bands[0]], _time(times[0]), view)


def _number(count: int) -> str:
    return "no" if count == 0 else "more than one"


def _times(words: list[str]) -> tuple[list[str], list[str]]:
    """Take the times out of the words: one word of 12 or 14 digits, or a day and a time of day beside each other."""
    times, rest = [], []
    waiting = list(words)
    while waiting:
        word = waiting.pop(0)
        if re.fullmatch(rf"{_SECONDS}|{_MINUTES}", word):
            times.append(word)
        elif re.fullmatch(_DAY, word) and waiting and re.fullmatch(r"\d{4}(\d{2})?", waiting[0]):
            times.append(word + waiting.pop(0))
        else:
            rest.append(word)
    return times, rest


def _time(digits: str) -> datetime:
    try:
        return datetime.strptime(digits, "%Y%m%d%H%M%S" if len(digits) == 14 else "%Y%m%d%H%M")
    except ValueError as error:
        raise ValueError(f"{digits} is no time") from error

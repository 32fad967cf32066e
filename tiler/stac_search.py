"""What a run asks of a STAC catalogue, and whether an item is what was asked for."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, date
from datetime import datetime as Datetime
from functools import cached_property
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from tiler.stac_items import QualityAsset, time_of


class StacSearch(BaseModel):
    """Scenes as a search in a STAC catalogue."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    stac: str = Field(min_length=1)
    """A STAC API, or a static catalogue, collection, item or item collection: an address or a path."""
    collection: tuple[str, ...] = ()
    """Ids of collections; none: all."""
    bbox: tuple[float, float, float, float] | None = None
    """West, south, east, north in degrees; west > east crosses the antimeridian."""
    datetime: str | None = None
    """A day, month or year, a time, or two of them with a slash between; `..` is an open end."""
    max_cloud: float | None = Field(default=None, ge=0, le=100)
    """Largest `eo:cloud_cover`, in percent."""
    bands: dict[str, str | int] | None = None
    """Band to asset key, where common names are not enough; with `asset`, to a band number."""
    asset: str | None = None
    """Key of the one asset that holds all bands."""
    quality: QualityAsset | None = None
    leave_out: tuple[str, ...] = ()
    """Ids of items that are not wanted."""
    max_items: int = Field(default=10_000, ge=1)
    """More than these are refused: a search of a whole archive is a mistake."""

    @field_validator("collection", "leave_out", mode="before")
    @classmethod
    def _one_or_several(cls, value: object) -> object:
        return (value,) if isinstance(value, str) else value

    @field_validator("datetime", mode="before")
    @classmethod
    def _as_text(cls, value: object) -> object:
        if isinstance(value, date):  # YAML reads a day as one
            return value.isoformat()
        return str(value) if type(value) is int else value

    @field_validator("stac")
    @classmethod
    def _no_secret(cls, value: str) -> str:
        if "://" in value and "?" in value:
            raise ValueError(
                "the address has a query; configurations are kept with the run: leave out what follows '?'"
            )
        return value

    @model_validator(mode="after")
    def _consistent(self) -> StacSearch:
        kind = str if self.asset is None else int
        wrong = [name for name, value in (self.bands or {}).items() if type(value) is not kind]
        if wrong:
            raise ValueError(
                "`bands` names asset keys, or with `asset` the numbers of bands in it; correct those of "
                f"{wrong}, or give `asset`"
            )
        if self.bbox is not None:
            west, south, east, north = self.bbox
            if not (-180 <= west <= 180 and -180 <= east <= 180 and -90 <= south <= north <= 90):
                raise ValueError(f"bbox {list(self.bbox)} is not west, south, east, north in degrees; correct it")
        return self

    @cached_property
    def interval(self) -> tuple[Datetime | None, Datetime | None]:
        """Return first and last time that are asked for; None where an end is open.

        Raises:
            ValueError: `datetime` is none.
        """
        if self.datetime is None:
            return None, None
        from pystac_client import ItemSearch

        try:
            text = str(ItemSearch("", datetime=self.datetime).get_parameters()["datetime"])
            first, _, last = text.partition("/")
            return _time(first), _time(last or first)
        except Exception as error:
            raise ValueError(
                f"datetime {self.datetime!r} is no time; write 2024, 2024-06, 2024-06-01/2024-08-31 or 2024-06-01/.."
            ) from error

    def fits(self, item: Mapping[str, Any]) -> bool:
        """Return whether an item is one that is asked for: servers may not filter, and files do not.

        Boxes are compared, not outlines. An item that does not say where, when or how cloudy it is fits no question
        for that.
        """
        properties = item.get("properties")
        properties = properties if isinstance(properties, dict) else {}
        if self.collection and item.get("collection") not in self.collection:
            return False
        if self.bbox is not None and not _overlap(item.get("bbox"), self.bbox):
            return False
        if self.max_cloud is not None:
            cloud = properties.get("eo:cloud_cover")
            if not isinstance(cloud, int | float) or not cloud <= self.max_cloud:
                return False
        if self.datetime is None:
            return True
        try:
            begin = _time(str(time_of(item)))
            end = _time(str(properties.get("end_datetime"))) if properties.get("datetime") is None else begin
        except ValueError:
            return False
        first, last = self.interval
        return not ((last and begin and begin > last) or (first and end and end < first))


def _overlap(found: object, wanted: tuple[float, float, float, float]) -> bool:
    """Whether a bbox of an item, of four or six numbers, meets another; both may cross the antimeridian."""
    if not isinstance(found, list) or len(found) not in (4, 6):
        return False
    if not all(isinstance(n, int | float) for n in found):
        return False
    west, south, east, north = (found[0], found[1], found[len(found) // 2], found[len(found) // 2 + 1])
    if south > wanted[3] or north < wanted[1]:
        return False
    return any(a <= d and c <= b for a, b in _spans(west, east) for c, d in _spans(wanted[0], wanted[2]))


def _spans(west: float, east: float) -> list[tuple[float, float]]:
    return [(west, east)] if west <= east else [(west, 180.0), (-180.0, east)]


def _time(text: str) -> Datetime | None:
    if text == "..":
        return None
    found = Datetime.fromisoformat(text)
    return found.replace(tzinfo=UTC) if found.tzinfo is None else found

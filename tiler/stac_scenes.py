"""Scenes out of a STAC catalogue: what of its answer is mapped, what is left out, and what is refused.

    not asked for (servers do not always filter), or in `leave_out`          left out
    no asset for a band, or for the quality raster                           left out, and told
    twice the same (pages that overlap)                                      once
    in two collections; twice with other assets                              refused
    damaged; files that may not be opened                                    refused
    nothing left                                                             refused

What is refused ends the run before it starts: a map with holes that nobody asked for is worse than none.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from tiler.scenes import SceneSpec
from tiler.sensors import Sensor
from tiler.sources import Sources
from tiler.stac_catalogue import Catalogue
from tiler.stac_items import ItemScene, Lacks, Wanted, scene_of
from tiler.stac_search import StacSearch

TOLD = 5
"""Items that a message names."""


@dataclass
class _Answer:
    """What a catalogue answered, by id of the item."""

    scenes: dict[str, ItemScene] = field(default_factory=dict)
    refused: dict[str, str] = field(default_factory=dict)
    lacking: dict[str, str] = field(default_factory=dict)
    items: int = 0
    others: int = 0
    """Items that were not asked for."""

    def take(self, name: str, item: Mapping[str, Any], wanted: Wanted, catalogue: Catalogue, base: str) -> None:
        """Sort an item that was asked for."""
        try:
            scene = scene_of(item, wanted, lambda href: catalogue.documents.raster(href, base))
        except Lacks as error:
            self.lacking[name] = str(error)
            return
        except ValueError as error:
            self.refused[name] = str(error)
            return
        other = self.scenes.setdefault(name, scene)
        if other.collection != scene.collection:
            self.refused[name] = (
                f"is in the collections {sorted({other.collection, scene.collection})}: its pixels would count twice; "
                f"name one `collection`"
            )
        elif other != scene:
            self.refused[name] = "comes twice, with other assets or times; if the catalogue has just changed, try again"


def find_scenes(search: StacSearch, sensor: Sensor, sources: Sources) -> tuple[tuple[SceneSpec, ...], tuple[str, ...]]:
    """Ask a catalogue for scenes.

    Args:
        search: what is wanted.
        sensor: whose bands the assets must hold.
        sources: which addresses may be opened.

    Returns:
        The scenes in order of their ids, and sentences for people about what was left out.

    Raises:
        ValueError: the catalogue cannot be read, nothing is found, or something is refused (see above).
    """
    named = set(sensor.bands if search.bands is None else search.bands)
    if named != set(sensor.bands):
        raise ValueError(f"`bands` names {sorted(named)}, sensor {sensor.name} has {list(sensor.bands)}; name those")
    wanted = Wanted(sensor, search.bands, search.asset, search.quality)
    answer, catalogue = _Answer(), Catalogue(search, sources)
    for item, base in catalogue.items():
        answer.items += 1
        name = str(item.get("id"))
        if name in search.leave_out or not search.fits(item):
            answer.others += name not in search.leave_out
            continue
        answer.take(name, item, wanted, catalogue, base)
        if len(answer.scenes) > search.max_items:
            raise ValueError(
                f"{search.stac} has more than {search.max_items} items that fit; narrow bbox, datetime or collection, "
                f"or raise max_items"
            )
    if answer.refused:
        raise ValueError(f"{_some(answer.refused)} (items that you can do without go into `leave_out`)")
    if not answer.scenes:
        raise ValueError(_nothing(answer, search))
    scenes = [answer.scenes[name] for name in sorted(answer.scenes)]
    return tuple(one.spec for one in scenes), tuple(_notes(answer, scenes, sensor, catalogue.withheld, search.stac))


def _notes(answer: _Answer, scenes: list[ItemScene], sensor: Sensor, withheld: int, stac: str) -> Iterator[str]:
    if answer.lacking:
        yield f"{len(answer.lacking)} items are left out: {_some(answer.lacking)}"
    if answer.others and stac.startswith("http"):
        yield f"{answer.others} items are left out that {stac} answered and nobody asked for"
    if withheld:
        yield f"{stac} says that it found {withheld} items more than it answered: scenes may be missing"
    meanings = sorted({one.meaning for one in scenes})
    if len(meanings) > 1:
        said = ", ".join(f"value * {scale:g} + {offset:g}" for scale, offset in meanings[:TOLD])
        yield f"the items differ in what their pixels mean ({said}); they are read as they are: narrow `datetime`?"
    elif meanings[0][0] not in (1.0, sensor.scale):
        found = f"{meanings[0][0]:g}, sensor {sensor.name} has {sensor.scale:g}"
        yield f"the items give their pixels the scale {found}; they are read as they are"


def _nothing(answer: _Answer, search: StacSearch) -> str:
    asked = search.model_dump(
        exclude_defaults=True, include={"collection", "bbox", "datetime", "max_cloud", "leave_out"}
    )
    if answer.lacking:
        return f"{search.stac} has no item that can be mapped: {_some(answer.lacking)}; name the assets in `bands`"
    return f"{search.stac} has {answer.items} items, and none that fits {asked}; widen it, or check the collection's id"


def _some(items: Mapping[str, str]) -> str:
    told = "; ".join(f"item {name[:100]!r} {why}" for name, why in sorted(items.items())[:TOLD])
    return told + (f"; and {len(items) - TOLD} more" if len(items) > TOLD else "")

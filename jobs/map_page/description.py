"""What the page is told about itself: `page.json`, the same for a server and for a folder of files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, reduce
from typing import Any

from jobs.map_page.layers import ImageryLayer, Layer, by_id, layers_of
from jobs.map_page.published_run import PublishedRun
from jobs.map_page.xyz import Bounds


@dataclass(frozen=True, eq=False)
class ShownRun:
    """A published map with the layers that the page shows of it."""

    key: str
    """`a`: the run itself, `b`: the one that it is compared with."""
    run: PublishedRun
    layers: Sequence[Layer]

    @classmethod
    def of(cls, key: str, run: PublishedRun, only: Sequence[str] | None = None) -> ShownRun:
        """Look at the layers of a run.

        Args:
            key: as the field.
            run: the run.
            only: ids of layers; None takes all.

        Raises:
            ValueError: a layer that the run does not have, or a run that has none.
        """
        layers = layers_of(run)
        unknown = sorted(set(only or ()) - {layer.id for layer in layers})
        if unknown and key == "a":
            raise ValueError(f"--layers {unknown[0]}: {run.out} has {', '.join(layer.id for layer in layers)}")
        chosen = [layer for layer in layers if only is None or layer.id in only]
        if not chosen:
            raise ValueError(f"{run.out} has no layer to show: its `outputs` name no `cog`; add it and publish again")
        return cls(key, run, chosen)

    @cached_property
    def by_id(self) -> dict[str, Layer]:
        """Its layers by what their addresses call them."""
        return by_id(self.layers)

    @cached_property
    def bounds(self) -> Bounds:
        """Where it lies."""
        return reduce(Bounds.joined, (layer.bounds for layer in self.layers))

    def told(self) -> dict[str, Any]:
        """Return plain JSON."""
        return {
            "key": self.key,
            "title": self.run.title,
            "created": self.run.record["created"],
            "map": self.run.key,
            "layers": [_told(self.key, layer) for layer in self.layers],
        }


def _told(key: str, layer: Layer) -> dict[str, Any]:
    is_ground = isinstance(layer, ImageryLayer)
    return {
        "id": layer.id,
        "title": layer.title,
        "about": layer.about,
        "kind": "ground" if is_ground else "map",
        "bounds": layer.bounds.to_json(),
        "zoom": layer.native_zoom,
        "tiles": f"tiles/{key}/{layer.id}/{{z}}/{{x}}/{{y}}.png",
        "legend": None if isinstance(layer, ImageryLayer) else layer.style.legend(),
    }


def attribution_of(run: PublishedRun) -> str:
    """Return whose pixels and whose work the map is: the scenes' sensors and dates, and the run."""
    scenes = run.record["scenes"]
    dates = sorted(one["acquired"][:10] for one in scenes if one["acquired"])
    span = "" if not dates else dates[0] if dates[0] == dates[-1] else f"{dates[0]} to {dates[-1]}"
    count = f"{len(scenes)} scene{'s' if len(scenes) > 1 else ''}"
    return ", ".join(one for one in (count, str(run.record["config"]["sensor"]), span, f"run {run.title}") if one)


def _byline(runs: Sequence[ShownRun]) -> str:
    made = f"Made {runs[0].run.record['created'][:10]}"
    return made if len(runs) == 1 else f"{made}, beside {runs[1].run.title} of {runs[1].run.record['created'][:10]}"


def describe(runs: Sequence[ShownRun], attribution: str, offers: Mapping[str, Any]) -> dict[str, Any]:
    """Return `page.json`.

    Args:
        runs: one, or two that are compared.
        attribution: shown in the corner of the map.
        offers: what the page can do besides showing tiles, by name.
    """
    bounds = reduce(Bounds.joined, (one.bounds for one in runs))
    return {
        "title": runs[0].run.title,
        "bounds": bounds.to_json(),
        "attribution": attribution,
        "byline": _byline(runs),
        "runs": [one.told() for one in runs],
        **offers,
    }

"""Modalities: which coarse rasters belong to which scenes of a run, and what is left over on either side.

Nothing is dropped in silence: scenes that lack a modality and files that no scene takes are named in the dry run, on
stderr, in `OUT/unmatched.csv` and in `run.json`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cache

from cluster.storage import Storage
from jobs.lists import csv_bytes
from tiler.coarse import Coarse, CoarseSpec, modality_name, offered_channels, open_coarse
from tiler.patterns import expand
from tiler.rasters import read_header
from tiler.scenes import Scene, SceneSpec
from tiler.sensors import Sensor, load_sensor

SHOWN = 5
"""How many scenes or files a note names."""


@dataclass(frozen=True)
class Unmatched:
    """A scene that lacks a modality, or a file of one that no scene takes."""

    modality: str
    kind: str
    """scene or file."""
    name: str
    reason: str


@dataclass(frozen=True)
class Modalities:
    """The coarse modalities of a run."""

    sensors: tuple[Sensor, ...] = ()
    """In the order of their channels."""
    unmatched: tuple[Unmatched, ...] = ()

    def notes(self, scenes: int) -> tuple[str, ...]:
        """Return a line for each modality and kind of what is left over, for people."""
        lines = []
        for name in map(modality_name, self.sensors):
            lacking = [u.name for u in self.unmatched if (u.modality, u.kind) == (name, "scene")]
            if lacking:
                lines.append(f"{name} is missing for {len(lacking)} of {scenes} scenes: {_some(lacking)}")
            unused = [u.name for u in self.unmatched if (u.modality, u.kind) == (name, "file")]
            if unused:
                lines.append(f"{name} files that match no scene, {len(unused)}: {_some(unused)}")
        return tuple(lines)

    def write(self, storage: Storage) -> None:
        """Write `unmatched.csv` where there are modalities, unless it says so already."""
        rows = ((u.modality, u.kind, u.name, u.reason) for u in self.unmatched)
        data = csv_bytes(("modality", "kind", "name", "reason"), rows)
        if self.sensors and not (storage.exists("unmatched.csv") and storage.get("unmatched.csv") == data):
            storage.put("unmatched.csv", data)


def match_modalities(
    wanted: Sequence[CoarseSpec], sensor: Sensor, specs: Sequence[SceneSpec], scenes: Sequence[Scene]
) -> tuple[list[Scene], Modalities]:
    """Give every scene its coarse rasters.

    Args:
        wanted: the modalities of the run.
        sensor: of the scenes.
        specs: of the scenes, which may name files of their own.
        scenes: opened; the order of what is left over.

    Returns:
        The scenes with their modalities, and the modalities with what is left over.

    Raises:
        ValueError: an unknown sensor, names that clash, a scene that names a modality which the run has not, files that
            cannot be read, or a modality that no scene has.
    """
    sensors = tuple(load_sensor(spec.sensor) for spec in wanted)
    _check_names(sensor, sensors, specs)
    coarse: dict[str, list[Coarse]] = {scene.id: [] for scene in scenes}
    unmatched: list[Unmatched] = []
    for spec, modality in zip(wanted, sensors, strict=True):
        name = modality_name(modality)
        own = {s.id: s.modalities[name] for s in specs if name in s.modalities}
        found, left = _match(spec, modality, own, scenes)
        if not any(c.grid for c in found.values()):
            first = left[0]
            raise ValueError(
                f"modalities: {modality.name} has no file for any of the {len(scenes)} scenes (files "
                f"{list(spec.patterns)}; of {first.name}: {first.reason}); correct the pattern, or leave {name} out"
            )
        unmatched += left
        for scene in scenes:
            coarse[scene.id].append(found[scene.id])
    return [replace(s, coarse=tuple(coarse[s.id])) for s in scenes], Modalities(sensors, tuple(unmatched))


def _check_names(sensor: Sensor, modalities: Sequence[Sensor], specs: Sequence[SceneSpec]) -> None:
    names = [modality_name(m) for m in modalities]
    offered_channels(sensor, modalities)
    for spec in specs:
        unknown = [name for name in spec.modalities if name not in names]
        if unknown:
            raise ValueError(
                f"scene {spec.id}: names files of {unknown}, the run has the modalities {names}; add "
                f"{{sensor: {unknown[0].upper()}}} to `modalities`"
            )


def _match(
    spec: CoarseSpec, sensor: Sensor, own: Mapping[str, str | tuple[str, ...]], scenes: Sequence[Scene]
) -> tuple[dict[str, Coarse], list[Unmatched]]:
    """Return the modality of each scene by id, also where a scene lacks it, and what is left over."""
    name, header_of = modality_name(sensor), cache(read_header)
    found: dict[str, Coarse] = {}
    unmatched: list[Unmatched] = []
    taken: set[str] = set()
    for scene in scenes:
        patterns = own.get(scene.id, spec.patterns_of(scene.id, scene.acquired))
        paths = expand(patterns)
        if scene.id in own and not paths:
            raise ValueError(f"scene {scene.id}: no file of {name} matches {patterns!r}; check the path")
        coarse = open_coarse(scene.id, scene.grid, sensor, paths, header_of)
        found[scene.id] = coarse or Coarse(sensor)
        if coarse is not None:
            taken |= {piece.path for piece in coarse.pieces}
            continue
        reason = f"no file matches {list(patterns)}" if patterns else "a date is needed, and the scene has none"
        reason = f"{len(paths)} files of its name lie elsewhere" if paths else reason
        unmatched.append(Unmatched(name, "scene", scene.id, reason))
    reason = "no scene of its name or date lies under it"
    left = sorted(set(expand(spec.any_patterns)) - taken)
    return found, unmatched + [Unmatched(name, "file", path, reason) for path in left]


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - SHOWN} more, listed in OUT/unmatched.csv" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more


def coarse_facts(coarse: Coarse) -> tuple[object, ...]:
    """Return what identifies a modality of a scene: its sensor, where its files lie and what is in them."""
    grid = None if coarse.grid is None else coarse.grid.to_json()
    pieces = [(asdict(p.box), p.row, p.col, p.nodata) for p in coarse.pieces]
    return coarse.sensor.model_dump(mode="json"), grid, pieces, coarse.fingerprint

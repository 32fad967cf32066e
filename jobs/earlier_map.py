"""The map whose sites the polygons of a new one continue: found, looked at before anything runs, and opened.

With `polygons.earlier: auto` it is the map that was published before in the same folder; a tick of a plan names the
published run of its product. A map that is published once more with other settings continues what it continued before:
the order in which somebody tries settings leaves no trace.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import shapely

from cluster.storage import Storage
from jobs.map_files import INDEXED_SITES, SITES
from jobs.plan import Run
from jobs.polygons_config import AUTO, NONE
from jobs.published import current
from jobs.published_runs import published
from tiler.area import surroundings
from tiler.classes import value_names
from tiler.earlier_sites import EarlierSites, check_sites
from tiler.grids import MapGrid

CONTINUES = "continues"
"""What `map.json` says of polygons: the `EarlierMap`, or null."""
ADVICE = "publish that run with polygons again, name another one, or begin anew with polygons.earlier: none"


@dataclass(frozen=True)
class EarlierMap:
    """The polygons of a published map."""

    asked: str
    """What `polygons.earlier` says."""
    run: str | None
    """Folder of its run; None: that of the run that continues it."""
    key: str
    """Of the map."""
    file: str
    """Key of its polygons, in the folder of its run."""
    sha256: str
    """Of them."""

    def storage(self, here: Storage) -> Storage:
        """Return the folder of its run, given that of the run that continues it."""
        return here if self.run is None else Storage(self.run)

    def there(self, here: Storage) -> bool:
        """Whether the polygons are still there."""
        return self.storage(here).exists(self.file)


def _sites_of(pointer: Mapping[str, Any], asked: str, run: str | None) -> EarlierMap | None:
    """Return the polygons that a pointer lists; None for none that can be read site by site."""
    for name in (INDEXED_SITES, SITES):
        if facts := pointer.get("files", {}).get(name):
            return EarlierMap(asked, run, pointer["key"], f"{pointer['folder']}/{facts['href']}", facts["sha256"])
    return None


def _named(asked: str, here: Storage) -> EarlierMap:
    """Return the polygons of a run that is named.

    Raises:
        ValueError: there are none, or they are those of the run that asks.
    """
    try:
        found = published(asked)
    except (ValueError, OSError) as error:
        raise ValueError(f"polygons.earlier: {error}; or begin anew with polygons.earlier: none") from error
    if found.storage.url == here.url:
        raise ValueError(
            f"polygons.earlier: {asked} is this run itself; leave it out: what was published before is continued anyway"
        )
    sites = _sites_of(found.pointer, asked, found.storage.url)
    if sites is None:
        raise ValueError(
            f"polygons.earlier: the map of {asked} has no polygons as GeoParquet or FlatGeobuf, only "
            f"{sorted(found.pointer.get('files', {}))}; {ADVICE}"
        )
    return sites


def _told(pointer: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return what a pointer says of the polygons of its map."""
    files = pointer.get("files", {})
    return next((files[name] for name in (SITES, INDEXED_SITES) if name in files), {})


def _known(here: Storage, asked: str) -> EarlierMap | None:
    """Return what the map that is published here continues, if it was told the same."""
    then = _told(current(here)).get(CONTINUES)
    return EarlierMap(**then) if then and then["asked"] == asked else None


def earlier_map(run: Run, name: str) -> EarlierMap | None:
    """Return the map whose sites a new one continues; None: none.

    Args:
        run: which is about to publish.
        name: of the new map's store.

    Raises:
        ValueError: one that is named is not there, and what is published here does not continue it.
    """
    here, asked = run.storage, run.config.polygons.earlier
    if asked == NONE:
        return None
    if asked != AUTO:
        try:
            return _named(asked, here)
        except ValueError:
            known = _known(here, asked)
            if known is None:
                raise
            return known
    pointer = current(here)
    own, told = _sites_of(pointer, asked, None), _told(pointer)
    if pointer and pointer["map"] == name and CONTINUES in told:
        return None if told[CONTINUES] is None else EarlierMap(**told[CONTINUES])
    if pointer and pointer["map"] != name and own is None:
        print(f"polygons: map {pointer['key']}, published before, has none; first_seen begins anew", file=sys.stderr)
    return own


def polygons_facts(run: Run) -> dict[str, Any]:
    """Return what identifies the polygons of a map: the settings, and the sites of a run that is named."""
    config = run.config.polygons
    earlier = config.earlier
    if earlier not in (AUTO, NONE):
        try:
            earlier = _named(earlier, run.storage).sha256
        except ValueError:  # what continued it stays as it is
            known = _known(run.storage, earlier)
            earlier = "gone" if known is None else known.sha256
    return config.model_dump() | {"earlier": earlier}


def check_earlier(run: Run) -> None:
    """Look at the map that a run names to continue, before anything runs.

    Raises:
        ValueError: it is not there, cannot be read, is the run itself, or lies elsewhere.
    """
    asked, here = run.config.polygons.earlier, run.storage
    if SITES not in run.config.outputs or asked in (AUTO, NONE):
        return
    try:
        found = _named(asked, here)
    except ValueError:
        if _known(here, asked) is None:
            raise
        return
    storage = found.storage(here)
    if not storage.is_local:  # looked at when it is copied
        return
    try:
        crs, bounds = check_sites(storage.path(found.file))
    except ValueError as error:
        raise ValueError(f"polygons.earlier: {error}; {ADVICE}") from error
    near = surroundings(run.grid.grid_of(run.touched(run.scenes)[0]), crs.to_wkt())
    if bounds is not None and not shapely.intersects(near, shapely.box(*bounds)):
        raise ValueError(f"polygons.earlier: the sites of {asked} lie elsewhere than the scenes; {ADVICE}")


def continuing(run: Run, before: Run | None) -> Run:
    """Return a run of a plan that continues the sites of the published run, if there is one that has any.

    Args:
        run: planned.
        before: the published run, in its folder.
    """
    config = run.config
    if before is None or SITES not in config.outputs or config.polygons.earlier == NONE:
        return run
    polygons = config.polygons.model_copy(update={"earlier": before.config.out})
    found = replace(run, config=config.model_copy(update={"polygons": polygons}))
    try:
        check_earlier(found)
    except ValueError as error:
        print(f"{error}; first_seen does not go on from there", file=sys.stderr)
        return run
    return found


def open_earlier(
    found: EarlierMap | None, here: Storage, classes: tuple[str, ...], grid: MapGrid, scratch: Path
) -> EarlierSites | None:
    """Open the sites that a map continues.

    Args:
        found: of `earlier_map`.
        here: folder of the run that continues it.
        classes: of the new map.
        grid: of the new map.
        scratch: folder for copies.

    Returns:
        None where there are none, or nobody named them and they cannot be read: then stderr says so.

    Raises:
        ValueError: they were named and cannot be read.
    """
    if found is not None and not found.there(here):  # what continues it, and was published here, knows the same dates
        told = f"{found.run or here.url} has map {found.key} no more"
        print(f"polygons: {told}; first_seen goes on from what is published here", file=sys.stderr)
        found = _sites_of(current(here), found.asked, None)
    if found is None:
        return None
    storage = found.storage(here)
    try:
        if storage.is_local:
            path = storage.path(found.file)
        else:
            path = scratch / found.file.rpartition("/")[2]
            storage.get_file(found.file, path)
        return EarlierSites(path, value_names(classes), grid, scratch)
    except (ValueError, OSError) as error:
        if found.asked != AUTO:
            raise ValueError(f"polygons.earlier: {error}; {ADVICE}") from error
        print(f"polygons: {error}; first_seen begins anew", file=sys.stderr)
        return None

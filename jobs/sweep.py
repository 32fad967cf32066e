"""Sweep: remove what a run's folder no longer needs. The present configuration and the published map lose nothing.

python -m jobs.sweep examples/aberystwyth/map.yaml --dry-run
sandan sweep runs/korea --keep-maps 3
"""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from cluster.lock import Locked
from cluster.logs import entries, runs
from cluster.removal import bytes_below, remove_folder
from cluster.storage import Storage
from jobs.config import RunConfig
from jobs.datasets import PlannedDataset
from jobs.embedding import checked_card
from jobs.estimate import format_bytes
from jobs.failures import forget
from jobs.half_written import sweep_partial
from jobs.kinds import Plan, plan_of
from jobs.parsing import load, parse
from jobs.plan import Run
from jobs.rasters import MARKERS
from jobs.shell import BAD_INPUT, BUSY, DONE, FAULT, guarded
from jobs.status import config_of
from jobs.supervise import supervised, supervision
from jobs.unused import MARKED_BY, SWEEP, Store, Unknown, Unused, unused

KEEP_MAPS, KEEP_LOGS = 1, 10
MAKE_MAPS, MAKE_VECTORS = ("map", "infer", "mosaic", "publish"), ("embed",)
"""Commands whose configuration says which logits, or which vectors, a folder is for."""
SHOWN = 20
"""Names of a kind that are printed."""
EPILOG = """examples:
  sandan sweep runs/korea --dry-run
  sandan sweep korea.yaml --keep-maps 3

What stays: the stores of RUN, of the last run in its folder where that had other settings, and of the published map;
the current map and the last of the earlier ones, since somebody may still read it.

exit codes: 0 done, 1 fault, 2 bad input (nothing removed), 4 a run is at work there, 130 interrupted, 143 terminated;
repeat the command to continue"""

logger = logging.getLogger(__name__)


def configs_of(target: str, changes: Sequence[str] = ()) -> list[RunConfig]:
    """Return the configuration that a target names, and that of the last map that was made in its folder, if another.

    Raises:
        ValueError: there is no such run, or it lies elsewhere.
    """
    if Path(target).is_file():
        config = load(RunConfig, target, changes)
    elif changes:
        raise ValueError(f"--set goes with a CONFIG.yaml, {target} is none; the folder's last run has its own settings")
    else:
        config = config_of(target).model_copy(update={"out": target})  # it may have been moved since
    last = (one.model_copy(update={"out": config.out}) for one in _last(Storage(config.out)))
    return [config, *(one for one in last if one != config)]


def _last(storage: Storage) -> Iterator[RunConfig]:
    """Yield the configuration of the last run that made maps, and of the last one that made vectors."""
    for commands in (MAKE_MAPS, MAKE_VECTORS):
        yield from _last_of(storage, commands)


def _last_of(storage: Storage, commands: tuple[str, ...]) -> Iterator[RunConfig]:
    for name in reversed(runs(storage)):
        if name.split("-")[1] in commands:
            begun = (entry["facts"]["config"] for entry in entries(storage, name) if entry.get("event") == "start")
            for config in begun:
                try:
                    yield parse(RunConfig, config, f"{storage.url}/logs/{name}")
                except ValueError as error:  # of an earlier version
                    _cannot_plan(error)
                return


def plans_of(configs: Sequence[RunConfig]) -> list[Plan]:
    """Plan the first configuration, and the others as far as that can still be done.

    Raises:
        ValueError: the first one is bad input.
    """
    plans = [_plan(configs[0])]
    for other in configs[1:]:
        try:
            plans.append(_plan(other))
        except (ValueError, OSError) as error:
            _cannot_plan(error)
    return plans


def _plan(config: RunConfig) -> Plan:
    planned = plan_of(config)
    if isinstance(planned, Run) and config.models:
        _ = planned.cards, planned.rule
    if config.embed is not None and not isinstance(planned, PlannedDataset):
        checked_card(planned)
    return planned


def _cannot_plan(error: Exception) -> None:
    said = " ".join(str(error).split())
    print(f"the last run here can be planned no more, what only it needs is not kept: {said}", file=sys.stderr)


def sweep(storage: Storage, found: Unused) -> int:
    """Remove what was found, in an order that may be cut short anywhere.

    Markers go before what they vouch for, and the sign that a store is complete before its arrays: whatever is left, no
    run takes it for finished.

    Returns:
        Bytes that this freed.
    """
    freed = 0
    for store in found.stores:
        freed += _told(store.path, _remove_store(storage, store))
    for stage, units in found.failures.items():
        forget(storage, stage, units)
    for key in found.decisions:
        storage.delete(key)
    for folder in found.maps:
        markers = remove_folder(storage, f"{MARKERS}/{folder.rpartition('/')[2]}")
        freed += _told(folder, markers + remove_folder(storage, folder))
    for folder in found.logs:
        freed += _told(folder, remove_folder(storage, folder))
    return freed


def _remove_store(storage: Storage, store: Store) -> int:
    freed = 0
    for markers in store.markers:
        if markers.endswith(".json"):
            storage.delete(markers)
        else:
            freed += remove_folder(storage, markers)
    storage.delete(f"{store.path}/zarr.json")
    return freed + remove_folder(storage, store.path)


def _told(name: str, freed: int) -> int:
    logger.info("removed %s, %s", name, format_bytes(freed), extra={"event": "sweep", "facts": {"bytes": freed}})
    return freed


def told(storage: Storage, found: Unused) -> Iterator[str]:
    """Yield lines that say what is not needed, by kind."""
    kinds: dict[str, Sequence[str]] = {
        f"{folder} stores": [store.path for store in found.stores if store.folder == folder] for folder in MARKED_BY
    }
    kinds |= {"maps": found.maps, "logs": found.logs}
    for kind, paths in kinds.items():
        if paths:
            yield f"{kind:14} {len(paths):>6}  {format_bytes(bytes_below(storage, paths))}"
            yield from (f"  {path}" for path in paths[:SHOWN])
            if len(paths) > SHOWN:
                yield f"  and {len(paths) - SHOWN} more"
    if found.decisions:
        yield f"{'decisions':14} {len(found.decisions):>6}"
    for stage, units in found.failures.items():
        yield f"{'failures':14} {len(units):>6}  of {stage}"


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line."""
    arguments = _parser().parse_args(argv)
    limits = arguments.keep_maps, arguments.keep_logs
    try:
        if min(limits[0], limits[1] - 1) < 0:
            raise ValueError(f"--keep-maps {limits[0]} --keep-logs {limits[1]}: keep 0 or more maps, 1 or more logs")
        configs = configs_of(arguments.run, arguments.set)
        plans, storage = plans_of(configs), Storage(configs[0].out)
        if arguments.dry_run:
            print("\n".join(told(storage, unused(storage, plans, *limits))) or "nothing to remove")
            return DONE
    except (ValueError, OSError) as error:
        return _refused(error)

    def run() -> int:
        half = sweep_partial(storage)
        try:
            found = unused(storage, plans, *limits, own_log=supervision().run)
        except Unknown as error:
            return _refused(error)
        lines = [*told(storage, found), *([f"{'half-written':14} {half:>6}"] if half else [])]
        print("\n".join(lines) or "nothing to remove", flush=True)
        freed = sweep(storage, found)
        if lines:
            print(f"{format_bytes(freed)} freed")
        return DONE

    command = " ".join(["sandan", "sweep", *(sys.argv[1:] if argv is None else argv)])
    try:
        with supervised(SWEEP, configs[0], command, join=False):
            code = guarded(SWEEP, run)
            logger.info("ended with %d", code, extra={"event": "end", "facts": {"exit": code}})
            return code
    except Locked as error:
        print(f"sandan sweep: {error}", file=sys.stderr)
        return BUSY
    except OSError as error:  # of the lock
        print(f"sandan sweep: {error}", file=sys.stderr)
        return FAULT


def _refused(error: Exception) -> int:
    print(f"sandan sweep: {' '.join(str(error).split())}", file=sys.stderr)
    return BAD_INPUT


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="sandan sweep",
        description="Remove what a run's folder no longer needs: replaced stores with their markers, older maps, old "
        "logs.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("run", metavar="RUN", help="CONFIG.yaml, or the folder of a run")
    parser.add_argument("--set", action="append", default=[], metavar="a.b=value", help="as it was given to the run")
    parser.add_argument(
        "--keep-maps",
        type=int,
        default=KEEP_MAPS,
        metavar="N",
        help=f"earlier maps that stay beside the current one (default {KEEP_MAPS})",
    )
    parser.add_argument(
        "--keep-logs", type=int, default=KEEP_LOGS, metavar="N", help=f"logs that stay (default {KEEP_LOGS})"
    )
    parser.add_argument("--dry-run", action="store_true", help="say what would be removed and touch nothing")
    return parser


if __name__ == "__main__":
    sys.exit(main())

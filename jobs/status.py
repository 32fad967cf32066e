"""Status: what of a run is done, pending, failed or stale, why it would be done again, and who is at work.

python -m jobs.status examples/aberystwyth/map.yaml
sandan status runs/korea --json
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from cluster.lock import latest
from cluster.logs import entries, runs
from cluster.storage import Storage
from jobs.config import RunConfig
from jobs.datasets import PlannedDataset
from jobs.decisions import decide
from jobs.embed import estimate as estimate_embed
from jobs.embedding import embedding_of
from jobs.failures import FOLDER, failures_of
from jobs.infer import estimate as estimate_infer
from jobs.infer import wanted as wanted_logits
from jobs.ingest import estimate as estimate_ingest
from jobs.ingest import wanted as wanted_scenes
from jobs.kinds import Plan, plan_of
from jobs.mosaic import estimate as estimate_mosaic
from jobs.mosaic import wanted as wanted_map
from jobs.parsing import load, parse
from jobs.plan import Run
from jobs.progress_file import progress_of, progress_text
from jobs.publish import estimate as estimate_publish
from jobs.publish import publish_key
from jobs.published import current
from jobs.shell import BAD_INPUT, DONE, INCOMPLETE
from jobs.stale import Wanted, stale_stores
from jobs.unused import is_sweep, store_of

EPILOG = """examples:
  sandan status examples/aberystwyth/map.yaml
  sandan status runs/korea --json

exit codes: 0 all is done, 2 bad input, 3 something is left to do or quarantined"""


@dataclass
class Stage:
    """What a run has of a stage."""

    stage: str
    unit: str
    units: int
    done: int
    pending: int
    failed: int
    stale_stores: int
    notes: list[str] = field(default_factory=list)


@dataclass
class Status:
    """What there is of a run."""

    out: str
    at_work: str
    """Who holds the lock; empty where nobody does."""
    last_run: str
    last_exit: int | None
    """None where it has not ended, or was killed."""
    stages: list[Stage]
    """Empty where what the run wants cannot be found out here (`unplanned`)."""
    quarantined: dict[str, str]
    """`stage/unit` to the reason."""
    published: str
    progress: dict[str, Any] | None = None
    """What `progress.json` says of the stage that last had work to do."""
    unplanned: str = ""
    """Why only the folder was looked at."""

    @property
    def is_done(self) -> bool:
        """Whether nothing is left, and nothing failed; by the end of the last run, where there is no plan."""
        if self.unplanned:
            return not self.quarantined and not self.at_work and self.last_exit == DONE
        return not self.quarantined and all(stage.done == stage.units for stage in self.stages)


def status_of(run: Plan) -> Status:
    """Look at the folder of a run, and at the headers of its scenes; nothing is written, and no worker is asked."""
    storage, key = run.storage, None
    stores: dict[str, list[Wanted]] = {}
    if isinstance(run, Run):
        estimates, stores["ingest"] = [estimate_ingest(run)], wanted_scenes(run)
    else:
        estimates = run.estimates()
    if isinstance(run, Run) and run.config.models:
        precision = decide(run, None)
        plans = [] if precision is None else list(run.logits(precision))
        plan = run.mosaic(plans) if plans else None
        stores |= {"infer": wanted_logits(plans), "mosaic": [] if plan is None else [wanted_map(plan)]}
        estimates += [estimate_infer(run), estimate_mosaic(run), estimate_publish(run)]
        key = None if plan is None else publish_key(run, plan)
    todo = embedding_of(run, None) if not isinstance(run, PlannedDataset) and run.config.embed is not None else None
    if todo is not None:
        stores["embed"] = todo.wanted()
        estimates.append(estimate_embed(todo))
    stages: list[Stage] = []
    quarantined: dict[str, str] = {}
    for one in estimates:
        known = {store.name for store in stores.get(one.stage, ())}
        failed = {
            f"{one.stage}/{unit}": facts["reason"]
            for unit, facts in failures_of(storage, one.stage).items()
            # what is of no store that the plan wants is of a scene or a map that is another by now
            if one.stage not in stores or store_of(one.stage, unit) in known
        }
        quarantined |= failed
        stale = len(stale_stores(storage, one.stage, stores[one.stage]).stores) if one.stage in stores else 0
        left = one.units - one.done
        pending = max(0, left - len(failed))
        stages.append(Stage(one.stage, one.unit, one.units, one.done, pending, len(failed), stale, list(one.notes)))
    return _status(storage, run.config.out, stages, quarantined, _published(storage, key))


def status_of_folder(out: str, unplanned: str) -> Status:
    """Look at the folder of a run, or of a bundle, and at nothing else.

    Args:
        out: the folder.
        unplanned: why.
    """
    storage = Storage(out)
    stages = sorted(key.removesuffix(".json") for key in storage.child(FOLDER).children())
    quarantined = {
        f"{stage}/{unit}": facts["reason"] for stage in stages for unit, facts in failures_of(storage, stage).items()
    }
    pointer = current(storage)
    return _status(storage, out, [], quarantined, pointer["key"] if pointer else "nothing", unplanned)


def _status(
    storage: Storage,
    out: str,
    stages: list[Stage],
    quarantined: dict[str, str],
    published: str,
    unplanned: str = "",
) -> Status:
    holder = latest(storage.child("lock"))[1]
    last, code = _last_run(storage)
    at_work = "" if holder is None or holder.is_gone else holder.told(time.time())
    return Status(out, at_work, last, code, stages, quarantined, published, progress_of(storage), unplanned)


def _last_run(storage: Storage) -> tuple[str, int | None]:
    names = [name for name in runs(storage) if not is_sweep(name)]
    if not names:
        return "", None
    ends = [entry["facts"]["exit"] for entry in entries(storage, names[-1]) if entry.get("event") == "end"]
    return names[-1], ends[-1] if ends else None


def _published(storage: Storage, key: str | None) -> str:
    pointer = current(storage)
    if not pointer:
        return "nothing"
    if pointer["key"] == key:
        return f"{pointer['key']}, of this configuration"
    return f"{pointer['key']}, of another configuration, or with quarantined units"


def table(status: Status) -> str:
    """Return a status as plain text."""
    header = ("stage", "units", "done", "pending", "failed", "stale stores")
    rows = [
        (s.stage, f"{s.units} {s.unit}", str(s.done), str(s.pending), str(s.failed), str(s.stale_stores))
        for s in status.stages
    ]
    widths = [max(len(row[i]) for row in (header, *rows)) for i in range(len(header))]
    ended = "did not end" if status.last_exit is None else f"ended with {status.last_exit}"
    lines = [
        f"run        {status.out}",
        f"at work    {status.at_work or 'nobody'}",
        f"last run   {f'{status.last_run}: {ended}' if status.last_run else 'none'}",
        f"published  {status.published}",
    ]
    if status.progress is not None:
        lines.append(f"progress   {progress_text(status.progress, datetime.now(UTC))}")
    if status.unplanned:
        lines.append(f"left to do not known from the folder alone: {status.unplanned}")
    else:
        told = (header, *rows)
        lines += ["", *("  ".join(t.ljust(width) for t, width in zip(row, widths, strict=True)) for row in told)]
    lines += [note for stage in status.stages for note in stage.notes]
    lines += [f"quarantined: {unit}: {reason}" for unit, reason in status.quarantined.items()]
    return "\n".join(lines)


def _is_folder_of_runs(target: str) -> bool:
    with suppress(ValueError, OSError):
        return not Path(target).is_file() and bool(runs(Storage(target)))
    return False


def config_of(target: str) -> RunConfig:
    """Return the configuration of a run named by its YAML file or by its folder, whose last log has it.

    Raises:
        ValueError: there is no such run.
    """
    if Path(target).is_file():
        return load(RunConfig, target)
    storage = Storage(target)
    for name in (name for name in reversed(runs(storage)) if not is_sweep(name)):
        for entry in entries(storage, name):
            if entry.get("event") == "start" and "sensor" in entry["facts"]["config"]:  # no recipe
                return parse(RunConfig, entry["facts"]["config"], f"{target}/logs/{name}")
    what = "has no log of a map" if runs(storage) else "has no logs"
    raise ValueError(f"{target} is neither a configuration nor the folder of a run (it {what}); check the path")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(
        prog="sandan status",
        description="Say what of a run is done, pending, failed or stale, and why.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("run", metavar="RUN", help="CONFIG.yaml, or the folder of a run or of a bundle")
    parser.add_argument("--json", action="store_true", help="for programs")
    arguments = parser.parse_args(argv)
    try:
        config = config_of(arguments.run)
        status = status_of(plan_of(config))
    except (ValueError, OSError) as error:
        reason = " ".join(str(error).split())
        if not _is_folder_of_runs(arguments.run):
            print(f"sandan status: {reason}", file=sys.stderr)
            return BAD_INPUT
        status = status_of_folder(arguments.run, reason)  # its scenes are elsewhere, or it is a bundle's
    print(json.dumps(asdict(status), indent=1) if arguments.json else table(status))
    return DONE if status.is_done else INCOMPLETE


if __name__ == "__main__":
    sys.exit(main())

"""A product: runs that succeed one another, and one pointer to that which is published.

PRODUCT/runs/<id>/         a run, an ordinary `out`; `inputs.json` in it says what it maps, and is written first
PRODUCT/latest.json        the pointer; whoever reads follows it once
PRODUCT/ticks/<n>.json     what each tick found and did, written once
PRODUCT/lock/              the lease; its number is that of the tick
PRODUCT/report.html        what the last tick found and did, and the ticks before it
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict
from typing import Any

from cluster.exchange import exchange
from cluster.lock import RunLock
from cluster.removal import remove_folder
from cluster.storage import Storage
from jobs.map_config import PublishConfig
from jobs.plan import CONTRACTS, Run, key_of
from jobs.regions import region_facts
from jobs.schedule_decisions import Inputs, Pointer
from tiler.area import area_digest

RUNS, POINTER, INPUTS, TICKS = "runs", "latest.json", "inputs.json", "ticks"
RUN_ID = re.compile(r"\d{6,}-\d{8}-[0-9a-f]{12}")


class Fenced(RuntimeError):
    """Somebody has succeeded this driver: it publishes nothing any more."""


def inputs_of(run: Run) -> Inputs:
    """Return the inputs of a run that is planned."""
    config = run.config
    settings: dict[str, object] = {
        "code": CONTRACTS,
        "bundles": [card.digest() for card in run.cards],
        "infer": config.infer.model_dump(exclude={"tune", "adaptive"}),
        "adaptive rule": None if run.rule is None else run.rule.digest(),
        "area": None if config.area is None else area_digest(config.area),
        "grid": asdict(run.grid),
        "fuse": config.fuse.model_dump(),
        "outputs": sorted(config.outputs),
    }
    regions = region_facts(config)
    settings |= {} if regions is None else {"regions": regions}
    settings |= {} if config.publish == PublishConfig() else {"publish": config.publish.model_dump()}
    settings |= {"polygons": config.polygons.model_dump()} if "polygons" in config.outputs else {}
    scenes = {plan.scene.id: plan.name for plan in run.scenes}
    return Inputs(scenes, {word: key_of(value) for word, value in settings.items()})


def read_pointer(product: Storage) -> tuple[Pointer | None, bytes | None]:
    """Return the pointer of a product and its bytes, None twice where nothing is published yet."""
    try:
        text = product.get(POINTER)
    except FileNotFoundError:
        return None, None
    return Pointer.parse(text), text


def read_runs(product: Storage) -> dict[str, Inputs]:
    """Return the runs of a product by id, in order; what lacks its inputs is half made or half removed, and none."""
    found: dict[str, Inputs] = {}
    for run in sorted(filter(RUN_ID.fullmatch, product.folders(RUNS))):
        try:
            values = json.loads(product.get(f"{RUNS}/{run}/{INPUTS}"))
        except FileNotFoundError:
            continue
        found[run] = Inputs(values["scenes"], values["settings"])
    return found


def begin_run(product: Storage, run: str, inputs: Inputs, tick: int) -> None:
    """Make the folder of a run."""
    text = json.dumps({"tick": tick, **asdict(inputs)}, indent=1)
    product.create(f"{RUNS}/{run}/{INPUTS}", text.encode())


def flip(product: Storage, lease: RunLock, make: Callable[[Pointer | None], Pointer]) -> Pointer:
    """Let the pointer point to something else, unless somebody has succeeded this driver.

    Args:
        product: the product.
        lease: under which this is done; its number stands in the pointer, and never falls.
        make: given what is published, returns the new pointer.

    Raises:
        Fenced: another driver holds the lease, or has published under a later one.
    """
    while True:
        before, seen = read_pointer(product)
        if not lease.is_mine() or (before is not None and before.fence >= lease.number):
            raise Fenced(
                f"the lease of {product.url} went to somebody else after number {lease.number}; nothing was published"
            )
        after = make(before)
        if exchange(product, POINTER, after.text, seen):
            return after


def sweep_runs(product: Storage, stays: Iterable[str], tick: int) -> list[str]:
    """Remove the folders of all other runs, and of those that are half made; return their ids.

    What makes it a run goes first: cut short anywhere, nobody takes the rest for one, and the next sweep removes it.
    Runs that later ticks began are left alone, should this one have been succeeded without knowing.
    """
    there = filter(RUN_ID.fullmatch, product.folders(RUNS))
    gone = sorted(run for run in set(there) - set(stays) if int(run.partition("-")[0]) <= tick)
    for run in gone:
        product.delete(f"{RUNS}/{run}/{INPUTS}")
        remove_folder(product, f"{RUNS}/{run}")
    return gone


def keep_record(product: Storage, tick: int, record: Mapping[str, Any]) -> None:
    """Write what a tick found and did."""
    product.create(f"{TICKS}/{tick:06}.json", json.dumps(record, indent=1, default=str).encode())


def records(product: Storage, last: int) -> dict[int, dict[str, Any]]:
    """Return the records of the last ticks by number, the latest first; one that was killed has none."""
    keys = sorted(product.children(TICKS), reverse=True)[:last]
    return {int(key.rpartition("/")[2].removesuffix(".json")): json.loads(product.get(key)) for key in keys}

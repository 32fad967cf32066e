"""What only Ray's private state can say; where it cannot, a pool goes on without."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import Any

logger = logging.getLogger(__name__)


def draining_nodes() -> set[str]:
    """Ids of nodes that will go away soon (spot notices, maintenance); empty where Ray cannot say."""
    try:
        from ray._private.state import state

        return set(state.get_draining_nodes())
    except Exception:  # private: work lost with a node is done again anyway
        logger.debug("cannot list draining nodes", exc_info=True)
        return set()


def running(actors: Iterable[tuple[int, Any]]) -> set[int]:
    """Of numbered actors, those whose process runs, also if it never gets beyond its constructor.

    An actor that waits for resources is ``PENDING_CREATION`` too; only its process id tells them apart.
    """
    try:
        from ray._private.state import state

        return {number for number, actor in actors if state.actor_table(actor._actor_id.hex()).get("Pid", 0)}
    except Exception:  # private: a worker that gets beyond its constructor says so itself
        logger.debug("cannot tell which actors run", exc_info=True)
        return set()


def node_resources() -> dict[str, dict[str, float]]:
    """Id to the resources of every node that is alive."""
    import ray

    list_nodes: Any = ray.nodes
    return {node["NodeID"]: node["Resources"] for node in list_nodes() if node["Alive"]}


def free_resources() -> dict[str, dict[str, float]]:
    """Id to the resources of every node that nobody holds; empty where Ray cannot say."""
    try:
        from ray._private import state

        known: Any = state.available_resources_per_node
        return dict(known())
    except Exception:  # private: who cannot see what runs waits as long as there is time
        logger.debug("cannot tell free resources", exc_info=True)
        return {}

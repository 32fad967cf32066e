"""When a pool gets nowhere: what went wrong in a row, with nothing done in between."""

from __future__ import annotations

from cluster.decisions import GiveUp, Policy
from cluster.faults import Fault, Kind
from cluster.retry import Halt, verdict


class Patience:
    """Counts lost workers and units given up since something went well; a node that is taken away is nobody's fault."""

    def __init__(self, policy: Policy) -> None:
        self.policy = policy
        self.given_up = 0
        """Units given up for another reason than their data since one was finished."""
        self._deaths = 0
        self._hung = 0
        self._last = Fault(Kind.TAKEN, "")

    def lost(self, why: Fault) -> None:
        """A worker was lost, or killed."""
        if why.kind is Kind.TAKEN:
            return
        self._hung += why.kind is Kind.START
        self._deaths += why.kind is not Kind.START
        self._last = why

    def ready(self) -> None:
        """A worker has started."""
        self._hung = 0

    def settled(self) -> None:
        """A unit was finished or given up."""
        self._deaths = self._hung = 0

    def end(self, working: bool) -> GiveUp | None:
        """Return why no more workers are started, if so.

        Args:
            working: whether any worker is ready, or was a moment ago: then hung starts of others do not matter.
        """
        if self._deaths > self.policy.respawns:
            reason = f"{self._deaths} workers died and no unit finished in between; the last: {self._last.error}"
            return GiveUp(
                reason,
                "look for memory (dmesg, the logs in Ray's session folder), lower threads or units per worker, or try "
                "the serial engine",
            )
        rounds = self._hung // self.policy.workers
        if not working and rounds and isinstance(verdict(Kind.START, rounds, 0.0, self.policy), Halt):
            reason = f"{self._hung} workers hung before they were ready; the last: {self._last.error}"
            return GiveUp(
                reason,
                "look for a mount or a server that does not answer where networks and libraries are loaded from; if "
                "they only need longer, raise start_limit_s (engine.start_minutes)",
            )
        return None

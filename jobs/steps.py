"""Steps of a reproduction: commands that follow each other; one that fails ends it."""

from __future__ import annotations

from jobs.shell import DONE, INCOMPLETE


class StepFailedError(Exception):
    """A step ended with a code that is not success."""

    def __init__(self, step: str, code: int) -> None:
        super().__init__(f"{step} ended with exit code {code}")
        self.code = code


def check_step(step: str, code: int) -> None:
    """Go on after a step that did its work, if with units set aside.

    Raises:
        StepFailedError: it did not.
    """
    if code not in (DONE, INCOMPLETE):
        raise StepFailedError(step, code)

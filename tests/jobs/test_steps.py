import pytest

from jobs.shell import DONE, FAULT, INCOMPLETE
from jobs.steps import StepFailedError, check_step


def test_a_step_that_left_some_aside_goes_on_and_one_that_failed_ends_it():
    check_step("ingest", DONE)
    check_step("ingest", INCOMPLETE)
    with pytest.raises(StepFailedError, match="ingest ended with exit code 1") as raised:
        check_step("ingest", FAULT)
    assert raised.value.code == FAULT

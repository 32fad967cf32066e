"""Object stores and hosts: the error of a client is a sentence, not a debug dump."""

import pytest
from obstore.exceptions import GenericError

from tiler.remote import reached, remote


def test_nobody_who_answers_is_said_in_one_line():
    says = r"http://127\.0\.0\.1:9/a\.tif cannot be reached: .*; check the address"
    with pytest.raises(ValueError, match=says) as error, reached("http://127.0.0.1:9/a.tif"):
        remote("http://127.0.0.1:9").head("a.tif")
    assert "\n" not in str(error.value)


def test_debug_dumps_and_faults_of_ours_are_kept_apart():
    with pytest.raises(ValueError, match="reached: first; check"), reached("x"):
        raise GenericError("first\n\nDebug source: ...")
    with pytest.raises(KeyError), reached("x"):
        raise KeyError("ours")

from pathlib import Path

import pytest
import torch

from models.checkpoint import STATE_KEYS, check_same_run, state_from_bytes, state_to_bytes, to_cpu


def state(**changed):
    plain = dict.fromkeys(STATE_KEYS, None) | {"format": 1, "spec": {"seed": 3, "batch": 8}, "epoch": 2}
    return plain | {"network": {"weight": torch.arange(6.0).reshape(2, 3)}} | changed


def test_a_state_comes_back_from_its_bytes():
    found = state_from_bytes(state_to_bytes(state()))
    assert torch.equal(found.pop("network")["weight"], torch.arange(6.0).reshape(2, 3))
    assert found == {key: value for key, value in state().items() if key != "network"}


def test_a_copy_does_not_follow_the_original():
    original = {"a": [torch.zeros(2), (torch.ones(1), "text")]}
    copied = to_cpu(original)
    original["a"][0] += 5
    assert copied["a"][0].tolist() == [0, 0]
    assert isinstance(copied["a"][1], tuple)


class _Trap:
    def __reduce__(self):
        return Path.touch, (Path("trap-was-sprung"),)


def test_damaged_foreign_and_armed_bytes_are_refused(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    whole = state_to_bytes(state())
    for data in (b"", b"text", whole[: len(whole) // 2], state_to_bytes({"trap": _Trap()})):
        with pytest.raises(ValueError, match="are not a checkpoint"):
            state_from_bytes(data)
    assert not (tmp_path / "trap-was-sprung").exists()
    with pytest.raises(ValueError, match=r"found \['network'\]"):
        state_from_bytes(state_to_bytes({"network": {}}))
    with pytest.raises(ValueError, match="format 9"):
        state_from_bytes(state_to_bytes(state(format=9)))


def test_a_run_with_other_settings_is_named():
    check_same_run(state(), {"batch": 8, "seed": 3})
    with pytest.raises(ValueError, match=r"\(batch: 8 -> 16\)"):
        check_same_run(state(), {"seed": 3, "batch": 16})

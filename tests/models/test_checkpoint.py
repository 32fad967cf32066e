from pathlib import Path

import pytest
import torch
from torch import nn

from models.checkpoint import (
    STATE_KEYS,
    changing_state,
    check_same_run,
    state_from_bytes,
    state_to_bytes,
    take_on,
    to_cpu,
)


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


def test_a_state_holds_what_changes_and_fits_that_alone():
    def network() -> nn.Module:
        made = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3), nn.Linear(3, 1))
        made[0].requires_grad_(False)
        return made

    source, target = network(), network()
    source[1].running_mean.fill_(7.0)
    kept, before = changing_state(source), target[0].weight.clone()
    assert set(source.state_dict()) - set(kept) == {"0.weight", "0.bias"}
    take_on(target, kept)
    assert torch.equal(target[2].weight, source[2].weight)
    assert (target[1].running_mean == 7.0).all()
    assert torch.equal(target[0].weight, before)
    for unlike in (kept | {"0.weight": before}, {name: kept[name] for name in list(kept)[1:]}):
        with pytest.raises(RuntimeError, match="1 tensors differ"):
            take_on(target, unlike)
    assert set(changing_state(network().requires_grad_(True))) == set(source.state_dict())

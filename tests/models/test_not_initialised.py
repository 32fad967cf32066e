"""Networks whose first weights nobody draws: nothing of what lay in memory is left when their weights are set."""

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from models import weights
from models.networks import NetworkSpec, build
from models.not_initialised import NotInitialised
from models.weights import build_with_weights

SPEC = NetworkSpec(architecture="unet", encoder="tu-mobilenetv3_small_050", in_channels=3)


class Poisoned(NotInitialised):
    """Lets NaN lie in memory."""

    def __torch_function__(self, func, types, args=(), kwargs=None):
        found = super().__torch_function__(func, types, args, kwargs)
        if getattr(func, "__module__", "") == "torch.nn.init":
            found.data.fill_(torch.nan)
        return found


def test_no_number_is_drawn():
    before = torch.random.get_rng_state()
    with NotInitialised():
        assert nn.Conv2d(3, 5, 3).weight.shape == (5, 3, 3, 3)
    assert torch.equal(torch.random.get_rng_state(), before)


@pytest.mark.parametrize("source", ["random:3", "whole", "encoder"])
def test_weights_are_all_set_by_their_source(tmp_path, monkeypatch, source):
    if source != "random:3":
        state = build(SPEC).network.state_dict()
        kept = state if source == "whole" else {k: v for k, v in state.items() if k.startswith("encoder.")}
        save_file(kept, tmp_path / "weights.safetensors")
        source = f"file:{tmp_path / 'weights.safetensors'}"
    plain, found = build_with_weights(SPEC, source)
    monkeypatch.setattr(weights, "NotInitialised", Poisoned)
    poisoned, again = build_with_weights(SPEC, source)
    assert found == again
    for name, tensor in poisoned.state_dict().items():
        assert torch.equal(tensor, plain.state_dict()[name]), name
        assert tensor.isfinite().all(), name

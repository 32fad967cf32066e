"""A compiler that may fail in any way and at any time, and a network that is trained all the same."""

import warnings

import pytest
import torch
from torch import nn

from models.compiling import compiled, compiled_for_inference
from models.networks import NetworkSpec, build


class Wrapped(nn.Module):
    """What a compiler returns: another module over the same parameters."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, x):
        return self.inner(x)


@pytest.fixture
def network():
    return nn.Conv2d(3, 2, 1)


def test_the_compiled_network_is_tried_once_and_shares_its_parameters(network, monkeypatch):
    tried = []
    monkeypatch.setattr(torch, "compile", Wrapped)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        made = compiled(network, tried.append)
    assert tried == [made]
    assert made is not network
    assert [p is q for p, q in zip(made.parameters(), network.parameters(), strict=True)] == [True, True]


def test_a_compiler_that_is_absent_is_not_tried(network, monkeypatch):
    def absent(module):
        raise ModuleNotFoundError("no Triton")

    monkeypatch.setattr(torch, "compile", absent)
    with pytest.warns(RuntimeWarning, match=r"torch\.compile failed here: ModuleNotFoundError: no Triton\. Training"):
        assert compiled(network, lambda module: pytest.fail("tried what was never made")) is network


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (RuntimeError("ld: cannot find -lgomp\n  and 40 lines more"), r"RuntimeError: ld: cannot find -lgomp\. "),
        (AssertionError(), r"AssertionError: \. "),
        (OSError(28, "No space left on device"), r"OSError: \[Errno 28\] No space left on device\. "),
    ],
)
def test_a_pass_that_fails_gives_the_plain_network_and_the_first_line_of_why(network, monkeypatch, error, said):
    def trial(module):
        raise error

    monkeypatch.setattr(torch, "compile", Wrapped)
    with pytest.warns(RuntimeWarning, match=said) as caught:
        assert compiled(network, trial) is network
    assert len(caught) == 1
    assert "40 lines more" not in str(caught[0].message)
    assert caught[0].filename == __file__  # the caller's line, not the helper's


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit])
def test_whoever_stops_the_program_stops_it(network, monkeypatch, kind):
    def trial(module):
        raise kind

    monkeypatch.setattr(torch, "compile", Wrapped)
    with pytest.raises(kind):
        compiled(network, trial)


def test_inference_compiles_the_network_inside_its_scaling(monkeypatch):
    """In the mode that was asked for, for one shape."""
    asked = []
    monkeypatch.setattr(torch, "compile", lambda inner, **options: asked.append(options) or Wrapped(inner))
    spec = NetworkSpec(architecture="unet", encoder="tu-mobilenetv3_small_050", in_channels=3)
    network = build(spec, offset=[1.0, 2.0, 3.0], scale=[4.0, 5.0, 6.0]).eval()
    tiles = torch.randn(1, 3, 64, 96)
    with torch.inference_mode():
        expected = network(tiles)
        assert compiled_for_inference(network, "none") is network
        assert asked == []
        assert compiled_for_inference(network, "max-autotune") is network
        assert asked == [{"mode": "max-autotune", "dynamic": False}]
        assert isinstance(network.network, Wrapped)
        torch.testing.assert_close(network(tiles), expected, rtol=0, atol=0)
    with pytest.raises(ValueError, match="Did you mean 'max-autotune'"):
        compiled_for_inference(network, "max-autotun")

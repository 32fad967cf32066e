import pytest
import torch

from models import precision
from models.networks import NetworkSpec, build
from models.precision import choose, prepare, supports

torch.set_num_threads(1)
LIGHT = NetworkSpec(architecture="unet", encoder="tu-mobilenetv3_small_050", in_channels=3)


@pytest.mark.parametrize(("flags", "native"), [({}, False), ({"avx512_bf16": True}, True), ({"amx_bf16": True}, True)])
def test_auto_is_bf16_where_the_cpu_has_it(monkeypatch, flags, native):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: flags)
    assert choose("cpu") == ("bf16" if native else "fp32")
    assert choose("cpu", training=True) == ("bf16" if native else "fp32")
    assert supports("cpu", "bf16") is native
    assert choose("cpu", "fp32") == "fp32"


@pytest.mark.parametrize(("capability", "inference", "training"), [((7, 5), "fp32", "fp16"), ((9, 0), "bf16", "bf16")])
def test_auto_on_cuda_goes_by_compute_capability(monkeypatch, capability, inference, training):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: capability)
    assert choose("cuda:0") == inference
    assert choose("cuda:0", training=True) == training


def test_what_the_machine_cannot_do_is_refused(monkeypatch):
    monkeypatch.setattr(precision, "_cpu_has_bf16", lambda: False)
    network = build(LIGHT)
    with pytest.raises(ValueError, match="Asked for bf16 on cpu, which does not compute it"):
        prepare(network, "bf16", "cpu")
    with pytest.raises(ValueError, match="Asked for fp16 on cpu"):
        choose("cpu", "fp16")
    with pytest.raises(ValueError, match="Did you mean 'bf16'"):
        choose("cpu", "bf61")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ValueError, match="torch finds no CUDA"):
        choose("cuda")


@pytest.mark.parametrize("name", ["fp32", "bf16"])
def test_prepare_makes_a_copy_for_inference(monkeypatch, name):
    monkeypatch.setattr(precision, "_cpu_has_bf16", lambda: True)  # emulated where it is not native
    torch.manual_seed(0)
    network = build(LIGHT, [3000.0] * 3, [1500.0] * 3).train()
    x = 3000 + 1500 * torch.randn(2, 3, 64, 96)
    with torch.no_grad():
        for _ in range(5):
            network(x)
    prepared = prepare(network, name, "cpu")
    assert network.training
    assert not prepared.training
    assert all(p.dtype == torch.float32 and p.requires_grad for p in network.parameters())
    dtypes = {p.dtype for p in prepared.network.parameters()}
    assert dtypes == {torch.bfloat16 if name == "bf16" else torch.float32}
    assert not any(p.requires_grad for p in prepared.parameters())
    assert prepared.offset.dtype == prepared.scale.dtype == torch.float32
    stem = next(m for m in prepared.modules() if isinstance(m, torch.nn.Conv2d)).weight
    assert stem.is_contiguous(memory_format=torch.channels_last)
    network.eval()
    with torch.inference_mode():
        expected, found = network(x), prepared(x)
    assert found.dtype == torch.float32
    tolerance = 1e-4 if name == "fp32" else 0.1
    assert (found - expected).abs().mean() < tolerance * expected.std()

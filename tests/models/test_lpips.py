import hashlib
import warnings

import pytest
import safetensors.torch
import torch

from models import lpips as own
from models.lpips import TRUNKS, Trunk, load_lpips


def images(n, seed, height=64, width=80):
    return torch.rand(n, 3, height, width, generator=torch.Generator().manual_seed(seed))


def reference(trunk, metric):
    """The package's network with the same trunk."""
    with warnings.catch_warnings():
        # the package asks torchvision in an old way; what it gets is replaced below
        warnings.filterwarnings("ignore", message="The parameter 'pretrained'|Arguments other than a weight enum")
        import lpips

        net = lpips.LPIPS(net=trunk, pnet_rand=True, verbose=False)
    mine = metric._features.state_dict()
    theirs = {key: key.split(".", 1)[1] for key in net.net.state_dict()}  # slice2.3.weight is features.3.weight
    net.net.load_state_dict({key: mine[name] for key, name in theirs.items()})
    return net


@pytest.mark.parametrize("trunk", ["alex", "squeeze", pytest.param("vgg", marks=pytest.mark.slow)])
def test_it_is_the_distance_of_the_package(trunk):
    metric = load_lpips(trunk, "random:3")
    a, b = images(2, 1), images(3, 2)
    found = metric.compare(metric.prepare(a), metric.prepare(b))
    with torch.no_grad():
        net = reference(trunk, metric)
        expected = torch.stack([net(x.expand_as(b), b, normalize=True).flatten() for x in a])
    torch.testing.assert_close(found, expected, atol=2e-6, rtol=0)
    assert found.min() > 0.001  # the tolerance is small beside it
    assert metric.compare(metric.prepare(a), metric.prepare(a)).diagonal().max() < 2e-6


def test_one_pass_or_several_give_the_same_vectors(monkeypatch):
    metric, a = load_lpips("squeeze", "random:0"), images(5, 4)
    whole = metric.prepare(a)[0]
    monkeypatch.setattr(own, "FORWARD_VALUES", 2 * a[0].numel())
    torch.testing.assert_close(metric.prepare(a)[0], whole)


def test_random_trunks_are_functions_of_their_seed_and_leave_the_generator_alone():
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    a, b, other = (load_lpips("squeeze", f"random:{seed}") for seed in (1, 1, 2))
    assert torch.equal(torch.rand(1), expected)
    x = images(1, 0)
    assert torch.equal(a.prepare(x)[0], b.prepare(x)[0])
    assert not torch.equal(a.prepare(x)[0], other.prepare(x)[0])


def test_the_heading_says_what_it_is(tmp_path, monkeypatch):
    assert load_lpips("alex", "random:7").name == "LPIPS*(random trunk, seed 7)"
    assert load_lpips("squeeze", "random:7").name == "LPIPS*(squeeze, random trunk, seed 7)"
    metric = load_lpips("squeeze", "random:7")
    state = {f"features.{key}": value for key, value in metric._features.state_dict().items()}
    path = tmp_path / "trunk.safetensors"
    safetensors.torch.save_file({**state, "classifier.1.bias": torch.zeros(2)}, path)
    begins = hashlib.sha256(path.read_bytes()).hexdigest()[:8]
    loaded = load_lpips("squeeze", f"file:{path}")
    assert loaded.name == f"LPIPS*(squeeze, unverified file {begins})"
    assert torch.equal(loaded.prepare(images(1, 0))[0], metric.prepare(images(1, 0))[0])
    verified = Trunk("squeezenet1_1", TRUNKS["squeeze"].ends, f"squeezenet1_1-{begins}.pth")
    monkeypatch.setitem(TRUNKS, "squeeze", verified)
    assert load_lpips("squeeze", f"file:{path}").name == "LPIPS(squeeze)"


def test_the_prefixes_are_those_of_torchvision():
    from torchvision.models import AlexNet_Weights, SqueezeNet1_1_Weights, VGG16_Weights

    urls = {"alex": AlexNet_Weights, "squeeze": SqueezeNet1_1_Weights, "vgg": VGG16_Weights}
    for name, weights in urls.items():
        assert weights.IMAGENET1K_V1.url.endswith(f"/{TRUNKS[name].file}")


def test_what_does_not_fit_is_refused(tmp_path):
    with pytest.raises(ValueError, match="name no source"):
        load_lpips("alex", "alexnet.pth")
    with pytest.raises(ValueError, match="Did you mean 'squeeze'"):
        load_lpips("squeezenet", "random:0")
    with pytest.raises(FileNotFoundError, match="weights file"):
        load_lpips("alex", f"file:{tmp_path / 'none.pth'}")
    with pytest.raises(ValueError, match="3 bands"):
        load_lpips("squeeze", "random:0").prepare(torch.zeros(1, 5, 64, 64))
    squeeze = tmp_path / "squeeze.safetensors"
    safetensors.torch.save_file(load_lpips("squeeze", "random:0")._features.state_dict(), squeeze)
    with pytest.raises(ValueError, match="does not fit the trunk 'alex'"):
        load_lpips("alex", f"file:{squeeze}")
    with pytest.raises(ValueError, match=r"no channel weights of 'alex'.*lin0"):
        load_lpips("alex", "random:0", heads=str(squeeze))


def test_without_a_package_the_heads_must_be_named(monkeypatch):
    monkeypatch.setattr(own, "find_spec", lambda name: None)
    with pytest.raises(FileNotFoundError, match=r"sandan\[embeddings\]"):
        load_lpips("alex", "random:0")

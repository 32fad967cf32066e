import hashlib
from pathlib import Path

import pytest
import safetensors.torch
import torch

from models import weight_sources
from models.bundle import save_bundle
from models.card import Card, read_card
from models.networks import NetworkSpec, build
from models.weights import build_with_weights, initialise

torch.set_num_threads(1)

SPEC = NetworkSpec(architecture="unet", encoder="tu-mobilenetv3_small_050", in_channels=5)


def same(first, second):
    one, two = first.network.state_dict(), second.network.state_dict()
    return one.keys() == two.keys() and all(torch.equal(one[key], two[key]) for key in one)


def with_channels(count):
    return SPEC.model_copy(update={"in_channels": count})


@pytest.fixture
def source():
    torch.manual_seed(11)
    return build(SPEC)


def test_random_is_a_function_of_the_seed_and_leaves_the_generator_alone():
    before = torch.random.get_rng_state()
    first, provenance = build_with_weights(SPEC, "random:7")
    second, again = build_with_weights(SPEC, "random:7")
    other, different = build_with_weights(SPEC, "random:8")
    assert torch.equal(torch.random.get_rng_state(), before)
    assert same(first, second)
    assert not same(first, other)
    assert provenance == again
    assert provenance.sha256 != different.sha256
    assert (provenance.spec, provenance.missing) == ("random:7", 0)
    torch.manual_seed(7)
    assert same(first, build(SPEC))


def test_initialise_keeps_the_scaling(source):
    network = build(SPEC, [1.0] * 5, [2.0] * 5)
    initialise(network, "random:7")
    assert network.offset.tolist() == [1.0] * 5
    assert network.scale.tolist() == [2.0] * 5


@pytest.mark.parametrize("suffix", [".safetensors", ".pth", ".pt"])
def test_a_file_of_a_whole_network(tmp_path, source, suffix):
    path = tmp_path / f"weights{suffix}"
    if suffix == ".safetensors":
        safetensors.torch.save_file(source.state_dict(), path)
    else:  # as training scripts write it: wrapped, from DistributedDataParallel
        torch.save({"state_dict": {f"module.{k}": v for k, v in source.network.state_dict().items()}}, path)
    network, provenance = build_with_weights(SPEC, f"file:{path}")
    assert same(network, source)
    assert provenance.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert (provenance.loaded, provenance.missing, provenance.unexpected) == (len(source.network.state_dict()), 0, 0)


def test_an_encoder_file_leaves_the_decoder_to_its_own_seed(tmp_path, source):
    path = tmp_path / "encoder.safetensors"
    safetensors.torch.save_file(source.network.encoder.state_dict(), path)
    states = []
    for noise, seed in ((1, 0), (2, 0), (2, 1)):
        torch.manual_seed(noise)
        network, provenance = build_with_weights(SPEC, f"file:{path}", decoder_seed=seed)
        states.append(network)
        encoder = source.network.encoder.state_dict()
        assert all(torch.equal(v, encoder[k]) for k, v in network.network.encoder.state_dict().items())
        assert provenance.loaded == len(encoder)
        assert provenance.loaded + provenance.missing == len(network.network.state_dict())
    assert same(states[0], states[1])
    assert not same(states[0], states[2])


def test_five_channels_become_six_without_changing_the_logits(tmp_path):
    """The stem of a fine-tuning: new weights are zeros, all others the source's (IND-31)."""
    torch.manual_seed(2)
    source = build(SPEC, [0.5] * 5, [2.0] * 5).eval()
    path = tmp_path / "five.safetensors"
    safetensors.torch.save_file(source.state_dict(), path)
    scaling = {"offset": [0.5] * 5 + [10.0], "scale": [2.0] * 5 + [3.0]}
    network, provenance = build_with_weights(with_channels(6), f"file:{path}", stem="zero", **scaling)
    assert provenance.stem == "zero 5 -> 6"
    before, after = source.network.state_dict(), network.network.state_dict()
    changed = [
        key for key in after if after[key].shape != before[key].shape or not torch.equal(after[key], before[key])
    ]
    assert len(changed) == 1
    assert torch.equal(after[changed[0]][:, :5], before[changed[0]])
    x = torch.randn(2, 6, 45, 64)
    with torch.inference_mode():
        torch.testing.assert_close(network.eval()(x), source(x[:, :5]))


def test_three_channels_are_tiled_onto_five(tmp_path):
    torch.manual_seed(2)
    source = build(with_channels(3))
    path = tmp_path / "three.safetensors"
    safetensors.torch.save_file(source.network.encoder.state_dict(), path)
    network, provenance = build_with_weights(SPEC, f"file:{path}")
    assert provenance.stem == "tile 3 -> 5"
    old, new = (n.network.encoder.model.conv_stem.weight for n in (source, network))
    torch.testing.assert_close(new, old[:, [0, 1, 2, 0, 1]] * 3 / 5)


def test_a_recipe_is_a_bundle_or_what_its_loader_gives(tmp_path, source):
    made = Card(
        name="a",
        architecture=SPEC.architecture,
        encoder=SPEC.encoder,
        channels=tuple("abcde"),
        sensor="test",
        offset=(0.0,) * 5,
        scale=(1.0,) * 5,
        classes=("industrial",),
        training_data="",
        weights="random:11",
    )
    save_bundle(tmp_path / "a", source, made)
    network, provenance = build_with_weights(SPEC, f"recipe:{tmp_path / 'a'}")
    assert same(network, source)
    assert provenance.sha256 == read_card(tmp_path / "a").weights_sha256
    asked = []

    def load(name):
        asked.append(name)
        return source.state_dict()

    other, again = build_with_weights(SPEC, "recipe:industrial/a", load_recipe=load)
    assert asked == ["industrial/a"]
    assert same(other, source)
    assert again.sha256 == provenance.sha256


def test_the_hub_is_read_from_its_cache_only(tmp_path, source, monkeypatch):
    cached = tmp_path / "model.safetensors"
    safetensors.torch.save_file(source.state_dict(), cached)
    asked = []

    def cache(identifier, name, *, revision, local_files_only):
        asked.append((identifier, name, revision, local_files_only))
        return str(cached)

    monkeypatch.setattr(weight_sources, "hf_hub_download", cache)
    network, provenance = build_with_weights(SPEC, "hub:owner/name@v2")
    assert same(network, source)
    assert asked == [("owner/name", "model.safetensors", "v2", True)]
    assert provenance.sha256 == hashlib.sha256(cached.read_bytes()).hexdigest()


def test_a_model_that_is_not_in_the_cache_is_one_clear_error(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(FileNotFoundError) as caught:
        build_with_weights(SPEC, "hub:sandan-test/never-published@v1")
    for part in ("hub:sandan-test/never-published@v1", "model.safetensors", "file:PATH", "random:SEED"):
        assert part in str(caught.value)
    with pytest.raises(ValueError, match="not the id of a model"):
        build_with_weights(SPEC, "hub:a/b/c/d")


@pytest.mark.parametrize("spec", ["", "random", "random:", "imagenet", "/models/a.pth", "fiel:a.pth"])
def test_nothing_is_random_or_guessed_by_default(spec):
    with pytest.raises(ValueError, match=r"Write file:PATH, hub:ID\[@rev\], recipe:NAME or random:SEED"):
        build_with_weights(SPEC, spec)


def test_wrong_files_are_refused(tmp_path):
    for spec, error, message in [
        (f"file:{tmp_path / 'absent.pth'}", FileNotFoundError, "which is not there"),
        ("random:x", ValueError, "seed must be a whole number"),
        ("random:-1", ValueError, "seed must be a whole number"),
    ]:
        with pytest.raises(error, match=message):
            build_with_weights(SPEC, spec)
    with pytest.raises(ValueError, match="Did you mean 'zero'"):
        build_with_weights(SPEC, "random:1", stem="zeros")
    (tmp_path / "bad.safetensors").write_bytes(b"not tensors")
    torch.save([1, 2], tmp_path / "list.pth")
    with pytest.raises(ValueError, match="without running code"):
        build_with_weights(SPEC, f"file:{tmp_path / 'bad.safetensors'}")
    with pytest.raises(ValueError, match="holds list, not tensors by name"):
        build_with_weights(SPEC, f"file:{tmp_path / 'list.pth'}")


class _Trap:
    def __reduce__(self):
        return Path.touch, (Path("trap-was-sprung"),)


def test_a_file_cannot_run_code(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    torch.save({"weight": _Trap()}, tmp_path / "trap.pth")
    with pytest.raises(ValueError, match="without running code"):
        build_with_weights(SPEC, f"file:{tmp_path / 'trap.pth'}")
    assert not (tmp_path / "trap-was-sprung").exists()

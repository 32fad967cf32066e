import json

import pytest
import safetensors.torch
import torch

from models.bundle import bundle_files
from models.card import CARD_FILE, WEIGHTS_FILE, Card, read_card
from models.embedder_bundle import embedder_files, load_embedder, load_unmerged, read_embedder, save_embedder
from models.embedder_card import ADAPTER_FILE, read_embedder_card
from models.lora import add_lora, lora_state
from models.lora_spec import LoraSpec
from models.networks import NetworkSpec, build
from tests.models.vits import small_card, small_embedder, trained_adapter

torch.set_num_threads(1)
LORA = LoraSpec(rank=4)


@pytest.fixture
def adapted():
    embedder = small_embedder()
    add_lora(embedder, LORA, seed=2)
    trained_adapter(embedder)
    return embedder.eval()


@pytest.fixture
def files(adapted):
    return embedder_files(adapted, small_card(lora=LORA.model_dump()))


def test_what_was_saved_is_what_is_loaded(tmp_path, adapted):
    images = torch.randn(3, 3, 32, 32)
    card = save_embedder(tmp_path / "b", adapted, small_card(lora=LORA.model_dump()))
    before = torch.random.get_rng_state()
    found, merged = load_embedder(read_embedder(tmp_path / "b"))
    assert torch.equal(torch.random.get_rng_state(), before)
    assert found == card == read_embedder_card(tmp_path / "b")
    assert not lora_state(merged)
    assert not merged.training
    assert not any(p.requires_grad for p in merged.parameters())
    with torch.no_grad():
        assert (merged(images) - adapted(images)).abs().max() < 1e-5
        _, apart = load_unmerged(read_embedder(tmp_path / "b"))
        assert torch.equal(apart(images), adapted(images))


def test_the_base_is_kept_byte_for_byte_and_the_adapter_apart(files):
    assert set(files) == {CARD_FILE, WEIGHTS_FILE, ADAPTER_FILE}
    plain = embedder_files(small_embedder(), small_card(method="frozen"))
    assert set(plain) == {CARD_FILE, WEIGHTS_FILE}
    assert files[WEIGHTS_FILE] == plain[WEIGHTS_FILE]
    adapter = safetensors.torch.load(files[ADAPTER_FILE])
    assert sum(tensor.numel() for tensor in adapter.values()) == 2 * 3 * 4 * 192 * 2


def test_the_digest_names_card_and_weights_together(files, adapted):
    digest = read_embedder_card(files).digest()
    with torch.no_grad():
        next(p for name, p in adapted.named_parameters() if name.endswith("lora_b")).add_(1e-3)
    other = embedder_files(adapted, small_card(lora=LORA.model_dump()))
    assert other[WEIGHTS_FILE] == files[WEIGHTS_FILE]
    assert read_embedder_card(other).digest() != digest


def test_damaged_or_foreign_files_are_refused(files, adapted):
    for name in (WEIGHTS_FILE, ADAPTER_FILE):
        with pytest.raises(ValueError, match=f"but {name} has .* copy both again"):
            load_embedder({**files, name: files[name][:-1] + b"x"})
        with pytest.raises(ValueError, match=f"has no {name}"):
            load_embedder({key: data for key, data in files.items() if key != name})
    with pytest.raises(ValueError, match="not a card of format 1"):
        load_embedder({**files, CARD_FILE: files[CARD_FILE].replace(b'"dimension": 192', b'"dimension": "many"')})
    told = json.loads(files[CARD_FILE])
    with pytest.raises(ValueError, match=r"do not fit vit_tiny|vectors of"):
        load_embedder({**files, CARD_FILE: json.dumps(told | {"depth": 1}).encode()})
    with pytest.raises(ValueError, match="states offset"):
        load_embedder({**files, CARD_FILE: json.dumps(told | {"offset": [0, 0, 0]}).encode()})
    with pytest.raises(ValueError, match=r"knows of no adapter\.safetensors"):
        load_embedder({**embedder_files(small_embedder(), small_card()), ADAPTER_FILE: files[ADAPTER_FILE]})
    broken = small_embedder()
    with torch.no_grad():
        broken.network.norm.bias[0] = float("nan")
    with pytest.raises(ValueError, match="NaN or infinity"):
        load_embedder(embedder_files(broken, small_card()))


def test_a_card_that_does_not_describe_the_network_is_refused(adapted):
    with pytest.raises(ValueError, match="says lora None"):
        embedder_files(adapted, small_card())
    with pytest.raises(ValueError, match="describes"):
        embedder_files(small_embedder(depth=1), small_card())
    with pytest.raises(ValueError, match="keeps float32"):
        embedder_files(small_embedder().half(), small_card())


def test_the_two_kinds_of_bundles_are_told_apart(files):
    spec = NetworkSpec(architecture="unet", encoder="tu-mobilenetv3_small_050", in_channels=3)
    network = build(spec)
    shared = {"name": "n", "channels": ("a", "b", "c"), "sensor": "s", "offset": (0, 0, 0), "scale": (1, 1, 1)}
    card = Card(
        **shared, architecture="unet", encoder=spec.encoder, classes=("c",), training_data="", weights="random:0"
    )
    with pytest.raises(ValueError, match="an embedder is needed here"):
        load_embedder(bundle_files(network, card))
    with pytest.raises(ValueError, match="a network that maps is needed here"):
        read_card(files)


def test_the_network_runs_in_bfloat16_and_its_scaling_in_float32(files, monkeypatch):
    monkeypatch.setattr("models.precision._cpu_has_bf16", lambda: True)
    images = 1000 * torch.randn(2, 3, 32, 32)
    _, rounded = load_embedder(files, "bf16")
    _, exact = load_embedder(files, "fp32")
    assert rounded.network.norm.weight.dtype == torch.bfloat16
    assert rounded.scale.dtype == torch.float32
    with torch.no_grad():
        found, expected = rounded(images), exact(images)
    assert found.dtype == torch.float32
    assert torch.nn.functional.cosine_similarity(found, expected).min() > 0.995

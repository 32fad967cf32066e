import pytest
import timm
import torch
from torch import nn

from models.lora import (
    SplitQKVLoRA,
    add_lora,
    base_state,
    load_lora,
    lora_state,
    merge_lora,
)
from models.lora_spec import LoraSpec
from tests.models.vits import small_embedder, trained_adapter

torch.set_num_threads(1)


def trainable(network: nn.Module) -> int:
    return sum(p.numel() for p in network.parameters() if p.requires_grad)


def test_a_vit_b_of_rank_8_trains_442368_of_86_million_weights():
    with torch.device("meta"):
        network = timm.create_model("vit_base_patch16_224", num_classes=0, global_pool="token")
    assert sum(p.numel() for p in network.parameters()) == 85_798_656
    assert add_lora(network, LoraSpec(rank=8), seed=0) == 12
    assert trainable(network) == 442_368
    assert {name.rpartition(".")[2] for name, p in network.named_parameters() if p.requires_grad} == {
        "lora_a",
        "lora_b",
    }


def test_the_answer_is_the_formula():
    torch.manual_seed(0)
    base = nn.Linear(5, 12)
    layer = SplitQKVLoRA(base, LoraSpec(rank=2, alpha=6, dropout=0)).eval()
    nn.init.normal_(layer.lora_b)
    x = torch.randn(3, 7, 5)
    expected = base(x)
    for k in range(3):
        expected[..., 4 * k : 4 * k + 4] += 3 * x @ layer.lora_a[k].T @ layer.lora_b[k].T
    torch.testing.assert_close(layer(x), expected)


def test_an_adapted_network_begins_as_its_base():
    embedder, images = small_embedder().eval(), torch.randn(4, 3, 32, 32)
    before = embedder(images)
    state = torch.random.get_rng_state()
    add_lora(embedder, LoraSpec(), seed=3)
    assert torch.equal(torch.random.get_rng_state(), state)
    assert torch.equal(embedder.eval()(images), before)


def test_merged_equals_unmerged_and_leaves_no_adapter():
    embedder, images = small_embedder(), torch.randn(4, 3, 32, 32)
    add_lora(embedder, LoraSpec(), seed=3)
    trained_adapter(embedder)
    apart = embedder.eval()(images)
    assert merge_lora(embedder) == 2
    assert not lora_state(embedder)
    together = embedder(images)
    assert (together - apart).abs().max() < 1e-5
    assert (together - small_embedder().eval()(images)).abs().max() > 1e-2


def test_dropout_is_of_training_alone():
    embedder, images = small_embedder(), torch.randn(2, 3, 32, 32)
    add_lora(embedder, LoraSpec(dropout=0.5), seed=3)
    trained_adapter(embedder)
    assert torch.equal(embedder.eval()(images), embedder(images))
    assert not torch.equal(embedder.train()(images), embedder(images))


def test_training_moves_the_adapter_and_not_one_bit_of_the_base():
    embedder = small_embedder()
    names = list(embedder.state_dict())
    add_lora(embedder, LoraSpec(rank=4), seed=3)
    before = {name: value.clone() for name, value in base_state(embedder).items()}
    assert list(before) == names
    adapter = {name: value.clone() for name, value in lora_state(embedder).items()}
    optimizer = torch.optim.AdamW([p for p in embedder.parameters() if p.requires_grad], lr=1e-2, weight_decay=0.1)
    for _ in range(3):
        optimizer.zero_grad()
        embedder(torch.randn(2, 3, 32, 32)).square().sum().backward()
        optimizer.step()
    assert all(torch.equal(value, before[name]) for name, value in base_state(embedder).items())
    assert not any(torch.equal(value, adapter[name]) for name, value in lora_state(embedder).items())


def test_the_seed_draws_the_same_adapter():
    made = []
    for seed in (3, 3, 4):
        embedder = small_embedder()
        add_lora(embedder, LoraSpec(), seed=seed)
        made.append(lora_state(embedder))
    assert all(torch.equal(made[0][name], made[1][name]) for name in made[0])
    assert not all(torch.equal(made[0][name], made[2][name]) for name in made[0])


def test_what_cannot_be_adapted_is_refused():
    with pytest.raises(ValueError, match=r"no attn\.qkv"):
        add_lora(nn.Sequential(nn.Linear(3, 3)), LoraSpec(), seed=0)
    with pytest.raises(ValueError, match="not query, key and value"):
        SplitQKVLoRA(nn.Linear(4, 8), LoraSpec())
    embedder = small_embedder()
    add_lora(embedder, LoraSpec(), seed=0)
    with pytest.raises(ValueError, match="already"):
        add_lora(embedder, LoraSpec(), seed=0)


def test_an_adapter_of_another_network_is_refused():
    embedder, other = small_embedder(), small_embedder(depth=1)
    add_lora(embedder, LoraSpec(), seed=0)
    add_lora(other, LoraSpec(), seed=0)
    with pytest.raises(ValueError, match="2 tensors are missing"):
        load_lora(embedder, lora_state(other))
    state = lora_state(embedder)
    name = next(iter(state))
    with pytest.raises(ValueError, match="float16"):
        load_lora(embedder, {**state, name: state[name].half()})
    with pytest.raises(ValueError, match="NaN or infinity"):
        load_lora(embedder, {**state, name: state[name] * float("nan")})

import hashlib

import numpy as np
import pytest
import safetensors.torch
import timm
import torch
from timm.models.vision_transformer import checkpoint_filter_fn

from models.embedder import EmbedderSpec
from models.embedder_bundle import save_embedder
from models.embedder_weights import POSITION_AMPLITUDE, embedder_with_weights, sine_cosine
from models.lora import add_lora
from models.lora_spec import LoraSpec
from tests.models.vits import OFFSET, SCALE, SPEC, small_card, small_embedder, trained_adapter

torch.set_num_threads(1)
BANDS = ("ir", "swir", "wv")


def classifier(side_px=32, channels=3):
    """A network as timm saves it: with a classifier, which no embedder has."""
    torch.manual_seed(4)
    return timm.create_model(SPEC.architecture, num_classes=7, img_size=side_px, depth=2, in_chans=channels)


def saved(tmp_path, state, name="w.safetensors"):
    safetensors.torch.save_file({key: value.contiguous() for key, value in state.items()}, tmp_path / name)
    return f"file:{tmp_path / name}"


def hugging_face(state):
    """The tensors of timm as Hugging Face's ViTModel names them."""
    inner = {"attn.proj": "attention.output.dense", "mlp.fc1": "intermediate.dense", "mlp.fc2": "output.dense"}
    inner |= {"norm1": "layernorm_before", "norm2": "layernorm_after"}
    outer = {"patch_embed.proj": "embeddings.patch_embeddings.projection", "norm": "layernorm", "head": "classifier"}
    made = {"vit.embeddings.cls_token": state["cls_token"], "vit.embeddings.position_embeddings": state["pos_embed"]}
    for name, tensor in state.items():
        stem, _, kind = name.rpartition(".")
        if stem in outer:
            made[f"vit.{outer[stem]}.{kind}"] = tensor
        elif name.startswith("blocks."):
            _, number, part = stem.split(".", 2)
            prefix = f"vit.encoder.layer.{number}"
            if part == "attn.qkv":
                for own, third in zip(("query", "key", "value"), tensor.chunk(3), strict=True):
                    made[f"{prefix}.attention.attention.{own}.{kind}"] = third
            else:
                made[f"{prefix}.{inner[part]}.{kind}"] = tensor
    return made


def test_random_is_a_function_of_the_seed_and_leaves_the_generator_alone():
    before = torch.random.get_rng_state()
    (first, provenance), (second, again) = (embedder_with_weights(SPEC, "random:7") for _ in range(2))
    other, _ = embedder_with_weights(SPEC, "random:8")
    assert torch.equal(torch.random.get_rng_state(), before)
    assert provenance == again
    names = first.state_dict()
    assert all(torch.equal(value, second.state_dict()[name]) for name, value in names.items())
    assert not torch.equal(names["network.cls_token"], other.state_dict()["network.cls_token"])


@pytest.mark.parametrize("convert", [dict, hugging_face])
def test_files_of_timm_and_of_hugging_face_give_the_same_answers(tmp_path, convert):
    network = classifier()
    spec = saved(tmp_path, convert(network.state_dict()))
    embedder, provenance = embedder_with_weights(SPEC, spec, offset=OFFSET, scale=SCALE)
    images = torch.randn(2, 3, 32, 32)
    with torch.no_grad():
        expected = network.eval().forward_features(embedder.prepared(images))[:, 0]
        assert torch.equal(embedder.eval()(images), expected)
    assert (provenance.missing, provenance.unexpected, provenance.stem) == (0, 2, "as saved")
    assert provenance.sha256 == hashlib.sha256((tmp_path / "w.safetensors").read_bytes()).hexdigest()
    assert embedder.offset.tolist() == list(OFFSET)


def flax_arrays(side=2, width=192, heads=3, blocks=2):
    """Random arrays under the names and in the shapes of the published .npz files."""
    random, head = np.random.default_rng(5), width // heads
    shapes = {"cls": (1, 1, width), "embedding/kernel": (16, 16, 3, width), "embedding/bias": (width,)}
    shapes |= {"Transformer/posembed_input/pos_embedding": (1, side * side + 1, width), "head/bias": (21843,)}
    shapes |= {f"Transformer/encoder_norm/{kind}": (width,) for kind in ("scale", "bias")}
    for i in range(blocks):
        at = f"Transformer/encoderblock_{i}/"
        for part in ("query", "key", "value"):
            shapes[f"{at}MultiHeadDotProductAttention_1/{part}/kernel"] = (width, heads, head)
            shapes[f"{at}MultiHeadDotProductAttention_1/{part}/bias"] = (heads, head)
        shapes[f"{at}MultiHeadDotProductAttention_1/out/kernel"] = (heads, head, width)
        shapes[f"{at}MultiHeadDotProductAttention_1/out/bias"] = (width,)
        for n, (inner, outer) in enumerate([(width, 4 * width), (4 * width, width)]):
            shapes[f"{at}MlpBlock_3/Dense_{n}/kernel"], shapes[f"{at}MlpBlock_3/Dense_{n}/bias"] = (
                (inner, outer),
                (outer,),
            )
        shapes |= {f"{at}LayerNorm_{n}/{kind}": (width,) for n in (0, 2) for kind in ("scale", "bias")}
    return {name: random.standard_normal(shape, dtype=np.float32) for name, shape in shapes.items()}


def test_the_files_of_the_authors_are_read_as_timm_reads_them(tmp_path):
    path = tmp_path / "Ti_16-i21k.npz"
    np.savez(path, **flax_arrays())
    embedder, provenance = embedder_with_weights(SPEC, f"file:{path}")
    expected = timm.create_model(SPEC.architecture, num_classes=0, img_size=32, depth=2)
    expected.load_pretrained(str(path))
    for name, tensor in expected.state_dict().items():
        assert torch.equal(embedder.network.state_dict()[name], tensor), name
    assert (provenance.missing, provenance.unexpected) == (0, 1)


def test_an_npz_with_objects_is_refused(tmp_path):
    np.savez(tmp_path / "w.npz", **{"embedding/kernel": np.array([{}], object)}, allow_pickle=True)
    with pytest.raises(ValueError, match="without running code"):
        embedder_with_weights(SPEC, f"file:{tmp_path}/w.npz")


def test_positions_of_another_side_are_interpolated_as_timm_does(tmp_path):
    network = classifier(side_px=64)
    embedder, provenance = embedder_with_weights(SPEC, saved(tmp_path, network.state_dict()))
    assert provenance.stem == "positions 17 -> 5"
    expected = checkpoint_filter_fn(network.state_dict(), small_embedder().network)["pos_embed"]
    assert torch.equal(embedder.network.pos_embed, expected)
    assert torch.equal(embedder.network.pos_embed[:, :1], network.pos_embed[:, :1])


def test_register_tokens_have_no_positions(tmp_path):
    name = "vit_small_patch14_reg4_dinov2"
    network = timm.create_model(name, num_classes=0, img_size=56, depth=1)
    spec = EmbedderSpec(architecture=name, in_channels=3, side_px=28, depth=1)
    embedder, provenance = embedder_with_weights(spec, saved(tmp_path, network.state_dict()))
    assert provenance.stem == "positions 16 -> 4"
    assert embedder.network.num_prefix_tokens == 5
    assert embedder(torch.randn(1, 3, 28, 28)).shape == (1, 384)


def test_other_channels_follow_the_stem_rules(tmp_path):
    network = classifier(channels=3)
    weight = network.patch_embed.proj.weight
    spec = saved(tmp_path, network.state_dict())
    five = SPEC.model_copy(update={"in_channels": 5})
    tiled, provenance = embedder_with_weights(five, spec)
    assert provenance.stem == "tile 3 -> 5"
    assert torch.equal(tiled.network.patch_embed.proj.weight[:, 3], weight[:, 0] * (3 / 5))
    zeroed, _ = embedder_with_weights(five, spec, stem="zero")
    assert torch.equal(zeroed.network.patch_embed.proj.weight[:, :3], weight)
    assert (zeroed.network.patch_embed.proj.weight[:, 3:] == 0).all()


def test_a_recipe_is_a_bundle_with_its_adapter_merged(tmp_path):
    source = small_embedder()
    add_lora(source, LoraSpec(), seed=2)
    trained_adapter(source)
    card = save_embedder(tmp_path / "b", source, small_card(lora=LoraSpec().model_dump()))
    found, provenance = embedder_with_weights(
        SPEC, f"recipe:{tmp_path / 'b'}", offset=OFFSET, scale=SCALE, channels=BANDS
    )
    images = torch.randn(2, 3, 32, 32)
    with torch.no_grad():
        assert (found.eval()(images) - source.eval()(images)).abs().max() < 1e-5
    assert provenance.digest == card.digest()
    reordered, provenance = embedder_with_weights(
        SPEC, f"recipe:{tmp_path / 'b'}", offset=OFFSET[::-1], scale=SCALE[::-1], channels=BANDS[::-1]
    )
    assert provenance.stem == "names 3 -> 3; reordered"
    with torch.no_grad():
        assert (reordered.eval()(images.flip(1)) - source(images)).abs().max() < 1e-4


def test_weights_that_do_not_fit_are_refused(tmp_path):
    state = classifier().state_dict()
    with pytest.raises(ValueError, match=r"2 of 30 tensors are missing \(blocks.0.attn.qkv.bias"):
        embedder_with_weights(
            SPEC, saved(tmp_path, {k: v for k, v in state.items() if not k.startswith("blocks.0.attn.qkv")})
        )
    lacking = {k: v for k, v in hugging_face(state).items() if "layer.1.attention.attention.key.weight" not in k}
    with pytest.raises(ValueError, match="needs query, key and value, found only"):
        embedder_with_weights(SPEC, saved(tmp_path, lacking))
    wide = timm.create_model("vit_small_patch16_224", num_classes=0, img_size=32, depth=2)
    with pytest.raises(ValueError, match="has shape"):
        embedder_with_weights(SPEC, saved(tmp_path, wide.state_dict()))
    with pytest.raises(ValueError, match="NaN"):
        embedder_with_weights(SPEC, saved(tmp_path, {**state, "norm.bias": state["norm.bias"] * float("nan")}))
    with pytest.raises(ValueError, match="Did you mean file:"):
        embedder_with_weights(SPEC, "fiel:x")
    with pytest.raises(FileNotFoundError, match="which is not there"):
        embedder_with_weights(SPEC, f"file:{tmp_path}/none.safetensors")


def test_positions_of_random_weights_may_be_waves():
    drawn, _ = embedder_with_weights(SPEC, "random:3")
    waves, told = embedder_with_weights(SPEC, "random:3", positions="sine-cosine")
    differing = {k for k, v in waves.network.state_dict().items() if not v.equal(drawn.network.state_dict()[k])}
    assert differing == {"pos_embed"}
    assert told != embedder_with_weights(SPEC, "random:3")[1]
    assert waves.network.pos_embed[0, 0].equal(drawn.network.pos_embed[0, 0])  # that of [CLS]
    rows, cols = waves.network.patch_embed.grid_size
    expected = POSITION_AMPLITUDE * sine_cosine(rows, cols, waves.dimension)
    torch.testing.assert_close(waves.network.pos_embed[0, 1:], expected)


def test_waves_tell_rows_from_columns_and_depend_on_distance_alone():
    waves = sine_cosine(3, 5, 16).double()
    place = {(row, col): waves[row * 5 + col] for row in range(3) for col in range(5)}
    row, col = np.array([1, 2]), np.array([2, 4])
    by_hand = np.concatenate(
        [f(n * 10_000.0 ** (-np.arange(4) / 4)) for n in (row[0], col[1]) for f in (np.sin, np.cos)]
    )
    np.testing.assert_allclose(place[1, 4], by_hand, atol=1e-6)
    assert (waves**2).sum(1).allclose(torch.full((15,), 8.0, dtype=torch.float64))
    assert (place[0, 1] @ place[1, 3]).item() == pytest.approx((place[1, 2] @ place[2, 4]).item(), abs=1e-5)
    with pytest.raises(ValueError, match="4 divides, not 18"):
        sine_cosine(2, 2, 18)


def test_weights_of_a_file_bring_their_own_positions(tmp_path):
    weights = saved(tmp_path, classifier().state_dict())
    with pytest.raises(ValueError, match="bring their own positions"):
        embedder_with_weights(SPEC, weights, positions="sine-cosine")
    with pytest.raises(ValueError, match="Did you mean 'sine-cosine'"):
        embedder_with_weights(SPEC, "random:1", positions="sine")

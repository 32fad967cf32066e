"""Any bundle as the start of any training whose bands it can be mapped to."""

from dataclasses import asdict

import pytest
import safetensors.torch
import torch
from hypothesis import given
from hypothesis import strategies as st

from models.bundle import save_bundle
from models.card import Card, read_card
from models.channels import ChannelMap
from models.networks import NetworkSpec, build
from models.weight_sources import Source
from models.weights import build_with_weights

torch.set_num_threads(1)

FIVE = ("red", "green", "blue", "nir", "mask")
SIX = (*FIVE, "gems")
OFFSET, SCALE = (10.0, 20.0, 30.0, 40.0, 0.0), (3.0, 4.0, 5.0, 6.0, 1.0)
LIGHT = NetworkSpec(architecture="unet", encoder="tu-mobilenetv3_small_050", in_channels=5)


def bundle(folder, spec=LIGHT, channels=FIVE):
    card = Card(
        name="source", architecture=spec.architecture, encoder=spec.encoder, channels=channels, sensor="LS30",
        offset=OFFSET[: len(channels)], scale=SCALE[: len(channels)], classes=("industrial",), training_data="",
        weights="random:4",
    )  # fmt: skip
    torch.manual_seed(4)
    network = build(spec, card.offset, card.scale).eval()
    return save_bundle(folder, network, card), network


def start(spec, channels, weights, **options):
    spec = spec.model_copy(update={"in_channels": len(channels)})
    own = {"offset": [100.0 + i for i in range(len(channels))], "scale": [7.0 + i for i in range(len(channels))]}
    network, provenance = build_with_weights(spec, weights, channels=channels, **(own | options))
    return network.eval(), provenance


def differing(before, after):
    """The keys of tensors that are not byte-equal."""
    assert before.keys() == after.keys()
    return [key for key in after if before[key].shape != after[key].shape or not torch.equal(before[key], after[key])]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("bundles") / "five"
    bundle(path)
    return path


@given(st.lists(st.sampled_from("abcdefg"), unique=True, min_size=1), st.permutations("abcdefg"))
def test_a_map_answers_as_the_source_where_new_channels_are_anything(saved, everything):
    if not set(saved) & set(everything[:5]):
        with pytest.raises(ValueError, match="none in common"):
            ChannelMap(tuple(saved), tuple(everything[:5]))
        return
    wanted = tuple(everything)  # all of the source's, in another order, and new ones
    moved, weight = ChannelMap(tuple(saved), wanted), torch.randn(3, len(saved), 2, 2)
    pixels = {name: torch.randn(1, 1, 4, 5) for name in wanted}
    conv = torch.nn.functional.conv2d
    expected = conv(torch.cat([pixels[name] for name in saved], 1), weight)
    torch.testing.assert_close(conv(torch.cat([pixels[n] for n in wanted], 1), moved.stem(weight)), expected)
    assert moved.values(range(len(saved)), [-1.0] * 7) == [
        saved.index(name) if name in saved else -1.0 for name in wanted
    ]


def test_the_stem_of_b5_gets_432_new_weights_and_all_others_are_the_source_s(tmp_path):
    """IND-31."""
    spec = LIGHT.model_copy(update={"encoder": "efficientnet-b5"})
    _, source = bundle(tmp_path / "b5", spec)
    network, provenance = start(spec, SIX, f"recipe:{tmp_path / 'b5'}", scaling="source")
    before, after = source.network.state_dict(), network.network.state_dict()
    assert differing(before, after) == ["encoder._conv_stem.weight"]
    old, new = (state["encoder._conv_stem.weight"] for state in (before, after))
    assert new.numel() - old.numel() == 432
    assert torch.equal(new[:, :5], old)
    assert not new[:, 5].any()
    assert provenance.stem == "names 5 -> 6; new (zero): gems"
    tile = torch.randn(1, 6, 64, 64) * 50
    with torch.inference_mode():
        torch.testing.assert_close(network(tile), source(tile[:, :5]))


@pytest.mark.parametrize("scheme", ["recipe", "file"])
@pytest.mark.parametrize(
    ("channels", "stem"),
    [
        (FIVE, "as saved"),
        (SIX, "names 5 -> 6; new (zero): gems"),
        (("gems", "mask", "nir", "aerosol", "red", "green", "blue"), "names 5 -> 7; new (zero): gems, aerosol"),
        (("nir", "red", "green", "blue", "mask"), "names 5 -> 5; reordered"),
    ],
)
def test_logits_are_the_source_s_at_first_in_any_order_of_channels(folder, scheme, channels, stem):
    weights = f"recipe:{folder}" if scheme == "recipe" else f"file:{folder / 'weights.safetensors'}"
    source, _ = build_with_weights(LIGHT, f"recipe:{folder}", offset=OFFSET, scale=SCALE)
    network, provenance = start(LIGHT, channels, weights, scaling="source")
    assert (provenance.stem, provenance.scaling) == (stem, "of the source")
    assert provenance.digest == read_card(folder).digest()
    pixels = {name: 50 * torch.randn(2, 1, 45, 64) for name in (*SIX, "aerosol")}
    with torch.inference_mode():
        found = network(torch.cat([pixels[name] for name in channels], 1))
        expected = source.eval()(torch.cat([pixels[name] for name in FIVE], 1))
    # sums over channels in another order: an untrained network magnifies their rounding
    assert (found - expected).abs().max() < 1e-3 * expected.std()
    for i, name in enumerate(channels):
        own = (100.0 + i, 7.0 + i)
        kept = dict(zip(FIVE, zip(OFFSET, SCALE, strict=True), strict=True))
        assert (float(network.offset[i]), float(network.scale[i])) == kept.get(name, own)


def test_the_scaling_of_the_data_gives_the_source_s_logits_for_the_same_scaled_values(folder):
    source, _ = build_with_weights(LIGHT, f"recipe:{folder}", offset=OFFSET, scale=SCALE)
    network, provenance = start(LIGHT, SIX, f"recipe:{folder}")
    assert provenance.scaling == "of the data"
    assert network.offset.tolist() == [100.0 + i for i in range(6)]
    scaled = torch.randn(2, 6, 32, 64)
    with torch.inference_mode():
        found = network(scaled * network.scale[:, None, None] + network.offset[:, None, None])
        five = scaled[:, :5] * torch.tensor(SCALE)[:, None, None] + torch.tensor(OFFSET)[:, None, None]
        torch.testing.assert_close(found, source.eval()(five), rtol=1e-3, atol=1e-3)


def test_a_channel_that_is_left_out_is_told(folder):
    _, provenance = start(LIGHT, ("red", "nir", "mask", "swir"), f"recipe:{folder}")
    assert provenance.stem == "names 5 -> 4; new (zero): swir; dropped: green, blue"


def test_a_recipe_from_elsewhere_brings_its_card(folder):
    card, state = read_card(folder), start(LIGHT, FIVE, f"recipe:{folder}")[0].state_dict()
    _, with_card = start(LIGHT, SIX, "recipe:a", load_recipe=lambda name: Source(state, card))
    _, without = start(LIGHT, SIX, "recipe:a", load_recipe=lambda name: state)
    assert with_card.stem == "names 5 -> 6; new (zero): gems"
    assert (without.stem, without.digest) == ("tile 5 -> 6", "")


def test_rules_by_position_stay_and_names_that_are_missing_are_told(folder, tmp_path):
    assert start(LIGHT, SIX, f"recipe:{folder}", stem="tile")[1].stem == "tile 5 -> 6"
    assert start(LIGHT, SIX, f"recipe:{folder}", stem="zero")[1].stem == "zero 5 -> 6"
    bare = tmp_path / "weights.safetensors"
    bare.write_bytes((folder / "weights.safetensors").read_bytes())
    assert start(LIGHT, SIX, f"file:{bare}")[1].stem == "tile 5 -> 6"
    for options, message in [({"stem": "names"}, "source has no card"), ({"scaling": "source"}, "source has no card")]:
        with pytest.raises(ValueError, match=message):
            start(LIGHT, SIX, f"file:{bare}", **options)
    with pytest.raises(ValueError, match="none in common"):
        start(LIGHT, ("vv", "vh"), f"recipe:{folder}")
    with pytest.raises(ValueError, match=r"takes 5 channels, got the names \['red'\]"):
        build_with_weights(LIGHT, "random:1", channels=["red"])
    with pytest.raises(ValueError, match="Did you mean 'source'"):
        start(LIGHT, SIX, f"recipe:{folder}", scaling="sauce")


def test_a_card_that_was_made_for_other_bytes_describes_nothing(folder, tmp_path):
    (tmp_path / "card.json").write_bytes((folder / "card.json").read_bytes())
    torch.manual_seed(9)
    safetensors.torch.save_file(build(LIGHT).state_dict(), tmp_path / "weights.safetensors")
    assert start(LIGHT, SIX, f"file:{tmp_path / 'weights.safetensors'}")[1].stem == "tile 5 -> 6"


def test_the_origin_fits_into_the_next_card(folder, tmp_path):
    network, provenance = start(LIGHT, SIX, f"recipe:{folder}", scaling="source")
    card = Card(
        name="next", architecture=LIGHT.architecture, encoder=LIGHT.encoder, channels=SIX, sensor="SN10",
        offset=network.offset.tolist(), scale=network.scale.tolist(), classes=("industrial",), training_data="",
        weights=provenance.spec, origin=asdict(provenance),
    )  # fmt: skip
    saved = save_bundle(tmp_path / "next", network, card)
    assert read_card(tmp_path / "next").origin["digest"] == read_card(folder).digest()
    assert read_card(tmp_path / "next").digest() == saved.digest()

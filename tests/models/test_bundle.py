import hashlib
import json
import os

import pytest
import safetensors.torch
import torch

from models.bundle import bundle_files, load_bundle, load_files, read_bundle, save_bundle
from models.card import Card, read_card
from models.networks import NetworkSpec, SegmentationNetwork, build
from models.precision import prepare

torch.set_num_threads(1)

CHANNELS = ("red", "green", "blue", "nir", "mask")
OFFSET, SCALE = (0.1, 900.0, 1000.5, 2000.25, 0.0), (300.7, 310.0, 320.0, 900.0, 1.0)


def card(**changed) -> Card:
    fields = {
        "name": "industrial-a",
        "architecture": "unet",
        "encoder": "tu-mobilenetv3_small_050",
        "channels": CHANNELS,
        "sensor": "sn10",
        "offset": OFFSET,
        "scale": SCALE,
        "classes": ("industrial",),
        "metrics": {"mIoU": 0.8125, "iou_fg": float("nan")},
        "training_data": "ab" * 32,
        "split": {"kind": "blocks", "validation": [1, 2]},
        "weights": "random:3",
    }
    return Card(**(fields | changed))


def network(seed: int = 3) -> SegmentationNetwork:
    torch.manual_seed(seed)
    made = build(card().spec(), OFFSET, SCALE).train()
    with torch.no_grad():
        made(1000 * torch.rand(2, 5, 64, 96))
    return made.eval()


@pytest.fixture(scope="module")
def trained() -> SegmentationNetwork:
    return network()


def test_saved_and_loaded_predicts_the_same_bytes(tmp_path, trained):
    saved = save_bundle(tmp_path / "a", trained, card())
    before = torch.random.get_rng_state()
    loaded_card, loaded = load_bundle(tmp_path / "a")
    assert torch.equal(torch.random.get_rng_state(), before)
    assert not loaded.training
    assert loaded_card.model_dump_json() == saved.model_dump_json()
    x = 1000 * torch.rand(2, 5, 40, 70)
    with torch.inference_mode():
        assert loaded(x).numpy().tobytes() == trained(x).numpy().tobytes()


@pytest.mark.parametrize(
    "chosen",
    [
        {"architecture": "unet_classic", "options": {"width": 2, "padding": "valid"}},
        {"architecture": "unet3plus", "options": {"width": 2, "deep_supervision": True}},
    ],
)
def test_networks_without_an_encoder_come_back_with_their_options(tmp_path, chosen):
    about = card(encoder=None, **chosen)
    torch.manual_seed(0)
    made = build(about.spec(), OFFSET, SCALE).eval()
    save_bundle(tmp_path / "a", made, about)
    plain = json.loads((tmp_path / "a" / "card.json").read_bytes())
    assert (plain["encoder"], plain["options"]) == (None, chosen["options"])
    loaded_card, loaded = load_bundle(tmp_path / "a")
    assert loaded.spec == about.spec() == loaded_card.spec()
    x = 1000 * torch.rand(1, 5, 40, 70)
    with torch.inference_mode():
        assert torch.equal(loaded(x), made(x))
    with pytest.raises(ValueError, match="describes"):
        bundle_files(made, card(encoder=None, architecture=chosen["architecture"]))


def test_cards_of_networks_with_an_encoder_say_nothing_of_options(trained):
    assert "options" not in json.loads(bundle_files(trained, card())["card.json"])
    with pytest.raises(ValueError, match="options"):
        card(options={"depth": 3})


def test_the_card_is_strict_json_and_comes_back_from_directory_files_and_bytes(tmp_path, trained):
    save_bundle(tmp_path / "a", trained, card())
    data = (tmp_path / "a" / "card.json").read_bytes()
    plain = json.loads(data, parse_constant=lambda name: pytest.fail(f"{name} is not JSON"))
    assert plain["channels"] == list(CHANNELS)
    assert plain["metrics"] == {"mIoU": 0.8125, "iou_fg": None}
    assert set(plain["created_with"]) >= {"torch", "timm"}
    cards = [read_card(tmp_path / "a"), read_card(read_bundle(tmp_path / "a")), read_card(data)]
    assert {c.digest() for c in cards} == {cards[0].digest()}
    assert cards[0].metrics["iou_fg"] != cards[0].metrics["iou_fg"]  # NaN again
    assert cards[0].spec() == NetworkSpec(architecture="unet", encoder="tu-mobilenetv3_small_050", in_channels=5)


def test_the_digest_names_card_and_weights(trained):
    digests = [
        read_card(bundle_files(made, made_card)).digest()
        for made, made_card in [
            (trained, card()),
            (trained, card()),
            (trained, card(training_data="cd" * 32)),
            (trained, card(contract=2)),
            (network(4), card()),
        ]
    ]
    assert digests[0] == digests[1]
    assert len(set(digests)) == 4
    with pytest.raises(ValueError, match="no weights_sha256"):
        card().digest()


def test_saving_replaces_an_old_bundle_and_leaves_nothing_behind(tmp_path, trained):
    save_bundle(tmp_path / "deep" / "a", network(4), card(name="old"))
    save_bundle(tmp_path / "deep" / "a", trained, card(name="new"))
    assert load_bundle(tmp_path / "deep" / "a")[0].name == "new"
    assert os.listdir(tmp_path / "deep") == ["a"]
    assert sorted(os.listdir(tmp_path / "deep" / "a")) == ["card.json", "weights.safetensors"]


def test_a_directory_that_is_no_bundle_is_not_replaced(tmp_path, trained):
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(ValueError, match="is not a bundle"):
        save_bundle(tmp_path, trained, card())
    assert (tmp_path / "thesis.txt").exists()


def test_a_failed_write_leaves_the_old_bundle(tmp_path, trained, monkeypatch):
    save_bundle(tmp_path / "a", trained, card(name="old"))

    def full(descriptor):
        raise OSError("no space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="no space"):
        save_bundle(tmp_path / "a", trained, card(name="new"))
    assert load_bundle(tmp_path / "a")[0].name == "old"
    assert os.listdir(tmp_path) == ["a"]


def test_damaged_bundles_are_refused(tmp_path, trained):
    files = bundle_files(trained, card())
    weights = files["weights.safetensors"]
    with pytest.raises(ValueError, match="truncated or belongs to another bundle"):
        load_files({**files, "weights.safetensors": weights[:-4]})
    with pytest.raises(ValueError, match=r"no weights\.safetensors"):
        load_files({"card.json": files["card.json"]})
    with pytest.raises(ValueError, match=r"found only \['weights\.safetensors'\]"):
        load_files({"weights.safetensors": weights})
    for wrong in (b'{"format": 2}', b"not json", files["card.json"].replace(b'"sensor"', b'"sensors"')):
        with pytest.raises(ValueError, match="not a card of format 1"):
            read_card(wrong)
    with pytest.raises(FileNotFoundError, match="no such directory"):
        load_bundle(tmp_path / "nowhere")
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "card.json").write_bytes(files["card.json"])
    with pytest.raises(FileNotFoundError, match=r"found \['card\.json'\]"):
        load_bundle(tmp_path / "a")


def test_a_card_of_another_network_is_refused(trained):
    files = bundle_files(trained, card())
    other = json.loads(files["card.json"])
    for changed, message in [
        ({"architecture": "unetplusplus"}, "do not fit"),
        ({"offset": [0.0] * 5}, "states offset"),
    ]:
        with pytest.raises(ValueError, match=message):
            load_files({**files, "card.json": json.dumps(other | changed).encode()})
    with pytest.raises(ValueError, match="describes"):
        bundle_files(trained, card(classes=("industrial", "other")))
    with pytest.raises(ValueError, match="states scale"):
        bundle_files(trained, card(scale=(1.0,) * 5))


def test_rounded_weights_are_not_saved(trained, monkeypatch):
    monkeypatch.setattr("models.precision._cpu_has_bf16", lambda: True)
    with pytest.raises(ValueError, match="float32 weights"):
        bundle_files(prepare(trained, "bf16", "cpu"), card())


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_make_every_pixel_nan_are_refused(value):
    spoilt = network(4)
    with torch.no_grad():
        next(spoilt.network.parameters()).view(-1)[7] = value
    with pytest.raises(ValueError, match=r"hold NaN or infinity in network\."):
        load_files(bundle_files(spoilt, card()))


@pytest.mark.parametrize("kind", [torch.float16, torch.float64, torch.int32])
def test_weights_of_another_type_are_not_converted_in_silence(trained, kind):
    state = {name: value.to(kind) for name, value in trained.state_dict().items()}
    weights = safetensors.torch.save(state)
    changed = read_card(bundle_files(trained, card())).model_copy(
        update={"weights_sha256": hashlib.sha256(weights).hexdigest()}
    )
    files = {"weights.safetensors": weights, "card.json": changed.model_dump_json().encode()}
    with pytest.raises(ValueError, match=rf"as {kind}, the network has torch\.(float32|int64)"):
        load_files(files)

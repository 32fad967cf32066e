import functools
import weakref

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from models.averages import logit_of_mean_probability
from models.bundle import bundle_files
from models.card import Card
from models.imagery import Imagery
from models.networks import SegmentationNetwork, build
from models.predict import Ensemble, load_ensemble

torch.set_num_threads(1)

CHANNELS = ("red", "green", "blue", "nir", "mask", "gems")


def member(
    name: str, channels: tuple[str, ...], seed: int, classes=("industrial",)
) -> tuple[Card, SegmentationNetwork]:
    card = Card(
        name=name,
        architecture="unet",
        encoder="tu-mobilenetv3_small_050",
        channels=channels,
        sensor="test",
        offset=tuple(0.25 * i for i in range(len(channels))),
        scale=tuple(1.0 + i for i in range(len(channels))),
        classes=classes,
        training_data="",
        weights=f"random:{seed}",
    )
    torch.manual_seed(seed)
    network = build(card.spec(), card.offset, card.scale).train()
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = None
    with torch.no_grad():
        network(torch.randn(4, len(channels), 64, 64))
        head = network.network.segmentation_head[0]
        size = network.eval()(torch.randn(4, len(channels), 64, 64)).std()
        head.weight /= size  # logits of usual size, so that absolute tolerances mean something
        head.bias /= size
    return card, network


@pytest.fixture(scope="module")
def members():
    # the second network has other channels, and in another order, than the tiles
    return [member("five", CHANNELS[:5], 1), member("four", ("gems", "mask", "blue", "red"), 2)]


@pytest.fixture(scope="module")
def tiles():
    made = np.random.default_rng(0).standard_normal((5, 6, 64, 96)).astype(np.float32)
    made.flags.writeable = False  # as arrays from shared memory are
    return made


def by_hand(members, tiles, flips):
    """Every logit, one tile at a time, written out in numpy: (networks * views, n, K, h, w)."""
    logits = []
    for card, network in members:
        own = tiles[:, [CHANNELS.index(name) for name in card.channels]]
        for axes in flips:
            seen = np.flip(own, axes).copy()
            with torch.inference_mode():
                answers = np.concatenate([network(torch.from_numpy(tile[None])).numpy() for tile in seen])
            logits.append(np.flip(answers, axes))
    return np.stack(logits).astype(np.float64)


FLIPS4 = [(), (-1,), (-2,), (-2, -1)]


@pytest.mark.parametrize("networks", [1, 2])
@pytest.mark.parametrize(("tta", "flips"), [("none", [()]), ("flips4", FLIPS4)])
def test_mean_and_spread_equal_the_formula(members, tiles, networks, tta, flips):
    chosen = members[:networks]
    ensemble = Ensemble(chosen, CHANNELS, tta=tta, precision="fp32", batch=2)
    mean, spread = ensemble.predict(tiles)
    logits = by_hand(chosen, tiles, flips)
    assert mean.dtype == spread.dtype == np.float32
    assert mean.shape == spread.shape == (5, 1, 64, 96)
    np.testing.assert_allclose(mean, logits.mean(0), atol=1e-3)
    np.testing.assert_allclose(spread, logits.std(0), atol=1e-3)
    if len(logits) > 1:
        assert spread.mean() > 0.01
        probabilities = (1 / (1 + np.exp(-logits))).mean(0)  # the other average would be seen
        assert np.abs(1 / (1 + np.exp(-mean)) - probabilities).max() > 1e-3


def test_the_order_and_grouping_of_tiles_do_not_matter(members, tiles):
    ensemble = Ensemble(members, CHANNELS, precision="fp32", batch=4)
    mean, spread = ensemble.predict(tiles)
    order = np.array([3, 0, 4, 2, 1])
    for result, expected in zip(ensemble.predict(tiles[order]), (mean, spread), strict=True):
        np.testing.assert_allclose(result, expected[order], atol=1e-4)
    alone = [ensemble.predict(tiles[i : i + 1]) for i in range(5)]
    np.testing.assert_allclose(np.concatenate([a[0] for a in alone]), mean, atol=1e-4)
    np.testing.assert_allclose(np.concatenate([a[1] for a in alone]), spread, atol=1e-4)
    assert ensemble.predict(tiles[:0])[0].shape == (0, 1, 64, 96)


def test_every_pass_has_the_same_shape(members, tiles):
    ensemble = Ensemble(members[:1], CHANNELS, precision="fp32", batch=3)
    shapes = []
    ensemble._members[0].network.network.register_forward_pre_hook(lambda module, x: shapes.append(tuple(x[0].shape)))
    ensemble.predict(tiles)
    assert shapes == [(12, 5, 64, 96)] * 2


def test_the_spread_of_large_logits_that_agree_is_not_rounding(members, tiles):
    card, network = member("large", CHANNELS[:5], 1)
    with torch.no_grad():
        network.network.segmentation_head[0].weight.zero_()
        network.network.segmentation_head[0].bias.fill_(4000.3)
    _, spread = Ensemble([(card, network)] * 3, CHANNELS, precision="fp32", batch=5).predict(tiles)
    assert spread.max() < 1e-3  # a difference of squares in float32 would give about 1


def test_bfloat16_stays_near_float32(members, tiles, monkeypatch):
    monkeypatch.setattr("models.precision._cpu_has_bf16", lambda: True)
    exact, _ = Ensemble(members, CHANNELS, precision="fp32", batch=5).predict(tiles)
    rounded = Ensemble(members, CHANNELS, precision="bf16", batch=5)
    assert rounded.precision == "bf16"
    # untrained networks magnify rounding; that it is rounding and no more is measured in test_precision
    error = np.abs(rounded.predict(tiles)[0] - exact).mean()
    assert 0 < error < 0.3 * exact.std()


def test_bundles_make_the_same_ensemble_and_members_are_left_alone(members, tiles):
    loaded = load_ensemble(
        [bundle_files(network, card) for card, network in members], CHANNELS, precision="fp32", batch=5
    )
    direct = Ensemble(members, CHANNELS, precision="fp32", batch=5)
    assert loaded.classes == direct.classes == ("industrial",)
    np.testing.assert_array_equal(loaded.predict(tiles)[0], direct.predict(tiles)[0])
    assert all(p.requires_grad for _, network in members for p in network.parameters())


def test_several_classes(tiles):
    ensemble = Ensemble([member("two", CHANNELS[:3], 5, ("a", "b"))], CHANNELS, precision="fp32", batch=5)
    assert ensemble.predict(tiles)[0].shape == (5, 2, 64, 96)


def test_wrong_ensembles_and_tiles_are_refused(members, tiles):
    with pytest.raises(ValueError, match=r"'five' needs the channels .*'mask'.*the tiles have .*\['mask'\] missing"):
        Ensemble(members, ("red", "green", "blue", "nir", "gems"))
    with pytest.raises(ValueError, match=r"'five' predicts \['industrial'\], 'two' predicts \['a', 'b'\]"):
        Ensemble([*members, member("two", CHANNELS[:3], 5, ("a", "b"))], CHANNELS)
    with pytest.raises(ValueError, match="Did you mean 'flips4'"):
        Ensemble(members, CHANNELS, tta="flips")
    with pytest.raises(ValueError, match="needs networks"):
        Ensemble([], CHANNELS)
    ensemble = Ensemble(members, CHANNELS, precision="fp32", batch=2)
    with pytest.raises(ValueError, match=r"takes tiles \(n, 6, h, w\)"):
        ensemble.predict(tiles[:, :5])
    holed = tiles.copy()
    holed[3, 0, 5, 5] = np.inf
    with pytest.raises(FloatingPointError, match=r"tile 3 are not finite .*Its input holds infinities"):
        ensemble.predict(holed)


def test_the_temperature_of_a_card_divides_the_logits_of_its_network(members, tiles):
    warm = [
        (card.model_copy(update={"temperature": t}), network)
        for (card, network), t in zip(members, (2.0, 0.5), strict=True)
    ]
    mean, spread = Ensemble(warm, CHANNELS, precision="fp32", batch=5).predict(tiles)
    logits = by_hand(members, tiles, FLIPS4)
    logits[:4] /= 2.0
    logits[4:] /= 0.5
    np.testing.assert_allclose(mean, logits.mean(0), atol=2e-3)
    np.testing.assert_allclose(spread, logits.std(0), atol=2e-3)


def test_what_is_missing_is_each_networks_own_training_mean(members, tiles):
    """NaN is what the offset in the card would be, network by network; all else stays bit for bit."""
    holed = tiles.copy()
    holed[1, 5], holed[3, 5, 7:20, 11:50] = np.nan, np.nan
    alone, filled = [], []
    for card, network in [*members, member("last", ("red", "gems"), 3)]:
        offset = dict(zip(card.channels, card.offset, strict=True)).get("gems", 0.0)
        whole = np.where(np.isnan(holed), np.float32(offset), holed)
        ensemble = Ensemble([(card, network)], CHANNELS, precision="fp32", batch=5)
        alone.append(ensemble.predict(holed)[0])
        filled.append(offset)
        np.testing.assert_array_equal(alone[-1], ensemble.predict(whole)[0])
    assert filled == [0.0, 0.0, 0.25]
    together = Ensemble([*members, member("last", ("red", "gems"), 3)], CHANNELS, precision="fp32", batch=5)
    np.testing.assert_allclose(together.predict(holed)[0], np.mean(alone, axis=0), atol=1e-4)


@pytest.mark.parametrize("batch", [1, 2, 5])
def test_windows_of_imagery_are_predicted_as_tiles_are(members, batch):
    """To float16: the windows overlap, hang together with missing pixels, and the last batch is filled up."""
    random = np.random.default_rng(4)
    bands = random.integers(0, 9, (4, 96, 128)).astype(np.uint16)
    valid = random.random((96, 128)) > 0.2
    fill, more = np.array([1.0, 2.0, 3.0, 9.0], np.float32), random.random((1, 96, 128)).astype(np.float32)
    more[0, :50] = np.nan
    imagery = Imagery.of(bands, valid, fill, more, "cpu")
    corners = [(0, 0), (32, 64), (7, 13)]
    ensemble = Ensemble(members, CHANNELS, precision="fp32", batch=batch)
    found = ensemble.predict_windows(imagery, corners, 64)
    mean, spread = ensemble.predict(imagery.tiles(corners, 64).numpy())
    assert found.dtype == np.float16
    assert np.ptp(mean) > 0.1
    np.testing.assert_array_equal(found, np.concatenate([mean, spread], axis=1).astype(np.float16))


def imagery_of_zeros(bands: int) -> Imagery:
    zeros = np.zeros((bands, 64, 64), np.float32)
    return Imagery.of(zeros, np.ones((64, 64), bool), np.zeros(bands, np.float32), zeros[:0], "cpu")


@pytest.mark.parametrize(("bias", "stored"), [(1e6, 65504), (-1e6, -65504)])
def test_logits_beyond_float16_are_its_ends(bias, stored):
    card, network = member("large", CHANNELS[:5], 1)
    with torch.no_grad():
        network.network.segmentation_head[0].weight.zero_()
        network.network.segmentation_head[0].bias.fill_(bias)
    ensemble = Ensemble([(card, network)], CHANNELS[:5], precision="fp32", batch=1)
    answer = ensemble.launch(imagery_of_zeros(4), [(0, 0)], 64).result()
    found = answer.whole()
    assert (found[:, 0] == stored).all()
    assert (found[:, 1] == 0).all()
    assert answer.clamped.tolist() == [64 * 64], "and counted"


def test_windows_that_cannot_be_answered_are_named(members):
    ensemble = Ensemble(members[:1], CHANNELS[:5], precision="fp32", batch=2)
    with pytest.raises(ValueError, match="gives 4"):
        ensemble.predict_windows(imagery_of_zeros(3), [(0, 0)], 64)
    imagery = imagery_of_zeros(4)
    imagery.bands[2, 40, 40] = torch.inf
    corners = [(0, 0), (0, 8), (32, 32)]
    with pytest.raises(FloatingPointError, match=r"tile 2 .* holds infinities"):
        ensemble.predict_windows(imagery, corners, 32)
    answer = ensemble.launch(imagery, corners, 32).result()
    assert (answer.broken > 0).tolist() == [False, False, True]
    whole = ensemble.predict_windows(imagery_of_zeros(4), corners, 32)
    np.testing.assert_array_equal(answer.windows[:2], whole[:2])  # also the one that shared its pass
    assert not answer.asked.batch_halved


class Tight(torch.nn.Module):
    """A network in a machine that holds so many tiles a pass, and no more."""

    def __init__(self, inner: torch.nn.Module, tiles: int, error: Exception) -> None:
        super().__init__()
        self.inner, self.tiles, self.error, self.passes = inner, tiles, error, []

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.passes.append(len(x))
        if len(x) > self.tiles:
            raise type(self.error)(*self.error.args)
        return self.inner(x)


CPU_SAYS = (
    "[enforce fail at alloc_cpu.cpp:127] DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes."
)
SHORT = [torch.OutOfMemoryError("CUDA out of memory."), RuntimeError(CPU_SAYS), MemoryError()]


def tight(members, tiles: int, error: Exception, batch: int, tta: str = "none") -> tuple[Ensemble, Tight]:
    ensemble = Ensemble(members[:1], CHANNELS[:5], tta, "fp32", batch=batch)
    network = ensemble._members[0].network
    network.network = Tight(network.network, tiles, error)
    return ensemble, network.network


@pytest.mark.parametrize("error", SHORT, ids=lambda error: type(error).__name__)
def test_where_memory_is_short_the_batch_is_halved_and_nothing_is_left_out(members, error):
    """From then on; all windows of one call are of one batch, filled up to it."""
    random = np.random.default_rng(6)
    bands = random.integers(0, 9, (4, 96, 128)).astype(np.uint16)
    zeros = np.zeros(4, np.float32)
    imagery = Imagery.of(bands, np.ones((96, 128), bool), zeros, np.empty((0, 96, 128), np.float32), "cpu")
    corners = [(0, 0), (32, 64), (7, 13), (1, 1), (30, 2)]
    expected = Ensemble(members[:1], CHANNELS[:5], "none", "fp32", batch=2).predict_windows(imagery, corners, 64)
    ensemble, network = tight(members, 2, error, batch=9)
    answer = ensemble.launch(imagery, corners, 64).result()
    np.testing.assert_array_equal(answer.whole(), expected)  # bit for bit a run that was planned so
    assert network.passes == [9, 4, 2, 2, 2]
    assert answer.asked.batch_halved
    network.passes.clear()
    assert ensemble.launch(imagery, corners[:1], 64).result().asked.batch_halved
    assert network.passes == [2]
    assert ensemble.batch == 2


def test_tiles_are_predicted_in_the_memory_that_there_is(members, tiles):
    ensemble, network = tight(members, 4, SHORT[0], batch=3, tta="flips4")
    found = ensemble.predict(tiles[:, :5])
    expected = Ensemble(members[:1], CHANNELS[:5], "flips4", "fp32", batch=1).predict(tiles[:, :5])
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(one, other)
    assert network.passes == [12, 4, 4, 4, 4, 4]


def test_without_memory_for_one_window_the_error_is_raised_and_others_are_never_swallowed(members):
    ensemble, network = tight(members, 0, SHORT[0], batch=4)
    with pytest.raises(torch.OutOfMemoryError):
        ensemble.predict_windows(imagery_of_zeros(4), [(0, 0)], 64)
    assert network.passes == [4, 2, 1]
    ensemble, network = tight(members, 0, RuntimeError("mat1 and mat2 shapes cannot be multiplied"), batch=4)
    with pytest.raises(RuntimeError, match="shapes"):
        ensemble.predict_windows(imagery_of_zeros(4), [(0, 0)], 64)
    assert (network.passes, ensemble.batch) == ([4], 4)


def test_a_pass_that_failed_holds_no_memory_when_the_next_one_begins(members):
    """Its tensors hang on the traceback of the error, which must be gone by then."""
    held, alive = [], []
    ensemble, network = tight(members, 1, SHORT[0], batch=4)

    def watch(module, x):
        alive.append([one() is not None for one in held])
        held.append(weakref.ref(x[0]))

    network.register_forward_pre_hook(watch)
    ensemble.predict_windows(imagery_of_zeros(4), [(0, 0)], 64)
    assert alive == [[], [False], [False, False]]


@pytest.mark.gpu
def test_a_gpu_that_is_full_is_given_smaller_batches(members):
    whole = torch.cuda.get_device_properties(0).total_memory
    ensemble = Ensemble(members[:1], CHANNELS[:5], "flips4", "fp32", "cuda", batch=4096)
    imagery = imagery_of_zeros(4)
    imagery = Imagery.of(imagery.bands.numpy(), imagery.valid.numpy(), np.zeros(4), imagery.more.numpy(), "cuda")
    torch.cuda.set_per_process_memory_fraction(2 * 2**30 / whole)
    try:
        answer = ensemble.launch(imagery, [(0, 0)] * 5000, 64).result()
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
    assert ensemble.batch < 4096
    assert answer.asked.batch_halved
    assert len(answer.whole()) == 5000


@pytest.mark.parametrize("classes", [1, 3])
def test_probabilities_are_averaged_where_they_are_asked_for(classes):
    """The mean of sigmoid or softmax over networks and views, tile by tile, in float64; not that of the mean logit."""
    names = ("a",) if classes == 1 else ("background", "a", "b")
    made = [member(str(seed), CHANNELS[:5], seed, classes=names) for seed in (1, 2)]
    for _, network in made:
        network.network.segmentation_head[0].weight.data.mul_(20)
    tiles = np.random.default_rng(8).standard_normal((3, 5, 64, 64)).astype(np.float32)
    answers = []
    for _, network in made:
        for axes in FLIPS4:
            logits = network(torch.tensor(np.flip(tiles, axes).copy())).detach().numpy().astype(np.float64)
            answers.append(np.flip(logits, axes))
    exact = np.stack(answers)
    powers = np.exp(exact - exact.max(axis=2, keepdims=True))
    each = 1 / (1 + np.exp(-exact)) if classes == 1 else powers / powers.sum(axis=2, keepdims=True)
    ensemble = Ensemble(made, CHANNELS[:5], precision="fp32", batch=2, average="probability")
    found, spread = ensemble.predict(tiles)
    told = 1 / (1 + np.exp(-found)) if classes == 1 else np.exp(found)
    np.testing.assert_allclose(told, each.mean(axis=0), atol=1e-4)  # tiles in other batches round otherwise
    plain, same = Ensemble(made, CHANNELS[:5], precision="fp32", batch=2).predict(tiles)
    np.testing.assert_allclose(spread, same, atol=1e-4)
    other = 1 / (1 + np.exp(-plain)) if classes == 1 else np.exp(plain) / np.exp(plain).sum(axis=1, keepdims=True)
    assert np.abs(told - other).max() > 0.01


@pytest.mark.parametrize("logit", [-900.0, -30.0, 0.0, 30.0, 900.0])
def test_a_sure_answer_stays_finite_as_a_mean_probability(logit):
    mean, _ = logit_of_mean_probability([torch.full((1, 1, 2, 2), logit), torch.full((1, 1, 2, 2), logit)])
    np.testing.assert_allclose(mean.numpy(), logit, rtol=1e-5, atol=1e-5)


def test_an_unknown_average_is_refused(members):
    with pytest.raises(ValueError, match="probability"):
        Ensemble(members, CHANNELS, precision="fp32", average="probabilities")


@functools.cache
def saying() -> Ensemble:
    """A network of one channel whose logit is that channel."""
    card, network = member("saying", CHANNELS[:1], 1)
    inner = torch.nn.Conv2d(1, 1, 1)
    torch.nn.init.ones_(inner.weight)
    torch.nn.init.zeros_(inner.bias)
    network.network = inner
    return Ensemble([(card, network)], (CHANNELS[0], "mask"), tta="none", precision="fp32", batch=1)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.floats(-3e5, 3e5, width=32), min_size=1, max_size=40))
def test_what_float16_costs(numbers):
    """Within max(1e-3, 2 ulp of float16), and within the range of float16."""
    values = np.zeros((1, 32, 32), np.float32)
    values.ravel()[: len(numbers)] = numbers
    imagery = Imagery.of(values, np.ones((32, 32), bool), np.zeros(1, np.float32), values[:0], "cpu")
    stored = saying().predict_windows(imagery, [(0, 0)], 32)[0, 0].astype(np.float64)
    assert np.isfinite(stored).all()
    largest = float(np.finfo(np.float16).max)
    clipped = np.clip(values[0], -largest, largest).astype(np.float64)
    _, exponent = np.frexp(clipped)
    ulp = np.ldexp(1.0, np.maximum(exponent, -13) - 11)  # ten bits of fraction after the leading one
    assert (np.abs(stored - clipped) <= np.maximum(1e-3, 2 * ulp)).all()

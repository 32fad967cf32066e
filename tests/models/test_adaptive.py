"""Adaptive inference: refined windows are the ensemble's, bit for bit; the others are the first pass's."""

import numpy as np
import pytest
import torch

from models.adaptive import Adaptive, Compared, load_adaptive
from models.adaptive_choice import Evidence
from models.adaptive_rule import bins_of
from models.bundle import load_files
from models.imagery import Imagery
from models.launched import Asked, Launched, store_as_float16
from models.predict import load_ensemble
from tests.models.test_adaptive_rule import rule
from tests.models.test_members import CHANNELS, files

SIDE = 64
CORNERS = [(0, 0), (3, 40), (32, 17), (16, 64), (30, 1)]


@pytest.fixture(scope="module")
def bundles() -> list[dict[str, bytes]]:
    return [files("one", 1), files("two", 2, ("mask", "red"), temperature=2.0)]


@pytest.fixture(scope="module")
def imagery() -> Imagery:
    random = np.random.default_rng(4)
    bands = random.integers(1, 12, (2, 96, 128)).astype(np.uint16)
    bands[:, 50:] //= 6
    valid = random.random((96, 128)) < 0.8
    return Imagery.of(bands, valid, np.array([4.0, 5.0]), np.empty((0, 96, 128), np.float32), "cpu")


def both(bundles, one):
    full = load_ensemble(bundles, CHANNELS, precision="fp32", batch=1)
    return full, load_adaptive(bundles, full, one)


def said(adaptive, imagery, corners) -> tuple[np.ndarray, int]:
    """Return whole windows, and how many were refined."""
    answer, refined = adaptive.answer(imagery, corners, SIDE)
    return answer.whole(), refined


def expected_changes(windows, imagery, one) -> list[float]:
    """Return the expected changes of each window of the first pass."""
    out = []
    for window, (row, col) in zip(windows, CORNERS, strict=True):
        seen = imagery.valid[row : row + SIDE, col : col + SIDE].numpy()
        out.append(np.array(one.change)[bins_of(window[:1], one.threshold)][seen].sum())
    return out


@pytest.mark.parametrize("name", ["one", "two"])
def test_unsure_windows_are_the_ensembles_and_the_others_the_first_passes(bundles, imagery, name):
    alone = load_ensemble([bundles[name == "two"]], CHANNELS, tta="none", precision="fp32", batch=4)
    first = alone.predict_windows(imagery, CORNERS, SIDE)
    expected = expected_changes(first, imagery, rule())
    limit = sorted(expected)[2]
    one = rule(first=name, refine_above=limit)
    full, adaptive = both(bundles, one)
    windows, refined = said(adaptive, imagery, CORNERS)
    assert (windows.dtype, windows.shape, refined) == (np.float16, (5, 2, SIDE, SIDE), 2)
    whole = full.predict_windows(imagery, CORNERS, SIDE)
    for place, changes in enumerate(expected):
        if changes > limit:
            np.testing.assert_array_equal(windows[place], whole[place])
        else:
            np.testing.assert_array_equal(windows[place, 0], first[place, 0])
            spread = np.array(one.spread, np.float16)[bins_of(first[place, :1], 0.5)]
            np.testing.assert_array_equal(windows[place, 1], spread)
            assert (windows[place, 0] != whole[place, 0]).any()


def test_the_limits_are_the_full_map_and_the_first_pass(bundles, imagery):
    for limit, count in ((-1.0, 5), (1e9, 0)):
        full, adaptive = both(bundles, rule(refine_above=limit))
        windows, refined = said(adaptive, imagery, CORNERS)
        assert refined == count
        same = np.array_equal(windows, full.predict_windows(imagery, CORNERS, SIDE))
        assert same == (count == 5)


def test_a_windows_answer_does_not_depend_on_its_neighbours(bundles, imagery):
    alone = load_ensemble(bundles[:1], CHANNELS, tta="none", precision="fp32", batch=4)
    limit = sorted(expected_changes(alone.predict_windows(imagery, CORNERS, SIDE), imagery, rule()))[1]
    _, adaptive = both(bundles, rule(refine_above=limit))
    together, refined = said(adaptive, imagery, CORNERS)
    assert refined == 3
    apart = [said(adaptive, imagery, [corner]) for corner in CORNERS]
    np.testing.assert_array_equal(np.concatenate([windows for windows, _ in apart]), together)
    assert sum(count for _, count in apart) == refined


class Stub:
    """Answers each window with a number, its own or NaN, and remembers for which it was asked."""

    classes, names = ("industrial",), ("one",)

    def __init__(self, numbers: dict[tuple[int, int], float], halved: bool = False) -> None:
        self.numbers, self.halved, self.asked = numbers, halved, []

    def launch(self, imagery, corners, side_px):
        self.asked.append(list(corners))
        values = torch.tensor([self.numbers[corner] for corner in corners])[:, None, None, None]
        windows, counts = torch.empty((len(corners), 2, side_px, side_px)).half(), torch.zeros((len(corners), 2)).long()
        store_as_float16(values.repeat(1, 2, side_px, side_px), windows, counts)
        return Launched(
            windows, counts, Asked("fp32", self.halved, lambda place: corners[place] == (0, 0)), lambda: 2.0
        )


def test_a_window_that_the_first_pass_cannot_answer_is_the_ensembles_to_answer(imagery):
    nan = float("nan")
    first = Stub({(0, 0): nan, (3, 40): 4.0, (32, 17): nan, (16, 64): 7e4})
    full = Stub({(0, 0): nan, (32, 17): -5.0}, halved=True)
    adaptive = Adaptive(first, full, rule(refine_above=1e9))
    answer, refined = adaptive.answer(imagery, list(first.numbers), SIDE)
    assert full.asked == [[(0, 0), (32, 17)]]
    assert refined == 2
    assert (answer.broken > 0).tolist() == [True, False, False, False]
    assert (answer.clamped > 0).tolist() == [False, False, False, True]
    assert np.isnan(answer.windows[0]).all()
    assert answer.windows[1:, 0, 5, 5].tolist() == [4.0, -5.0, 65504.0]
    assert (answer.seconds, answer.asked.batch_halved) == (4.0, True)
    with pytest.raises(FloatingPointError, match=r"tile 0 .* holds infinities"):
        answer.whole()


def test_a_rule_of_other_networks_is_refused(bundles):
    with pytest.raises(ValueError, match="begins with the network 'three'"):
        both(bundles, rule(first="three"))


def test_evidence_is_of_each_network_alone_against_all(bundles, imagery):
    compared = Compared([load_files(bundle) for bundle in bundles], CHANNELS, precision="fp32", batch=1)
    found = compared.compare(imagery, (3, 40), SIDE, 0.4)
    assert list(found) == ["one", "two"]
    whole = compared.predict_windows(imagery, [(3, 40)], SIDE)[0].astype(np.float32)
    valid = imagery.valid[3 : 3 + SIDE, 40 : 40 + SIDE].numpy()
    for bundle, evidence in zip(bundles, found.values(), strict=True):
        alone = load_ensemble([bundle], CHANNELS, tta="none", precision="fp32", batch=1)
        first = alone.predict_windows(imagery, [(3, 40)], SIDE)[0, :1].astype(np.float32)
        direct = Evidence.of(first, whole[:1], whole[1:], valid, 0.4)
        for name in ("pixels", "changed", "both", "either", "full"):  # views in one batch round otherwise
            np.testing.assert_allclose(getattr(evidence, name), getattr(direct, name), atol=4)
        np.testing.assert_allclose(evidence.spread, direct.spread, rtol=0.02, atol=2)
        assert evidence.pixels.sum() == valid.sum()
    assert (found["one"].both != found["two"].both).any()


def test_what_is_not_finite_is_said(bundles, imagery):
    broken = [load_files(bundle) for bundle in bundles]
    for parameter in broken[1][1].parameters():
        parameter.data.fill_(float("nan"))
    with pytest.raises(FloatingPointError, match="not finite"):
        Compared(broken, CHANNELS, precision="fp32", batch=1).compare(imagery, (0, 0), SIDE, 0.5)

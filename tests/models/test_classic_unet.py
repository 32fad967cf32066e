import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from models.classic_unet import ClassicUNet, valid_side_px, with_margin

torch.set_num_threads(1)


@pytest.fixture(scope="module")
def valid():
    torch.manual_seed(0)
    return ClassicUNet(3, 2, width=2, padding="valid").eval()


def test_572_px_become_388(valid):
    with torch.inference_mode():
        assert valid(torch.zeros(1, 3, 572, 188)).shape == (1, 2, 388, 4)


@pytest.mark.parametrize("side_px", [188, 204, 252])
def test_legal_sides_lose_184_px(valid, side_px):
    with torch.inference_mode():
        assert valid(torch.zeros(1, 3, side_px, 188)).shape[2] == side_px - 184


@pytest.mark.parametrize("side_px", [172, 192])
def test_other_sides_are_not_legal(valid, side_px):
    # 172 leaves nothing; from 192 a level of odd size follows, and the ways down and up no longer fit
    with torch.inference_mode():
        try:
            answered = valid(torch.zeros(1, 3, side_px, 188)).shape[2] == side_px - 184
        except RuntimeError:
            answered = False
    assert not answered


@given(st.integers(1, 3000))
def test_the_smallest_legal_side_covers_what_is_asked(output_px):
    side_px = valid_side_px(output_px)
    assert side_px % 16 == 12
    assert side_px >= 188
    assert output_px <= side_px - 184 < max(output_px, 4) + 16
    assert valid_side_px(512) == 700


@given(st.integers(1, 300), st.integers(1, 5))
def test_margins_mirror_without_repeating_the_border(height, width):
    x = torch.arange(height * width, dtype=torch.float32).reshape(1, 1, height, width)
    framed = with_margin(x)
    assert torch.equal(framed[..., 92 : 92 + height, 92 : 92 + width], x)
    rows = framed[0, 0, :, 92]
    around = rows[92 - 10 : 92], rows[93:103].flip(0)
    assert torch.equal(*around) or height < 12
    assert set(rows.tolist()) <= set(x[0, 0, :, 0].tolist())


def test_a_shift_by_the_step_shifts_the_answer(valid):
    # nothing in a valid-padded network knows where the image ends
    x = torch.randn(1, 3, 220, 188)
    with torch.inference_mode():
        whole, part = valid(x), valid(x[:, :, 16:])
    torch.testing.assert_close(whole[:, :, 16:], part)


def test_normalisation_is_only_there_when_asked_for():
    kinds = [
        any(isinstance(m, torch.nn.BatchNorm2d) for m in ClassicUNet(3, 1, 2, batch_norm=b).modules())
        for b in (False, True)
    ]
    assert kinds == [False, True]

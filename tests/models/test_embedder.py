import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from models.embedder import EmbedderSpec, area_resize, area_weights, build_embedder
from tests.models.vits import OFFSET, SCALE, small_embedder

torch.set_num_threads(1)


def test_the_default_is_what_the_document_names():
    spec = EmbedderSpec(in_channels=3)
    assert (spec.architecture, spec.side_px, spec.grid, spec.linear) == ("vit_base_patch16_224", 224, None, None)


def test_the_vector_is_the_cls_token_behind_the_norm():
    embedder, images = small_embedder().eval(), torch.randn(2, 3, 32, 32)
    tokens = embedder.network.forward_features(embedder.prepared(images))
    assert tokens.shape == (2, 5, 192)
    torch.testing.assert_close(embedder(images), tokens[:, 0])
    assert embedder.dimension == 192


def test_a_grid_holds_the_mean_token_of_each_cell_in_order():
    embedder, images = small_embedder(side_px=64, grid=2).eval(), torch.randn(3, 3, 64, 64)
    tokens = embedder.network.forward_features(embedder.prepared(images))[:, 1:].unflatten(1, (4, 4))
    vectors = embedder(images)
    assert vectors.shape == (3, embedder.dimension) == (3, 4 * 192)
    for number, cell in enumerate((tokens[:, :2, :2], tokens[:, :2, 2:], tokens[:, 2:, :2], tokens[:, 2:, 2:])):
        torch.testing.assert_close(vectors[:, 192 * number : 192 * (number + 1)], cell.mean((1, 2)))


def test_a_linear_map_follows_in_float32_and_is_saved_with_the_weights():
    embedder, images = small_embedder(grid=1, linear=5).eval(), torch.randn(3, 3, 32, 32)
    assert not embedder(images).any()  # until it is fitted
    embedder.linear_weight.copy_(torch.randn(5, 192))
    embedder.linear_bias.copy_(torch.randn(5))
    expected = embedder.pooled(embedder.prepared(images)) @ embedder.linear_weight.T + embedder.linear_bias
    torch.testing.assert_close(embedder(images), expected)
    with torch.autocast("cpu", torch.bfloat16):
        assert embedder(images).dtype == torch.float32
    assert {"linear_weight", "linear_bias"} <= set(embedder.state_dict())
    assert not any("linear" in name for name, _ in embedder.named_parameters())


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"grid": 3}, "3 x 3 cells do not divide 2 x 2 patches"),
        ({"linear": 193}, "193 numbers of 192; .* smaller number"),
        ({"side_px": 160, "grid": 10, "linear": 8}, "8 numbers of 19200; .* smaller grid"),
    ],
)
def test_grids_and_maps_that_do_not_fit_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        small_embedder(**changes)


@pytest.mark.parametrize("dtype", [torch.uint8, torch.uint16, torch.int16, torch.float32])
def test_inputs_are_scaled_and_missing_is_the_mean(dtype):
    embedder = small_embedder()
    images = torch.randint(0, 100, (2, 3, 32, 32)).to(dtype)
    valid = torch.rand(2, 3, 32, 32) > 0.3
    seen = embedder.prepared(images, valid)
    for c in range(3):
        expected = np.where(valid[:, c], (images[:, c].float() - OFFSET[c]) / SCALE[c], 0.0)
        np.testing.assert_allclose(seen[:, c], expected, rtol=1e-6)


def test_an_image_is_prepared_as_if_it_were_alone_and_stays_as_it_was():
    embedder, images, valid = small_embedder(), torch.rand(3, 3, 40, 52), torch.rand(3, 3, 40, 52) > 0.3
    before = images.clone()
    alone = [embedder.prepared(images[i : i + 1], valid[i : i + 1]) for i in range(3)]
    assert torch.equal(embedder.prepared(images, valid), torch.cat(alone))
    assert torch.equal(images, before)
    assert embedder.prepared(images[:0], valid[:0]).shape == (0, 3, 32, 32)


def test_what_lies_under_missing_pixels_does_not_matter():
    embedder, images = small_embedder().eval(), torch.randn(2, 3, 40, 32)
    valid = torch.rand(2, 1, 40, 32) > 0.3
    other = torch.where(valid, images, torch.tensor(float("nan")))
    assert torch.equal(embedder(images, valid), embedder(other, valid))
    assert torch.equal(embedder(images, valid), embedder(other))
    assert torch.isfinite(embedder(images, torch.zeros_like(valid))).all()


@settings(deadline=None, max_examples=30)
@given(height=st.integers(1, 70), width=st.integers(1, 70), side=st.integers(1, 40))
def test_resizing_keeps_the_mean_of_every_area(height, width, side):
    image = torch.randn(1, 1, height, width, dtype=torch.float64)
    small = area_resize(image, side)
    assert small.shape == (1, 1, side, side)
    fine = image.repeat_interleave(side, 2).repeat_interleave(side, 3)
    expected = fine.unflatten(2, (side, height)).unflatten(4, (side, width)).mean((3, 5))
    torch.testing.assert_close(small, expected, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(area_weights(height, side).sum(1), torch.ones(side))


def test_each_image_may_have_its_own_scaling():
    embedder = small_embedder(scaling="image")
    images, valid = torch.randn(2, 3, 32, 32) * 7 + 100, torch.rand(2, 3, 32, 32) > 0.4
    seen = embedder.prepared(images, valid)
    for image, mask in zip(seen.flatten(0, 1), valid.flatten(0, 1), strict=True):
        assert image[mask].mean().abs() < 1e-5
        assert (image[mask].std(correction=0) - 1).abs() < 1e-5
        assert (image[~mask] == 0).all()
    torch.testing.assert_close(embedder.prepared(3 * images + 5, valid), seen, rtol=1e-3, atol=1e-4)
    assert (embedder.prepared(torch.full((1, 3, 32, 32), 9.0)) == 0).all()


def test_other_sides_patches_and_channels_can_be_built():
    spec = EmbedderSpec(architecture="vit_tiny_patch16_224", in_channels=5, side_px=48, patch_px=8, depth=1)
    embedder = build_embedder(spec).eval()
    assert embedder.network.patch_embed.grid_size == (6, 6)
    assert embedder(torch.randn(1, 5, 64, 50)).shape == (1, 192)


def test_bad_inputs_are_refused():
    embedder = small_embedder()
    with pytest.raises(ValueError, match=r"takes \(n, 3, h, w\), got \(2, 4, 32, 32\)"):
        embedder(torch.randn(2, 4, 32, 32))
    with pytest.raises(ValueError, match="alike"):
        embedder(torch.randn(2, 3, 32, 32), torch.ones(4, 3, 1, 1))
    with pytest.raises(ValueError, match="Did you mean 'vit_tiny_patch16_224'"):
        EmbedderSpec(architecture="vit_tiny_patch16_225", in_channels=3)
    with pytest.raises(ValueError, match="one per channel"):
        build_embedder(embedder.spec, [0.0], [1.0])
    with pytest.raises(ValueError, match="above 0"):
        build_embedder(embedder.spec, None, [1.0, 0.0, 1.0])

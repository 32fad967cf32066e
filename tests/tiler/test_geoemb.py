import pytest

from tiler.geoemb import check_geoemb, chip_attributes, urn


def good() -> dict:
    return chip_attributes(
        dimension=768, model=urn("embedder", "sha256:ab"), sources=["urn:x:y"], chip_px=(512, 512), stride_px=(512, 448)
    )


def test_what_is_made_passes():
    check_geoemb(good())


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("zarr_conventions", []),
        ("geoemb:type", "tile"),
        ("geoemb:dimensions", 0),
        ("geoemb:dimensions", True),
        ("geoemb:model", "no uri"),
        ("geoemb:source_data", "urn:x:y"),
        ("geoemb:source_data", []),
        ("geoemb:data_type", ""),
        ("geoemb:gsd", 0),
        ("geoemb:chip_layout", None),
        ("geoemb:chip_layout", {"layout_type": "grid", "chip_size": [1, 1]}),
        ("geoemb:chip_layout", {"layout_type": "irregular", "chip_size": [1]}),
    ],
)
def test_each_field_is_checked(name, value):
    with pytest.raises(ValueError, match=name):
        check_geoemb(good() | {name: value})


@pytest.mark.parametrize("name", ["zarr_conventions", "geoemb:model", "geoemb:chip_layout", "geoemb:data_type"])
def test_each_field_is_needed(name):
    attributes = good()
    del attributes[name]
    with pytest.raises(ValueError, match=name):
        check_geoemb(attributes)


def test_names_become_uris():
    assert urn("scene", "a b/ü-1") == "urn:sandan:scene:a-b---1"

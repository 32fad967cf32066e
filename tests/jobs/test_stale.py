"""What stores were made of, beside what a plan would make them of."""

import pytest
import zarr

from cluster.storage import Storage
from jobs.stale import COMPARED, Stale, Wanted, explained, stale_stores

KEYS = ("0" * 12, "1" * 12, "2" * 12)


def store(tmp_path, name: str, made_of: dict[str, str] | None, complete: bool = True) -> None:
    attributes = {"complete": complete} | ({} if made_of is None else {"made_of": made_of})
    zarr.open_group(str(tmp_path / "infer" / f"{name}.zarr"), mode="w", zarr_format=3, attributes=attributes)


def wanted(subject: str, **made_of: str) -> Wanted:
    return Wanted(subject, f"{subject}-{KEYS[2]}", made_of)


def test_the_nearest_of_several_says_why(tmp_path):
    store(tmp_path, f"a-{KEYS[0]}", {"bundles": "1", "windows": "1", "contract": "1"})
    store(tmp_path, f"a-{KEYS[1]}", {"bundles": "2", "windows": "1", "contract": "1"})
    store(tmp_path, f"a-b-{KEYS[0]}", {"bundles": "2", "windows": "2", "contract": "1"})  # another scene
    found = stale_stores(Storage(str(tmp_path)), "infer", [wanted("a", bundles="2", windows="2", contract="1")])
    assert found.stores == (f"a-{KEYS[0]}", f"a-{KEYS[1]}", f"a-b-{KEYS[0]}")
    assert found.reasons == {"windows changed": ("a",)}


@pytest.mark.parametrize(
    ("made_of", "complete", "reason"),
    [
        (None, True, "an earlier version made what is there"),
        ({"windows": "1", "contract": "1"}, False, "an earlier version made what is there"),
        ({"windows": "1", "contract": "0"}, True, "this version makes it in another way"),
        ({"windows": "0", "contract": "0"}, True, "windows, contract changed"),
    ],
)
def test_reasons(tmp_path, made_of, complete, reason):
    store(tmp_path, f"a-{KEYS[0]}", made_of, complete)
    found = stale_stores(Storage(str(tmp_path)), "infer", [wanted("a", windows="1", contract="1")])
    assert found.reasons == {reason: ("a",)}


def test_what_is_there_or_new_needs_no_reason(tmp_path):
    storage = Storage(str(tmp_path))
    assert stale_stores(storage, "infer", [wanted("a", windows="1")]) == Stale((), {})
    store(tmp_path, f"a-{KEYS[2]}", {"windows": "1"})
    store(tmp_path, f"b-{KEYS[0]}", {"windows": "1"})
    assert stale_stores(storage, "infer", [wanted("a", windows="1"), wanted("c", windows="1")]).reasons == {}


def test_of_many_not_all_are_compared(tmp_path):
    scenes = [f"s{n:02}" for n in range(COMPARED + 3)]
    for scene in scenes:
        store(tmp_path, f"{scene}-{KEYS[0]}", {"bundles": "1"})
    found = stale_stores(Storage(str(tmp_path)), "infer", [wanted(scene, bundles="2") for scene in scenes])
    assert found.reasons["bundles changed"] == tuple(scenes[:COMPARED])
    assert sum(len(subjects) for subjects in found.reasons.values()) == len(scenes)
    assert next(iter(explained("infer", found))) == "infer: done again for s00, s01, s02 and 17 more: bundles changed"


def test_the_map_has_no_scene():
    assert list(explained("mosaic", Stale(("x",), {"grid changed": ("",)}))) == [
        "mosaic: the map is made again: grid changed"
    ]

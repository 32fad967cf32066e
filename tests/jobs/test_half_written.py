"""What a kill leaves half written is removed, and nothing else is."""

import os
import time
import uuid

from cluster.storage import Storage
from jobs.half_written import OLD_S, remove_scratch, sweep_partial


def test_only_old_half_written_files_are_removed(tmp_path):
    half = [f"a.zarr/image/c/0/0.partial-{uuid.uuid4().hex}", f"markers/x.json#{uuid.uuid4().int}"]
    kept = ["a.zarr/image/c/0/0", "a.zarr/zarr.json", "markers/x.json", "notes.partial-report", "b#1st", "x.partial-12"]
    young = f"a.zarr/image/c/0/1.partial-{uuid.uuid4().hex}"
    for name in (*half, *kept, young):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"12345")
        age_s = 0.0 if name == young else 2 * OLD_S
        os.utime(path, (time.time() - age_s,) * 2)
    assert sweep_partial(Storage(str(tmp_path))) == 2
    left = {p.relative_to(tmp_path).as_posix() for p in tmp_path.rglob("*") if p.is_file()}
    assert left == {*kept, young}
    assert sweep_partial(Storage(str(tmp_path)), old_s=-1.0) == 1


def test_scratch_of_rasters_goes_as_a_whole_once_nothing_in_it_is_young(tmp_path):
    old, alive = (tmp_path / "maps" / "k" / f".class.tif.{name}" for name in ("abc_1234", "zz9zz9zz"))
    others = [tmp_path / "maps" / ".class.tif.mine", tmp_path / "class.tif.abc_1234"]
    for folder in (old, alive, *others):
        folder.mkdir(parents=True)
        for name in ("plain.tif", "cog.tif"):
            (folder / name).write_bytes(b"1234567")
            os.utime(folder / name, (time.time() - 2 * OLD_S,) * 2)
        os.utime(folder, (time.time() - 2 * OLD_S,) * 2)
    os.utime(alive / "cog.tif")  # written now, from a plain one that is finished
    assert sweep_partial(Storage(str(tmp_path))) == 1
    assert [folder.is_dir() for folder in (old, alive, *others)] == [False, True, True, True]
    remove_scratch(tmp_path / "maps" / "k")
    assert [folder.is_dir() for folder in (old, alive, *others)] == [False, False, True, True]


def test_where_there_is_nothing_there_is_nothing_to_do(tmp_path):
    assert sweep_partial(Storage(str(tmp_path / "absent"))) == 0
    assert not (tmp_path / "absent").exists()
    assert sweep_partial(Storage("s3://bucket/prefix")) == 0

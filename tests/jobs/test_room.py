"""Room: what cannot fit is refused, with what would fit; what nobody here can know is not."""

import shutil
from collections import namedtuple
from types import SimpleNamespace

import psutil
import pytest

from jobs import room
from jobs.config import EngineConfig
from jobs.estimate import BASE_MEMORY_BYTES, RAY_MEMORY_BYTES
from jobs.room import check_disk, check_memory, machine_memory, workers_here
from tests.jobs.test_shell import estimate

GB = 10**9
SERIAL = EngineConfig(kind="serial")


@pytest.fixture(autouse=True)
def plain_machine(monkeypatch, tmp_path):
    """Six cores, no GPU, 16 GB, no container."""
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setattr(room, "GPUS", tmp_path / "gpus")
    monkeypatch.setattr(room, "CGROUP_LIMITS", (str(tmp_path / "memory.max"),))
    monkeypatch.setattr(room.os, "cpu_count", lambda: 6)
    monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(total=16 * GB))


def test_a_folder_takes_half_of_what_its_stages_write(monkeypatch, tmp_path):
    Usage = namedtuple("Usage", "total used free")
    asked = []
    monkeypatch.setattr(shutil, "disk_usage", lambda path: asked.append(path) or Usage(9e12, 0, 999_999))
    out = tmp_path / "not" / "there"
    # halves of what is written before compression, added up over the stages of a folder
    fits = [estimate(str(out), write_bytes=1_000_000), estimate(str(out), write_bytes=999_999)]
    check_disk(fits)
    assert asked == [tmp_path]
    with pytest.raises(OSError, match=r"not/there has 1\.0 MB free"):
        check_disk([*fits, estimate(str(out), write_bytes=2)])


def test_an_object_store_has_room(monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda _: pytest.fail("nobody knows"))
    check_disk([estimate("", write_bytes=10**18)])


def test_one_process_may_take_all_and_no_more():
    check_memory([estimate(peak_memory_bytes=16 * GB)], SERIAL)
    with pytest.raises(OSError, match=r"infer takes about 16\.0 GB a .*for 1; this machine has 16\.0 GB; try sma"):
        check_memory([estimate(), estimate(peak_memory_bytes=16 * GB + 1)], SERIAL)


def test_workers_share_what_ray_leaves():
    left = 16 * GB - RAY_MEMORY_BYTES - BASE_MEMORY_BYTES
    four = EngineConfig(kind="ray", workers=4)
    check_memory([estimate(peak_memory_bytes=left // 4)], four)
    with pytest.raises(OSError, match=r"in all for 4; .*try --set engine\.workers=3, or a larger machine"):
        check_memory([estimate(peak_memory_bytes=left // 4 + 1)], four)
    check_memory([estimate(peak_memory_bytes=left, workers_at_most=1)], four)
    with pytest.raises(OSError, match="smaller tiles or batches"):
        check_memory([estimate(peak_memory_bytes=left + 1)], four)


def test_what_is_done_takes_nothing():
    check_memory([estimate(peak_memory_bytes=10**15, done=40)], SERIAL)


@pytest.mark.parametrize(
    ("settings", "workers"),
    [
        ({"kind": "serial", "workers": 9}, 1),
        ({"kind": "ray"}, 2),
        ({"kind": "ray", "workers": 5}, 5),
        ({"kind": "ray", "address": "auto"}, None),
        ({"kind": "ray", "gpus_per_worker": 0.5}, None),
    ],
)
def test_workers_of_this_machine(settings, workers):
    assert workers_here(EngineConfig(**settings)) == workers


def test_a_cluster_by_environment_is_elsewhere(monkeypatch):
    monkeypatch.setenv("RAY_ADDRESS", "10.0.0.1:6379")
    assert workers_here(EngineConfig(kind="ray")) is None
    check_memory([estimate(peak_memory_bytes=10**15)], EngineConfig(kind="ray"))
    assert workers_here(SERIAL) == 1


def test_what_lies_in_gpus_is_not_counted():
    room.GPUS.mkdir()
    check_memory([estimate(peak_memory_bytes=10**15)], EngineConfig(kind="ray"))
    with pytest.raises(OSError, match="memory"):
        check_memory([estimate(peak_memory_bytes=10**15)], EngineConfig(kind="ray", gpus_per_worker=0))


def test_a_containers_limit_counts(tmp_path):
    assert machine_memory() == 16 * GB
    limit = tmp_path / "memory.max"
    limit.write_text("max\n")
    assert machine_memory() == 16 * GB
    limit.write_text("3000000000\n")
    assert machine_memory() == 3 * GB


@pytest.mark.parametrize(
    ("said", "native"),
    [
        ("processor : 0\nflags : fpu avx512_bf16 amx_bf16\n", True),
        ("Features : fp asimd bf16 i8mm\n", True),
        ("flags : fpu avx2 avx512f\n", False),
        ("model name : who knows\n", None),
        (None, None),
    ],
)
def test_bfloat16_is_native_where_the_kernel_says_so(said, native, monkeypatch, tmp_path):
    monkeypatch.setattr(room, "PROCESSOR", tmp_path / "cpuinfo")
    if said is not None:
        (tmp_path / "cpuinfo").write_text(said)
    assert room.computes_bf16() is native

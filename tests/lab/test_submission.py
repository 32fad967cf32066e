"""Jobs that are submitted to a cluster of two hosts: what they make, what they end with, what is sent.

pytest tests/lab/test_submission.py -m slow -s          needs root, takes some minutes
"""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest
import yaml

from tests.chaos.runs import digest, start, units_done
from tests.jobs.worlds import World, damage, image, moved, undamaged, world
from tests.lab.clusters import PORT, RAY, ROOT, Cluster
from tests.lab.hosts import Lab, lacking

pytestmark = [pytest.mark.slow, pytest.mark.skipif(bool(lacking()), reason=lacking())]

SECRET = "not-for-the-cluster"
MARK = "this code was sent"


@dataclass
class Place:
    """A cluster of a head and one host that works, a folder to submit from, and the map of one process."""

    cluster: Cluster
    here: World
    folder: Path
    digest: dict[str, str]
    units: set[str]

    @property
    def address(self) -> str:
        """Of the job server."""
        return f"http://{self.cluster.lab.hosts[0].address}:8265"

    def write(self, name: str, out: Path, **changes: object) -> str:
        """Write a configuration into the folder that is sent."""
        settings = {**self.here.settings, "out": str(out), "engine": {"kind": "ray", "workers": 1}, **changes}
        (self.folder / name).write_text(yaml.safe_dump(settings))
        return name

    def command(self, *words: str, **popen: object) -> subprocess.Popen:
        """Start `sandan submit` on the host that works: the job server is on the other one."""
        environment = {"RAY_AUTH_TOKEN_PATH": str(self.cluster.token), "PYTHONPATH": str(ROOT)}
        where = ["env", f"--chdir={self.folder}", sys.executable, "-m", "jobs.cli", "submit"]
        return self.cluster.lab.hosts[1].start(
            *where,
            *("--address", self.address, *words),
            env=environment | popen.pop("env", {}),  # type: ignore[operator,arg-type]
            **{
                "stdin": subprocess.DEVNULL,
                "stdout": subprocess.PIPE,
                "stderr": subprocess.PIPE,
                "text": True,
                **popen,
            },
        )

    def submit(self, *words: str, **popen: object) -> tuple[int, str, str]:
        """Run `sandan submit` to its end; return code, log and sentences."""
        process = self.command(*words, **popen)
        log, told = process.communicate(timeout=300)
        print(f"--- {process.returncode}: sandan submit {' '.join(words)}\n{log}{told}")
        return process.returncode, log, told


def two_scenes(folder: Path) -> World:
    """Write a run of two networks: some dozens of units of work."""
    here = world(folder, models=2, grid={"crs": "EPSG:5179", "resolution_m": 10})
    here.settings["infer"] = {"tile_px": 64, "overlap_px": 32, "tta": "flips4", "precision": "fp32", "batch": 1}
    here.scene("a-20230506", image(190, 240))
    here.scene("b-20240102", image(130, 150, 2), transform=moved(-30, 60))
    return here


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    here = two_scenes(tmp_path_factory.mktemp("country"))
    alone = here.folder / "alone"
    code, told = start(here, alone, "engine.kind=serial").wait()
    assert code == 0, told
    folder = tmp_path_factory.mktemp("sent")
    for package in ("jobs", "cluster", "tiler", "models"):
        shutil.copytree(ROOT / package, folder / package, ignore=shutil.ignore_patterns("__pycache__"))
    with (folder / "jobs" / "map.py").open("r+") as code_of_map:
        text = code_of_map.read()
        code_of_map.seek(0)
        code_of_map.write(
            text.replace("    return run_job(JOB, argv)", f"    print({MARK!r})\n    return run_job(JOB, argv)")
        )
    (folder / "data").mkdir()
    for name in (".env", "data/big.tif"):
        (folder / name).write_text(SECRET)
    with Lab(2) as lab:
        cluster = Cluster(lab, tmp_path_factory.mktemp("cluster"))
        cluster.heal(workers=1)
        yield Place(cluster, here, folder, digest(alone), set(units_done(alone)))


def test_it_makes_the_map_of_one_process_and_then_nothing_new(place: Place, tmp_path: Path) -> None:
    config = place.write("june.yaml", tmp_path / "out")
    code, log, told = place.submit(config)
    assert code == 0
    assert MARK in log
    assert "-a1 succeeded at " in told
    assert digest(tmp_path / "out") == place.digest
    assert place.cluster.token.read_text() not in log + told
    began_s = time.monotonic()
    code, log, told = place.submit(config)
    assert (code, log) == (0, "")
    assert "-a1 succeeded: nothing to do" in told
    print(f"known to be done after {time.monotonic() - began_s:.1f} s")
    code, log, told = place.submit(config, "--again")
    assert code == 0
    assert "-a2 succeeded at " in told
    assert set(units_done(tmp_path / "out")) == place.units
    assert max(Counter(units_done(tmp_path / "out")).values()) == 1
    for host in place.cluster.lab.hosts:  # neither secrets nor data are on any node
        code, found = host.run("grep", "-rl", "--include=.env", "--include=big.tif", SECRET, host.scratch)
        assert (code, found) == (1, "")


def test_a_plain_submission_makes_it_too(place: Place, tmp_path: Path) -> None:
    config = place.write("plain.yaml", tmp_path / "out")
    shutil.copy(ROOT / ".rayignore", place.folder)
    plain = [RAY, "job", "submit", "--address", place.address, "--working-dir", ".", "--", "python", "-m", "jobs.map"]
    environment = {**place.cluster.environment, "RAY_ADDRESS": ""}
    code, told = place.cluster.lab.hosts[1].run(
        *("env", f"--chdir={place.folder}", *plain, config), env=environment, timeout_s=300
    )
    assert code == 0, told
    assert MARK in told
    assert digest(tmp_path / "out") == place.digest
    head = place.cluster.lab.hosts[0]
    code, found = head.run("grep", "-rl", "--include=.env", SECRET, head.scratch)
    assert (code, found) == (1, "")


def test_a_scene_that_is_left_out_is_code_3_and_the_next_attempt_tries_it_again(place: Place, tmp_path: Path) -> None:
    here = World(tmp_path, {**place.here.settings, "scenes": []})
    here.scene("good-20230101", image(150, 170))
    damage(here.scene("poisoned-20230102", image(333, 290, 2), transform=moved(5, 7), **undamaged()))
    config = place.write("poisoned.yaml", tmp_path / "out", scenes=here.settings["scenes"])
    for attempt in (1, 2):
        code, log, told = place.submit(config)
        assert code == 3
        assert f"-a{attempt} failed at " in told
        assert "exit code 3" in told
        assert "poisoned-20230102" in log


def test_a_stop_leaves_markers_and_the_next_attempt_goes_on(place: Place, tmp_path: Path) -> None:
    config = place.write("stopped.yaml", tmp_path / "out", limits={"grace_s": 60})
    out = tmp_path / "out"
    following = place.command(config)
    while len(list(out.glob("markers/*/**/*.json"))) < len(place.units) // 4 and following.poll() is None:
        time.sleep(0.05)
    began_s = time.monotonic()
    code, _, told = place.submit(config, "--stop")
    assert code == 0
    assert "is asked to stop" in told
    print(f"stopped after {time.monotonic() - began_s:.1f} s of 60")
    _, said = following.communicate(timeout=60)
    assert following.returncode == 143
    assert "stopped at " in said
    finished = len(list(units_done(out)))
    assert 0 < finished < len(place.units)
    assert len(list(out.glob("markers/*/**/*.json"))) == finished
    code, _, told = place.submit(config)
    assert code == 0
    assert "-a2 succeeded at " in told
    assert digest(out) == place.digest
    assert max(Counter(units_done(out)).values()) == 1


def test_ctrl_c_without_a_terminal_leaves_the_job(place: Place, tmp_path: Path) -> None:
    config = place.write("left.yaml", tmp_path / "out")
    following = place.command(config)
    while not list((tmp_path / "out").glob("markers/*/**/*.json")) and following.poll() is None:
        time.sleep(0.05)
    [process] = psutil.Process(following.pid).children()
    process.send_signal(signal.SIGINT)
    _, told = following.communicate(timeout=60)
    assert following.returncode == 130
    assert told.endswith("-a1 goes on; the same command follows it, and with --stop ends it\n")
    code, log, told = place.submit(config)
    assert code == 0
    assert log.count(MARK) == 1
    assert "-a1 is at work: following it" in told
    assert digest(tmp_path / "out") == place.digest


FOLLOW = """
import os, sys
from cluster import job_server
from cluster.following import Follower
from cluster.job_server import check_token, connect_jobs
from cluster.submission import begin

job_server.SILENCE_S, job_server.ANSWER_S = 3.0, (3.0, 3.0)
address, count = sys.argv[1:]
work = {"entrypoint": f"for i in $(seq 0 {count}); do echo $i; sleep 1; done; exit 7", "runtime_env": {}}
jobs = connect_jobs(address, check_token(address, False, os.environ), work)
tell = lambda text: print("told:", text, flush=True)
write = lambda text: print(text, end="", flush=True)
sys.exit(Follower(jobs, begin(jobs, "counting").id, write, tell).follow().code)
"""


def test_a_cut_cable_hides_nothing_of_the_log(place: Place, tmp_path: Path) -> None:
    lab = place.cluster.lab
    host = lab.hosts[2] if len(lab.hosts) > 2 else lab.add(2)
    environment = {"RAY_AUTH_TOKEN_PATH": str(place.cluster.token), "PYTHONPATH": str(ROOT)}
    process = host.start(
        *(sys.executable, "-c", FOLLOW, place.address, "44"),
        **{"env": environment, "stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE},
        text=True,
    )
    assert process.stdout is not None
    began: list[str] = []
    while "5\n" not in began and process.poll() is None:
        began.append(process.stdout.readline())
    cable = ["ip", "-n", f"{lab.prefix}sw", "link", "set", host.port]
    subprocess.run([*cable, "down"], check=True)
    time.sleep(20)
    subprocess.run([*cable, "up"], check=True)
    rest, told = process.communicate(timeout=200)
    print(rest, told)
    assert process.returncode == 7
    lines = [*began, *rest.splitlines(keepends=True)]
    assert [line for line in lines if line.strip().isdecimal()] == [f"{i}\n" for i in range(45)]
    said = [line for line in lines if line.startswith("told:")]
    assert "connection lost" in said[0]
    assert said[1:] == ["told: connected again\n"]


UPLOAD = """
import sys
from cluster.job_server import connect_jobs

client = connect_jobs(sys.argv[1], True, {}).client
for mebibytes in (96, 101):
    answer = client._do_request("PUT", f"/api/packages/gcs/_ray_pkg_{mebibytes}.zip", data=bytes(mebibytes * 2**20))
    print(answer.status_code, answer.text.strip().splitlines()[-1:])
"""


def test_what_the_limit_allows_is_taken_and_little_more(place: Place) -> None:
    environment = {"RAY_AUTH_TOKEN_PATH": str(place.cluster.token), "PYTHONPATH": str(ROOT)}
    code, told = place.cluster.lab.hosts[1].run(sys.executable, "-c", UPLOAD, place.address, env=environment)
    assert code == 0, told
    allowed, refused = told.splitlines()[-2:]
    assert allowed == "200 []"
    assert refused == "413 ['Maximum request body size 104857600 exceeded.']"


def test_two_at_once_make_one_attempt(place: Place, tmp_path: Path) -> None:
    config = place.write("twice.yaml", tmp_path / "out")
    processes = [place.command(config) for _ in range(2)]
    told = [process.communicate(timeout=300)[1] for process in processes]
    assert [process.returncode for process in processes] == [0, 0]
    assert sorted("following it" in text or "nothing to do" in text for text in told) == [False, True]
    assert all("-a2" not in text for text in told)
    assert digest(tmp_path / "out") == place.digest


def test_who_has_no_token_or_a_wrong_one_is_told(place: Place, tmp_path: Path) -> None:
    config = place.write("token.yaml", tmp_path / "out")
    (tmp_path / "wrong").write_text("0" * 64)
    for path, sentence in ((tmp_path / "none", "holds none"), (tmp_path / "wrong", "does not take the token")):
        code, log, told = place.submit(config, env={"RAY_AUTH_TOKEN_PATH": str(path)})
        assert (code, log) == (2, "")
        assert sentence in told
    assert not (tmp_path / "out").exists()


def test_a_cluster_without_a_token_is_refused(place: Place, tmp_path: Path) -> None:
    config = place.write("open.yaml", tmp_path / "out", engine={"kind": "serial"})
    lab = place.cluster.lab
    host = lab.hosts[2] if len(lab.hosts) > 2 else lab.add(2)
    words = ["start", "--head", f"--node-ip-address={host.address}", f"--port={PORT}", "--num-cpus=0", "--block"]
    environment = {"PATH": place.cluster.environment["PATH"], "PYTHONPATH": str(ROOT), "RAY_AUTH_MODE": "disabled"}
    quiet = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    host.start(RAY, *words, f"--dashboard-host={host.address}", env=environment, **quiet)
    address = f"http://{host.address}:8265"
    ended_s = time.monotonic() + 90
    while "no cluster answers" in (said := place.submit(config, "--address", address))[2]:
        assert time.monotonic() < ended_s, said
        time.sleep(1)
    code, log, told = said
    assert (code, log) == (2, "")
    assert "asks for no token" in told
    code, log, told = place.submit(config, "--address", address, "--without-token")
    assert code == 0, told
    assert digest(tmp_path / "out") == place.digest

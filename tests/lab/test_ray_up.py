"""`ray up` with our file for machines of one's own: over ssh, from a machine that is none of them."""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.chaos.runs import digest, small_country, start
from tests.lab.clusters import RAY, ROOT, Cluster
from tests.lab.hosts import Host, Lab, lacking
from tests.lab.seen import ended, markers

SSHD = shutil.which("sshd", path="/usr/sbin:/usr/bin")
WANTED = {"sshd": SSHD, "ssh": shutil.which("ssh"), "rsync": shutil.which("rsync")}
ABSENT = lacking() or ", ".join(name for name, path in WANTED.items() if path is None)
pytestmark = [pytest.mark.slow, pytest.mark.skipif(bool(ABSENT), reason=f"ray up in the lab: {ABSENT}")]
LAUNCHER = 3
"""The host that is not of the cluster."""


def serve_ssh(host: Host, folder: Path) -> None:
    """Start an ssh server on a host that lets in who has the key of the folder."""
    Path("/run/sshd").mkdir(exist_ok=True)  # where sshd wants to be locked in
    options = {
        "HostKey": folder / "host_key",
        "AuthorizedKeysFile": folder / "key.pub",
        "PermitRootLogin": "yes",
        "PidFile": "none",
        "StrictModes": "no",
        "UsePAM": "no",
        "SetEnv": f"PYTHONPATH={ROOT}",
    }
    words = [word for name, value in options.items() for word in ("-o", f"{name}={value}")]
    with (folder / f"sshd{host.number}.log").open("w") as said:
        host.start(str(SSHD), "-D", "-e", "-f", "/dev/null", *words, stdin=subprocess.DEVNULL, stdout=said, stderr=said)


@pytest.fixture
def machines(tmp_path: Path) -> Iterator[Cluster]:
    with Lab(4) as lab:
        cluster = Cluster(lab, tmp_path / "cluster")
        for name in ("key", "host_key"):
            subprocess.run(
                ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(cluster.folder / name)], check=True
            )
        for host in lab.hosts[:LAUNCHER]:
            serve_ssh(host, cluster.folder)
        yield cluster


def described(cluster: Cluster) -> Path:
    """Describe the machines in a file of ours, and render what `ray up` wants."""
    head, *workers = (host.address for host in cluster.lab.hosts[:LAUNCHER])
    onprem = {"head": head, "workers": workers, "ssh_user": "root", "ssh_key": str(cluster.folder / "key"), "ray": RAY}
    settings = {
        "name": "lab",
        "image": "example.org/sandan:1",
        "token_file": str(cluster.token),
        "workers": [{"name": "machines", "cpus": 1, "memory_gib": 8, "most": 2}],
        "onprem": onprem,
    }
    file = cluster.folder / "cluster.yaml"
    file.write_text(yaml.safe_dump(settings))
    subprocess.run([sys.executable, "-m", "jobs.cluster", "render", str(file), "--to", str(cluster.folder)], check=True)
    return cluster.folder / "onprem.yaml"


def raylets(cluster: Cluster) -> list[int]:
    """Count the nodes of Ray that run on each machine."""
    return [int(host.run("pgrep", "-c", "-x", "raylet")[1]) for host in cluster.lab.hosts[:LAUNCHER]]


def test_machines_are_started_over_ssh_map_and_are_stopped(machines: Cluster, tmp_path: Path) -> None:
    launcher = machines.lab.hosts[LAUNCHER]
    here = small_country(tmp_path / "country")
    code, said = start(here, tmp_path / "alone", "engine.kind=serial").wait()
    assert code == 0, said
    file, environment = described(machines), {"HOME": launcher.home, "RAY_USAGE_STATS_ENABLED": "0"}
    code, said = launcher.run(RAY, "up", "-y", "--no-config-cache", str(file), env=environment, timeout_s=240)
    assert code == 0, said
    machines.wait_for(3, limit_s=120)
    code, said = ended(machines.command("jobs.map", *here.command(f"out={tmp_path / 'out'}", "engine.kind=ray")))
    assert code == 0, said
    assert digest(tmp_path / "out") == digest(tmp_path / "alone")
    assert {marker["host"] for marker in markers(tmp_path / "out").values()} == {"host1", "host2"}
    assert raylets(machines) == [1, 1, 1]
    code, said = launcher.run(RAY, "down", "-y", str(file), env=environment, timeout_s=240)
    assert code == 0, said
    until_s = time.monotonic() + 150  # `ray down` stops the head; workers look for it for a minute, then end
    while raylets(machines) != [0, 0, 0] and time.monotonic() < until_s:
        time.sleep(2)
    assert raylets(machines) == [0, 0, 0], said

"""Ray on the hosts of a lab, started as its users start it: `ray start`, with a token."""

from __future__ import annotations

import os
import secrets
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

from tests.lab.hosts import Host, Lab

ROOT = Path(__file__).resolve().parents[2]
RAY = str(Path(sys.executable).with_name("ray"))
PORT = 6379
ZONES = ("head", "one", "two", "three")
WAIT = """
import sys, time, ray
until = time.monotonic() + {limit_s}
while not ray.is_initialized():  # on a busy machine a head listens long before it is a node
    try:
        ray.init(log_to_driver=False, logging_level="ERROR")
    except ConnectionError:
        if time.monotonic() > until:
            raise
        time.sleep(1)
while sum(node["Alive"] for node in ray.nodes()) != {nodes}:
    if time.monotonic() > until:
        sys.exit("found " + str([(n["NodeManagerAddress"], n["Alive"]) for n in ray.nodes()]))
    time.sleep(0.2)
"""


@dataclass
class Cluster:
    """A head without CPUs on the first host of a lab; workers on the others."""

    lab: Lab
    folder: Path
    """Shared by all hosts: the token, and what each node said."""
    nodes: dict[int, subprocess.Popen] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        self.token.write_text(secrets.token_hex(32))
        self.token.chmod(0o600)

    @property
    def token(self) -> Path:
        """The file with the token of the cluster."""
        return self.folder / "token"

    @property
    def address(self) -> str:
        """Of the head."""
        return f"{self.lab.hosts[0].address}:{PORT}"

    @property
    def environment(self) -> dict[str, str]:
        """What a command needs to reach the cluster."""
        return {
            "RAY_ADDRESS": self.address,
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN_PATH": str(self.token),
            "RAY_USAGE_STATS_ENABLED": "0",
            "PYTHONPATH": str(ROOT),
            # Jobs are started by the word `python`, on the head.
            "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")]),
        }

    def command(self, module: str, *words: str) -> subprocess.Popen:
        """Start a command of Sandan on the head; what it says on stderr is to be read."""
        return self.lab.hosts[0].start(
            *(sys.executable, "-m", module, *words),
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )

    def start_head(self, *options: str) -> None:
        """Start the head; it has no CPUs for work."""
        host = self.lab.hosts[0]
        self._start(host, "--head", f"--port={PORT}", f"--dashboard-host={host.address}", "--num-cpus=0", *options)

    def start_worker(self, number: int, cpus: int = 1, *options: str) -> None:
        """Start the node of another host."""
        self._start(self.lab.hosts[number], f"--address={self.address}", f"--num-cpus={cpus}", *options)

    def _start(self, host: Host, *words: str) -> None:
        store = "--object-store-memory=80000000"
        environment = {key: value for key, value in self.environment.items() if key != "RAY_ADDRESS"}
        command = [RAY, "start", f"--node-ip-address={host.address}", store, "--block", *words]
        with (self.folder / f"node{host.number}.log").open("ab") as said:
            self.nodes[host.number] = host.start(
                *command, env=environment, stdin=subprocess.DEVNULL, stdout=said, stderr=subprocess.STDOUT
            )

    def heal(self, workers: int = 2) -> None:
        """Bring everything back: hosts that are off or cut off, and nodes that ended. A head that is lost takes all.

        Hosts are labelled with a zone each: one, two ...
        """
        for host in self.lab.hosts:
            if not host.is_plugged:
                host.plug()
                host.off()  # its node would end when the head tells it that it was taken for dead: sometime
            if not host.is_on:
                host.on()
                self.nodes.pop(host.number, None)
        self.nodes = {number: node for number, node in self.nodes.items() if node.poll() is None}
        if 0 not in self.nodes:
            for host in self.lab.hosts:
                host.off()
                host.on()
            self.nodes.clear()
            self.start_head()
            self.wait_for(1)
        for number in range(1, workers + 1):
            if number not in self.nodes:
                self.start_worker(number, 1, f"--labels=zone={ZONES[number]}")
        self.wait_for(1 + workers)

    def drain(self, number: int, seconds: float) -> None:
        """Tell a host that it will be gone, as systemd and Kubernetes do; when it is ready, or late, switch it off."""
        host = self.lab.hosts[number]
        words = [sys.executable, "-m", "cluster.drain", "--seconds", str(seconds)]
        code, told = host.run(*words, env=self.environment, timeout_s=seconds + 60)
        assert code in (0, 3), told
        host.off()

    def wait_for(self, nodes: int, limit_s: float = 90) -> None:
        """Wait until so many nodes are alive, the head among them."""
        code, told = self.lab.hosts[0].run(
            sys.executable,
            "-c",
            WAIT.format(nodes=nodes, limit_s=limit_s),
            env=self.environment,
            timeout_s=limit_s + 60,
        )
        said = "".join(f"--- {file.name}\n{file.read_text()}" for file in sorted(self.folder.glob("node*.log")))
        assert code == 0, f"waited for {nodes} nodes; {told}\n{said}"

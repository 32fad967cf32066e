"""Several hosts on one machine, without docker: network namespaces on one bridge.

Each host has its own address, processes, host name, shared memory and temporary folder of Ray, so that Ray on one sees
nothing of Ray on another; folders are shared, as on a cluster with a network file system. A host can be switched off
(all of its processes are killed at once) and its cable pulled. Needs root and the tools ip, unshare and nsenter.
"""

from __future__ import annotations

import itertools
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

NETWORK = "10.77.0"
LETTERS = itertools.cycle("abcdefghijklmnopqrstuvwxyz")
HOSTS = 10
"""That know each other by name: process groups of torch look for their own address by it."""
TOOLS = ("ip", "unshare", "nsenter")
INIT = """
mount --make-rprivate /
mkdir -p {temporary}/ray
mount -t tmpfs tmpfs {temporary}/ray
mount -t tmpfs tmpfs /dev/shm
printf '{names}' > {temporary}/ray/hosts
mount --bind {temporary}/ray/hosts /etc/hosts
mkdir -m 700 {temporary}/ray/home
sed 's#^root:\\([^/]*\\):[^:]*:#root:\\1:{temporary}/ray/home:#' /etc/passwd > {temporary}/ray/passwd
mount --bind {temporary}/ray/passwd /etc/passwd
hostname {name}
echo up
while true; do sleep 3600 & wait $!; done  # a shell, because the first process has to take leave of orphans that ended
"""


def lacking() -> str:
    """Return why there can be no lab here; empty where there can."""
    if os.name != "posix" or os.geteuid() != 0:
        return "a lab of hosts needs root"
    absent = [tool for tool in TOOLS if shutil.which(tool) is None]
    if absent:
        return f"a lab of hosts needs {', '.join(absent)}"
    tried = subprocess.run(["unshare", "--net", "--mount", "--pid", "--uts", "--fork", "true"], capture_output=True)
    return "" if tried.returncode == 0 else f"no namespaces here: {tried.stderr.decode().strip()}"


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True)


@dataclass
class Host:
    """One host; on from the beginning."""

    number: int
    prefix: str
    is_plugged: bool = True
    _init: subprocess.Popen | None = None
    _started: list[subprocess.Popen] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.on()

    @property
    def address(self) -> str:
        """Its address in the network of the lab."""
        return f"{NETWORK}.{10 + self.number}"

    @property
    def namespace(self) -> str:
        """Its network namespace."""
        return f"{self.prefix}h{self.number}"

    @property
    def port(self) -> str:
        """The other end of its cable, at the switch."""
        return f"{self.prefix}p{self.number}"

    def on(self) -> None:
        """Switch it on: it has a first process, and nothing else."""
        apart = ["unshare", "--mount", "--pid", "--uts", "--fork", "--kill-child", "--mount-proc"]
        names = r"127.0.0.1 localhost\n" + "".join(rf"{NETWORK}.{10 + n} host{n}\n" for n in range(HOSTS))
        begin = INIT.format(name=f"host{self.number}", temporary=tempfile.gettempdir(), names=names)
        words = ["ip", "netns", "exec", self.namespace, *apart, "bash", "-c", begin]
        pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL, "text": True}
        self._init = subprocess.Popen(words, start_new_session=True, **pipes)
        assert self._init.stdout is not None
        if self._init.stdout.readline().strip() != "up":
            raise OSError(f"host {self.number} did not come up; it ended with {self._init.wait()}")

    def off(self) -> None:
        """Switch it off, as if its plug were pulled: the first process is killed, and with it all others."""
        if self._init is not None:
            os.kill(self.first_process, signal.SIGKILL)
            self._init.wait()
            assert self._init.stdout is not None
            self._init.stdout.close()
            self._init = None
            for process in self._started:
                process.wait()
            self._started.clear()

    @property
    def home(self) -> str:
        """Home of its user: what is written there no other host sees."""
        return f"{self.scratch}/home"

    @property
    def scratch(self) -> str:
        """Where Ray on it keeps its files."""
        return f"{tempfile.gettempdir()}/ray"

    @property
    def is_on(self) -> bool:
        """Whether it runs."""
        return self._init is not None

    @property
    def first_process(self) -> int:
        """Number, as seen from outside, of the process with number 1 inside: the child of `unshare`."""
        assert self._init is not None
        children = subprocess.run(["pgrep", "-P", str(self._init.pid)], capture_output=True, text=True, check=True)
        return int(children.stdout.split()[0])

    def start(self, *words: str, env: Mapping[str, str] | None = None, **popen: Any) -> subprocess.Popen:
        """Start a command on it; environment variables are added to those of this process without Ray's."""
        inherited = {key: value for key, value in os.environ.items() if not key.startswith("RAY_")}
        inside = ["nsenter", "-t", str(self.first_process), "--net", "--mount", "--pid", "--uts", f"--wd={os.getcwd()}"]
        environment = {**inherited, **(env or {})}
        process = subprocess.Popen([*inside, *words], env=environment, start_new_session=True, **popen)
        self._started.append(process)
        return process

    def run(self, *words: str, env: Mapping[str, str] | None = None, timeout_s: float = 120) -> tuple[int, str]:
        """Run a command on it; return its exit code and what it said, on either stream."""
        process = self.start(
            *words, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        try:
            told, _ = process.communicate(timeout=timeout_s)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)  # not only `nsenter`: what it started holds the pipe
            told, _ = process.communicate()
            raise AssertionError(f"{' '.join(words)} took more than {timeout_s:g} s; it said\n{told}") from None
        return process.returncode, told

    def unplug(self) -> None:
        """Pull its cable."""
        self.is_plugged = False
        _ip("-n", f"{self.prefix}sw", "link", "set", self.port, "down")

    def plug(self) -> None:
        """Put its cable back."""
        self.is_plugged = True
        _ip("-n", f"{self.prefix}sw", "link", "set", self.port, "up")


@dataclass
class Lab:
    """Hosts on one switch; a context, at whose end nothing is left of them."""

    count: int
    prefix: str = field(default_factory=lambda: f"sn{os.getpid() % 100_000}{next(LETTERS)}")
    """Of its names on this machine, where other labs may be."""
    hosts: list[Host] = field(default_factory=list)

    def __enter__(self) -> Lab:
        try:
            switch = f"{self.prefix}sw"
            _ip("netns", "add", switch)
            _ip("-n", switch, "link", "add", "br0", "type", "bridge")
            _ip("-n", switch, "addr", "add", f"{NETWORK}.1/24", "dev", "br0")
            _ip("-n", switch, "link", "set", "br0", "up")
            for number in range(self.count):
                self.add(number)
        except BaseException:
            self.close()
            raise
        return self

    def add(self, number: int) -> Host:
        """Add a host to the lab."""
        switch, name, port = f"{self.prefix}sw", f"{self.prefix}h{number}", f"{self.prefix}p{number}"
        _ip("netns", "add", name)
        _ip("link", "add", port, "netns", switch, "type", "veth", "peer", "name", "eth0", "netns", name)
        _ip("-n", switch, "link", "set", port, "master", "br0", "up")
        _ip("-n", name, "addr", "add", f"{NETWORK}.{10 + number}/24", "dev", "eth0")
        _ip("-n", name, "link", "set", "eth0", "up")
        _ip("-n", name, "link", "set", "lo", "up")
        _ip("-n", name, "route", "add", "default", "via", f"{NETWORK}.1")  # Ray finds its address through it
        host = Host(number, self.prefix)
        self.hosts.append(host)
        return host

    def close(self) -> None:
        """Switch everything off and take it away."""
        for host in self.hosts:
            host.off()
        self.hosts.clear()
        found = subprocess.run(["ip", "netns", "list"], capture_output=True, text=True).stdout
        for name in (line.split()[0] for line in found.splitlines() if line):
            if name.startswith((f"{self.prefix}h", f"{self.prefix}sw")):
                _ip("netns", "delete", name)

    def __exit__(self, *error: object) -> None:
        self.close()

"""What listens, and what of it answers somebody without a token: what `ss -ltnp` and a curious neighbour would find."""

from __future__ import annotations

import urllib.error
import urllib.request
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import grpc
import psutil

METRICS = "/metrics"
WILDCARDS = ("0.0.0.0", "::")
PAGES = ("/", METRICS, "/api/version", "/api/jobs/", "/nodes", "/api/healthz", "/api/local_raylet_healthz")
POSTS = ("/get_runtime_envs_info", "/get_or_create_runtime_env", "/api/job_agent/jobs/", "/api/jobs/")
"""Asked with an empty body, which none of them understands: whoever says so had let it in."""
CALLS = (
    "/ray.rpc.NodeInfoGcsService/GetAllNodeInfo",
    "/ray.rpc.InternalKVGcsService/InternalKVKeys",
    "/ray.rpc.JobInfoGcsService/GetAllJobInfo",
    "/ray.rpc.ActorInfoGcsService/GetAllActorInfo",
    "/ray.rpc.NodeManagerService/GetNodeStats",
    "/ray.rpc.NodeManagerService/GetSystemConfig",
    "/ray.rpc.ObjectManagerService/Pull",
    "/ray.rpc.CoreWorkerService/GetCoreWorkerStats",
    "/ray.rpc.ReporterService/HealthCheck",
    "/ray.rpc.RayletDriver/ClusterInfo",
    "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export",
    "/grpc.health.v1.Health/Check",
)
"""One of each service that a process of Ray may serve; all take an empty message."""


@dataclass(frozen=True, order=True)
class Socket:
    """A port that is listened on."""

    process: str
    address: str
    port: int

    @property
    def is_open_to_all(self) -> bool:
        """Whether every network of the machine reaches it."""
        return self.address in WILDCARDS

    @property
    def host(self) -> str:
        """An address of this machine under which it is reached."""
        return "127.0.0.1" if self.is_open_to_all else self.address


def name_of(words: list[str]) -> str:
    """Return a short name of a process of Ray, by its command line."""
    line = " ".join(words)
    for part, name in (
        ("gcs_server", "gcs"),
        ("core/src/ray/raylet/raylet", "raylet"),
        ("monitor.py", "autoscaler"),
        ("dashboard/dashboard.py", "dashboard"),
        ("ray-dashboard", "dashboard"),
        ("DashboardAgent", "agent"),
        ("RuntimeEnvAgent", "runtime environments"),
        ("ray_client_server", "client server"),
        ("ray.util.client.server", "client server"),
        ("ray::", "worker"),
    ):
        if part in line:
            return name
    return "driver"


def family() -> list[psutil.Process]:
    """Return this process and all that it started."""
    me = psutil.Process()
    return [me, *me.children(recursive=True)]


def listening(processes: Iterable[psutil.Process]) -> Iterator[Socket]:
    """Yield what processes listen on."""
    for process in processes:
        try:
            sockets, words = process.net_connections("tcp"), process.cmdline()
        except psutil.NoSuchProcess:
            continue
        for socket in sockets:
            if socket.status == psutil.CONN_LISTEN:
                yield Socket(name_of(words), socket.laddr.ip, socket.laddr.port)


def answers(socket: Socket, seconds: float = 5.0) -> set[str]:
    """Return the pages and the calls that are answered without a token."""
    where = f"{socket.host}:{socket.port}"
    found = {page for page in PAGES if _page(f"http://{where}{page}", seconds)}
    if METRICS not in found:  # whose server says the same to whatever it is asked
        found |= {f"POST {page}" for page in POSTS if _post(f"http://{where}{page}", seconds)}
    # Ray adds its own token to channels that it makes; this one is of nobody.
    with grpc.insecure_channel(where) as channel:
        found |= {call for call in CALLS if _call(channel, call, seconds)}
    return found


def _page(url: str, seconds: float) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=seconds) as answer:
            return bool(answer.status == 200)
    except (OSError, ValueError, urllib.error.HTTPError):
        return False
    except Exception as error:  # no HTTP at all
        return not type(error).__module__.startswith("http")


def _post(url: str, seconds: float) -> bool:
    try:
        with urllib.request.urlopen(url, data=b"", timeout=seconds):
            return True
    except urllib.error.HTTPError as error:
        with error:
            return error.code not in (401, 403, 404, 405)
    except Exception:  # no HTTP
        return False


def _call(channel: grpc.Channel, name: str, seconds: float) -> bool:
    refused = (grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.UNIMPLEMENTED, grpc.StatusCode.UNAVAILABLE)
    try:
        channel.unary_unary(name)(b"", timeout=seconds)
    except grpc.RpcError as error:
        return error.code() not in refused
    return True

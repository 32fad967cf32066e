"""Units of systemd, for a fixed set of machines: simpler than `ray up`, and a node that ended is started again."""

from __future__ import annotations

from cluster.deployment.ray_up import PORT
from cluster.deployment.spec import NODE, Deployment, OnPremises

TOKEN = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": "%h/.sandan/token"}
UNIT = """[Unit]
Description={what}
After=network-online.target
Wants=network-online.target

[Service]
User={user}
Environment={environment}
LimitNOFILE=65536
ExecStart={ray} start {options} --block
# A node that was cut off from the head ends by itself when the network is back, and must be started anew.
Restart=always
RestartSec=10
# Told that the machine goes down, the node first finishes what it works on.
ExecStop={drain}
TimeoutStopSec={stop_s}
KillMode=mixed

[Install]
WantedBy=multi-user.target
"""


def units(deployment: Deployment) -> dict[str, str]:
    """Return file name to text of the units: one for the head, one for each worker machine.

    Raises:
        ValueError: the deployment has no machines of its own.
    """
    place = deployment.onprem
    if place is None:
        raise ValueError("asked for units of systemd; found no section `onprem`; add it")
    head = f"--head --port={PORT} --num-cpus=0 --dashboard-host=127.0.0.1 --node-ip-address={place.head}"
    worker = f"--address={place.head}:{PORT}"
    return {
        f"{deployment.name}-head.service": _unit(deployment, place, "Head of Ray's cluster", head, False),
        f"{deployment.name}-worker.service": _unit(deployment, place, "Worker of Ray's cluster", worker, True),
    }


def _unit(deployment: Deployment, place: OnPremises, what: str, options: str, drains: bool) -> str:
    python = place.ray.rpartition("/")[0] + "/python"
    drain = f"{python} -m cluster.drain --seconds {deployment.drain_s}" if drains else f"{place.ray} stop"
    return UNIT.format(
        what=f"{what} ({deployment.name})",
        user=place.ssh_user,
        ray=place.ray,
        options=options,
        environment=" ".join(f"{key}={value}" for key, value in (TOKEN | NODE).items()),
        drain=drain,
        stop_s=deployment.drain_s + 20,
    )

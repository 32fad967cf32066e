"""Units of systemd, for a fixed set of machines: simpler than `ray up`, and a node that ended is started again."""

from __future__ import annotations

from collections.abc import Mapping

from cluster.deployment.ray_up import PORT
from cluster.deployment.spec import NODE, Deployment, OnPremises

TOKEN = {"RAY_AUTH_MODE": "token"}
AT_HOME = "RAY_AUTH_TOKEN_PATH=$HOME/.sandan/token"
"""Said by a shell: of units of the system, systemd's own %h is that of root, whoever their user is."""
UNIT = """[Unit]
Description={what}
After=network-online.target
Wants=network-online.target

[Service]
User={user}
Environment={environment}
LimitNOFILE=65536
ExecStart={start}
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

TICK = """[Unit]
Description=A tick of the plan: what is new is mapped and published ({name})
After=network-online.target {name}-head.service
Wants=network-online.target

[Service]
Type=oneshot
User={user}
WorkingDirectory=~
Environment={environment}
ExecStart={start}
TimeoutStartSec=infinity
# Told to stop, a run finishes the units that it works on.
TimeoutStopSec=60
KillMode=mixed
# After a fault it goes on where it was; bad input, a gate that was not passed and another tick at work end it.
Restart=on-failure
RestartSec=15min
RestartPreventExitStatus=2 3 4
"""
TIMER = """[Unit]
Description=When the plan has a tick ({name})

[Timer]
OnCalendar={calendar}
# Of ticks that were missed while the machine was off, one is caught up.
Persistent=true

[Install]
WantedBy=timers.target
"""
CRON = """# As /etc/cron.d/{name}-schedule, where there is no systemd. A tick that meets another at work ends with 4.
{when} {user} {command} >>$HOME/{name}-schedule.log 2>&1
"""


def schedule(deployment: Deployment) -> dict[str, str]:
    """Return file name to text of what begins a plan's ticks on the head: a timer of systemd, or a line of cron.

    Raises:
        ValueError: the deployment has no machines of its own.
    """
    place, name = _place(deployment), deployment.name
    environment = _assigned(TOKEN | NODE | {"RAY_ADDRESS": f"{place.head}:{PORT}"})
    command = f"{_programs(place)}/sandan schedule {place.plan}"
    facts = {"name": name, "user": place.ssh_user}
    return {
        f"systemd/{name}-schedule.service": TICK.format(environment=environment, start=_at_home(command), **facts),
        f"systemd/{name}-schedule.timer": TIMER.format(name=name, calendar=place.calendar),
        f"cron/{name}-schedule": CRON.format(
            when=place.schedule, command=f"{environment} {AT_HOME} {command}", **facts
        ),
    }


def units(deployment: Deployment) -> dict[str, str]:
    """Return file name to text of the units: one for the head, one for each worker machine.

    Raises:
        ValueError: the deployment has no machines of its own.
    """
    place = _place(deployment)
    head = f"--head --port={PORT} --num-cpus=0 --dashboard-host=127.0.0.1 --node-ip-address={place.head}"
    worker = f"--address={place.head}:{PORT}"
    return {
        f"{deployment.name}-head.service": _unit(deployment, place, "Head of Ray's cluster", head, False),
        f"{deployment.name}-worker.service": _unit(deployment, place, "Worker of Ray's cluster", worker, True),
    }


def _unit(deployment: Deployment, place: OnPremises, what: str, options: str, drains: bool) -> str:
    drain = (
        f"{_programs(place)}/python -m cluster.drain --seconds {deployment.drain_s}" if drains else f"{place.ray} stop"
    )
    return UNIT.format(
        what=f"{what} ({deployment.name})",
        user=place.ssh_user,
        start=_at_home(f"{place.ray} start {options} --block"),
        environment=_assigned(TOKEN | NODE),
        drain=_at_home(drain),
        stop_s=deployment.drain_s + 20,
    )


def _place(deployment: Deployment) -> OnPremises:
    if deployment.onprem is None:
        raise ValueError("asked for units of systemd; found no section `onprem`; add it")
    return deployment.onprem


def _programs(place: OnPremises) -> str:
    return place.ray.rpartition("/")[0]


def _at_home(command: str) -> str:
    """Return a command as systemd takes it, with the token of the unit's user."""
    return f"/bin/sh -c '{AT_HOME.replace('$', '$$')} exec {command}'"


def _assigned(values: Mapping[str, str]) -> str:
    return " ".join(f"{key}={value}" for key, value in values.items())

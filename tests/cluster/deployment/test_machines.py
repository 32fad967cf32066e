"""Units of systemd and the line of cron: what starts nodes and ticks on machines of one's own."""

from __future__ import annotations

import configparser
import shutil
import subprocess
from pathlib import Path

import pytest

from cluster.deployment.machines import schedule, units
from cluster.deployment.spec import Deployment

ROOT = Path(__file__).resolve().parents[3]
PLACE = {"head": "10.1.2.3", "workers": ["10.1.2.4"], "ssh_user": "maps", "ray": "/srv/env/bin/ray"}
SERVICES = ("sandan-head.service", "sandan-worker.service", "sandan-schedule.service")


def deployment(**place: object) -> Deployment:
    workers = [{"name": "one", "cpus": 2, "memory_gib": 4, "most": 1}]
    return Deployment.model_validate(
        {"image": "r.example.org/sandan:1", "workers": workers, "onprem": {**PLACE, **place}}
    )


def read(text: str) -> configparser.ConfigParser:
    unit = configparser.ConfigParser(interpolation=None)
    unit.optionxform = str  # type: ignore[assignment,method-assign]
    unit.read_string(text)
    return unit


def test_a_tick_is_one_command_of_the_plan_with_the_token_of_its_user():
    found = schedule(deployment(plan="/srv/korea.yaml", calendar="Mon *-*-* 02:00:00", schedule="0 2 * * 1"))
    service = read(found["systemd/sandan-schedule.service"])["Service"]
    assert service["Type"] == "oneshot"
    assert service["User"] == "maps"
    command = "RAY_AUTH_TOKEN_PATH={}HOME/.sandan/token {}/srv/env/bin/sandan schedule /srv/korea.yaml"
    assert service["ExecStart"] == f"/bin/sh -c '{command.format('$$', 'exec ')}'"
    assert "RAY_ADDRESS=10.1.2.3:6379" in service["Environment"].split()
    timer = read(found["systemd/sandan-schedule.timer"])["Timer"]
    assert (timer["OnCalendar"], timer["Persistent"]) == ("Mon *-*-* 02:00:00", "true")
    (line,) = (one for one in found["cron/sandan-schedule"].splitlines() if not one.startswith("#"))
    assert line.startswith("0 2 * * 1 maps RAY_AUTH_MODE=token ")
    assert command.format("$", "") in line
    assert "%" not in line  # which ends the command of a line of cron


def test_no_unit_takes_the_home_of_root_for_that_of_its_user():
    for text in (units(deployment()) | schedule(deployment())).values():
        assert "%h" not in text


def test_a_plan_that_a_shell_would_take_apart_is_refused():
    for plan in ("plan.yaml", "/etc/a plan.yaml", "/etc/$(x).yaml", "/etc/a'.yaml"):
        with pytest.raises(ValueError, match="plan"):
            deployment(plan=plan)


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not here")
def test_systemd_understands_the_shipped_units():
    files = [str(path) for path in sorted((ROOT / "cluster" / "systemd").iterdir())]
    assert {Path(file).name for file in files} > set(SERVICES)
    done = subprocess.run(["systemd-analyze", "verify", *files], capture_output=True, text=True, timeout=60)
    assert [line for line in done.stderr.splitlines() if "sandan" in line] == []

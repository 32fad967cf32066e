"""How threads of OpenMP wait: told before torch is there, and left to users who say it themselves."""

import os
import subprocess
import sys

import pytest

from cluster.openmp import SPINS, spin_briefly


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ({}, {"GOMP_SPINCOUNT": SPINS}),
        ({"GOMP_SPINCOUNT": "7"}, {"GOMP_SPINCOUNT": "7"}),
        ({"OMP_WAIT_POLICY": "PASSIVE"}, {"OMP_WAIT_POLICY": "PASSIVE"}),
    ],
)
def test_who_says_how_to_wait_is_heard(said, expected):
    spin_briefly(said)
    assert said == expected


@pytest.mark.parametrize(
    "command",
    [
        "from jobs import cli; cli.main(['infer', '--help'])",
        "from cluster.worker import limit_worker; limit_worker(1, 0)",
    ],
)
def test_it_is_told_before_torch_is_imported(command):
    look = (
        "import builtins, os, sys; there = builtins.__import__\n"
        "def watch(name, *rest, **named):\n"
        "    assert name != 'torch' or 'torch' in sys.modules or 'GOMP_SPINCOUNT' in os.environ\n"
        "    return there(name, *rest, **named)\n"
        "builtins.__import__ = watch\n"
    )
    end = "\nimport torch\nassert os.environ['GOMP_SPINCOUNT']"
    guarded = f"try:\n    {command}\nexcept SystemExit:\n    pass"
    environment = {name: value for name, value in os.environ.items() if name != "GOMP_SPINCOUNT"}
    subprocess.run([sys.executable, "-c", look + guarded + end], check=True, capture_output=True, env=environment)

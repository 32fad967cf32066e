"""Networks without torch's compiler: it is loaded when it is asked for, and answers as ever."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.jobs.worlds import write_bundle

HAS = "print('torch._dynamo' in sys.modules)"


def run(code: str) -> list[str]:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=300)
    return done.stdout.split()


def test_no_network_of_a_bundle_needs_the_compiler(tmp_path: Path) -> None:
    folder = write_bundle(tmp_path / "net")
    load = f"from models.bundle import load_bundle; card, network = load_bundle(Path({folder!r}))"
    forward = "network(torch.zeros(1, len(card.channels), 32, 32))"
    assert run(f"import sys, torch; from pathlib import Path; {load}; {forward}; {HAS}") == ["False"]


@pytest.mark.parametrize(
    "asked",
    [
        pytest.param("from torch._dynamo.utils import counters", marks=pytest.mark.slow),
        pytest.param("import torch._dynamo", marks=pytest.mark.slow),
        "from torch._dynamo.utils import is_compile_supported as f; f('cpu')",
        pytest.param(
            "from torch.compiler import disable; assert disable(lambda x: x + 1)(1) == 2", marks=pytest.mark.slow
        ),
        "from torch.compiler import disable; assert disable(recursive=False)(lambda x: x + 1)(1) == 2",
    ],
)
def test_whoever_asks_for_the_compiler_gets_it(asked: str) -> None:
    code = f"""
import sys, torch
from models.quick_import import without_compiler
with without_compiler():
    {asked.replace("; ", chr(10) + "    ")}
{HAS}
import torch._dynamo.utils
from torch._dynamo.utils import counters, is_compile_supported
assert is_compile_supported.__module__ == 'torch._dynamo.utils', is_compile_supported
assert torch.compiler.disable.__module__ == 'torch.compiler'
"""
    assert run(code) == ["True"]


def test_without_asking_nothing_is_loaded() -> None:
    lines = "with without_compiler():\n    from torch._dynamo.utils import is_compile_supported"
    assert run(f"import sys, torch\nfrom models.quick_import import without_compiler\n{lines}\n{HAS}") == ["False"]

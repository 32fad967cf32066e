"""One hostile input, what must become of it, and the process with limits in which a whole kind of them is tried.

python -m tests.hostile.cases MODULE FOLDER   writes one JSON line for each case
"""

import contextlib
import importlib
import io
import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PROCESSOR_S = 150
"""Of a whole kind: what hangs is killed by the kernel."""
ADDRESSES_BYTES = 12 * 2**30
"""Address space: what allocates what a header promises gets a MemoryError instead of the machine."""
PEAK_BYTES = 2**30
"""Resident memory that a kind may reach, over what it held after its imports."""
EITHER = "refused or read, whichever"
"""What a mutation may be said to be: it must only not crash, hang or raise anything but a refusal."""
TOLD = 3000
"""Characters of the longest message that is fit for a terminal."""


@dataclass(frozen=True)
class Case:
    """One input."""

    name: str
    call: Callable[[], object]
    """The entry that reads it: returns an exit code or a value, or raises."""
    says: str | None
    """What the message must hold beside what to do, such as the name of the file; None: the input is odd, but fine."""


def outcome(case: Case) -> dict[str, object]:
    """Try one case; report what became of it."""
    started, errors, code = time.process_time(), io.StringIO(), 0
    try:
        with contextlib.redirect_stderr(errors), contextlib.redirect_stdout(io.StringIO()):
            returned = case.call()
        code = returned if isinstance(returned, int) else 0
        told = errors.getvalue()
        became = {0: "accepted", 2: "refused", 3: "quarantined"}.get(code, f"exit code {code}")
    except (ValueError, OSError) as error:
        became, told = "refused", str(error)
    except BaseException as error:
        became, told = f"raised {type(error).__name__}", str(error)
    return {
        "name": case.name,
        "says": case.says,
        "became": became,
        "told": told[: 2 * TOLD],
        "seconds": round(time.process_time() - started, 2),
    }


def peak_bytes() -> int:
    """Return the largest resident memory of this process so far."""
    return int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0]) * 1024


def try_all(module: str, folder: Path) -> list[dict[str, object]]:
    """Try every case of a module in a process with limits.

    Args:
        module: of this package; its `cases(folder)` returns them.
        folder: an empty one.

    Returns:
        What became of each; the last entry is of the process itself.
    """
    folder.mkdir(exist_ok=True)
    command = [sys.executable, "-m", "tests.hostile.cases", f"tests.hostile.{module}", str(folder)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=2 * PROCESSOR_S, check=False
    )
    found = [json.loads(line) for line in done.stdout.splitlines()]
    assert done.returncode == 0, f"killed or crashed after {[f['name'] for f in found][-1:]}: {done.stderr[-2000:]}"
    return found


def problems(found: list[dict[str, object]]) -> list[str]:
    """Return what went otherwise than it must."""
    *cases, process = found
    wrong = []
    for case in cases:
        told, says = str(case["told"]), case["says"]
        if says is None:
            if case["became"] != "accepted":
                wrong.append(f"{case['name']}: {case['became']}: {told[:300]}")
            continue
        if says == EITHER and case["became"] in ("accepted", "refused"):
            continue
        if case["became"] not in ("refused", "quarantined"):
            wrong.append(f"{case['name']}: {case['became']}: {told[:300]}")
        elif str(says) not in told:
            wrong.append(f"{case['name']}: does not say {says!r}: {told[:300]}")
        elif not any(word in told for word in (";", ". ", "should", "must")):
            wrong.append(f"{case['name']}: does not say what to do: {told[:300]}")
        elif len(told) > TOLD or any((ord(c) < 32 and c != "\n") or 0xD800 <= ord(c) < 0xE000 for c in told):
            wrong.append(f"{case['name']}: not fit for a terminal: {told[:300]!r}")
    if int(str(process["grown_bytes"])) > PEAK_BYTES:
        wrong.append(f"memory grew by {process['grown_bytes']} bytes")
    return wrong


def main(module: str, folder: str) -> None:
    """Try every case of a module within limits."""
    resource.setrlimit(resource.RLIMIT_CPU, (PROCESSOR_S, PROCESSOR_S))
    cases = importlib.import_module(module).cases(Path(folder))
    before = peak_bytes()
    resource.setrlimit(resource.RLIMIT_AS, (ADDRESSES_BYTES, ADDRESSES_BYTES))
    resource.setrlimit(resource.RLIMIT_FSIZE, (2**30, 2**30))
    for case in cases:
        print(json.dumps(outcome(case)), flush=True)
    print(json.dumps({"name": "process", "grown_bytes": peak_bytes() - before}), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])

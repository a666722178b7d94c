"""What a command costs before its work begins: processor time and wall time of whole processes, start-up included.

Run from the repository: ``python benchmarks/bench_startup.py``. The file that is cleaned holds one short document, so all but a
few milliseconds of its line is start-up; each further worker of a large run pays the line of `imports` and the kernels' again.
Kernels and tables are in the cache (`megadata doctor --compile`).
"""

from __future__ import annotations

import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from harness import as_installed, machine

_REPEATS = 9
_KERNELS = "from megadata.kernels import base; base.compile_all(); [one.compile() for one in base._import_all()]"


def _once(command: list[str], environment: dict[str, str]) -> tuple[float, float]:
    """Seconds of processor, and on the clock."""
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run(command, check=True, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    took, after = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, took


def main() -> None:
    """Print a line for each of: an interpreter, help, imports, kernels, a command."""
    with tempfile.TemporaryDirectory() as base:
        source = Path(base) / "one.jsonl"
        environment = as_installed(Path(base))
        source.write_text(json.dumps({"id": "a", "text": "A short document, of one sentence."}) + "\n")
        python = sys.executable
        commands = {
            "interpreter": lambda number: [python, "-c", "import numpy"],
            "help": lambda number: [python, "-m", "megadata", "--help"],
            "imports": lambda number: [python, "-c", "import megadata.corpus.clean"],
            "kernels": lambda number: [python, "-c", _KERNELS],
            "clean": lambda number: [python, "-m", "megadata", "clean", str(source), "-o", f"{base}/out-{number}"],
        }
        for name, command in commands.items():
            runs = [_once(command(number), environment) for number in range(_REPEATS + 1)][1:]
            processor, clock = (statistics.median(times) for times in zip(*runs, strict=True))
            line = {"bench": f"startup/{name}", "unit": "s of processor", "median": round(processor, 3)}
            print(json.dumps({**line, "clock": round(clock, 3), "repeats": _REPEATS, "machine": machine()}), flush=True)


if __name__ == "__main__":
    main()

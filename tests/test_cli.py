"""The command line is a contract: names, options, help, errors, and how fast it answers."""

from __future__ import annotations

import os
import re
import resource
import subprocess
import sys
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from megadata.cli import cli
from megadata.commands.reference import reference
from megadata.commands.table import COMMANDS
from megadata.errors import MegadataError

ROOT = Path(__file__).parent.parent
GOLDEN = Path(__file__).parent / "golden" / "cli.txt"


def command(name: str) -> click.Command:
    found = cli.get_command(click.Context(cli), name)  # type: ignore[attr-defined]
    assert found is not None
    return found


def surface() -> str:
    """Every command with its arguments and options, one line each."""
    lines = []
    for name in COMMANDS:
        words = []
        for parameter in command(name).params:
            if isinstance(parameter, click.Argument):
                words.append(parameter.make_metavar(click.Context(command(name))))
            else:
                words.append("/".join(parameter.opts))
        lines.append(f"{name}: {' '.join(words)}")
    return "\n".join(lines) + "\n"


def run(*arguments: str) -> tuple[int, str]:
    result = subprocess.run(
        [sys.executable, "-m", "megadata", *arguments],
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        check=False,
    )
    return result.returncode, result.stdout + result.stderr


def test_commands_and_options_are_those_that_were_promised():
    assert surface() == GOLDEN.read_text(), "the command line changed: users' scripts depend on it"


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help_with_an_example(name):
    result = CliRunner().invoke(cli, [name, "--help"])
    assert result.exit_code == 0
    assert re.search(rf"Example:\n\s+megadata {name}\b", result.output)
    for parameter in command(name).params:
        if isinstance(parameter, click.Option) and "--help" not in parameter.opts:
            assert parameter.help, f"{name} {parameter.opts[0]} has no help"


def test_the_reference_in_the_docs_is_the_help():
    assert (ROOT / "docs" / "cli.md").read_text(encoding="utf-8") == reference(cli)  # type: ignore[arg-type]


def test_help_answers_in_half_a_second():
    """Of processor time, which holds on a busy machine as well."""
    times = []
    for _ in range(3):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        code, text = run("--help")
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        times.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
        assert code == 0
        assert "train-tokenizer" in text
    assert 0 < min(times) < 0.5


IMPORTS = """
import sys
for name in {names!r}:
    __import__(name, fromlist=["x"])
loaded = [m for m in {forbidden!r} if m in sys.modules]
assert not loaded, loaded
"""


@pytest.mark.parametrize(
    ("names", "forbidden"),
    [
        (["megadata.cli"], ["torch", "numpy", "numba", "pyarrow", "pydantic", "rich"]),
        (
            [
                "megadata.commands.corpus",
                "megadata.commands.dedup",
                "megadata.commands.tokens",
                "megadata.corpus.clean",
                "megadata.corpus.dedup",
            ],
            ["torch"],
        ),
        (["megadata.tokenize", "megadata.indexed.blend", "megadata.documents.inputs"], ["torch", "click"]),
        (["megadata"], ["torch", "numpy", "pyarrow", "click"]),
    ],
)
def test_imports_stay_light(names, forbidden):
    code = IMPORTS.format(names=names, forbidden=forbidden)
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, timeout=120, check=False
    )
    assert result.returncode == 0, result.stderr


def test_a_module_named_tokenize_does_not_break_tracebacks():
    code, text = run("clean", "no/such/file.jsonl", "-o", "out")
    assert code == 1
    assert text == "Error: no/such/file.jsonl: expected files to read, found none; check the path or the pattern\n"


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["cleen"], 2, "Error: no command 'cleen'; did you mean \"clean\"?"),
        (["clean"], 2, "Error: Missing argument 'INPUT...'."),
        (["clean", "x", "--rools", "web"], 2, "Error: No such option '--rools'. Did you mean '--rules'?"),
        (
            ["clean", "x", "-o", "y", "--source", "wep"],
            2,
            "'wep' is not one of 'auto', 'web', 'books', 'wikipedia', 'text'.",
        ),
        (["clean", "x", "-o", "y", "--engine", "ray"], 1, "Error: --engine ray: clusters are not part of this version"),
        (
            ["clean", "x", "-o", "y", "--shard", "1/4"],
            1,
            "Error: --shard: work on several machines is not part of this",
        ),
        (["clean", "x", "-o", "y", "--memory", "lots"], 1, "Error: size 'lots': expected a number with K, M, G or T"),
        (["clean", "x", "-o", "y", "--memory", "1M"], 1, "Error: --memory must be at least 64M, got 1048576 bytes"),
        (["clean", "x", "-o", "y", "--workers", "0"], 1, "Error: --workers must be at least 1, got 0"),
        (["dedup", "x", "-o", "y", "--threshold", "1.5"], 1, "threshold"),
        (["decontaminate", "x", "-o", "y"], 2, "Error: Missing option '--against'."),
        (["decontaminate", "-o", "y", "--against", "e", "x"], 2, "Error: Missing argument 'INPUT...'."),
        (
            ["decontaminate", "x", "-o", "y", "--against", "e", "--set", "shortest=20"],
            1,
            "Error: decontaminate: shortest must be at most words (13), got 20",
        ),
        (
            ["tokenize", "x", "-o", "y", "--tokenizer", "t", "--split", "train"],
            1,
            "Error: --split 'train': expected NAME=SHARE",
        ),
        (
            ["tokenize", "x", "-o", "y", "--tokenizer", "t", "--pack", "1"],
            1,
            "Error: tokenize: pack must be 2 to 4194304 tokens, got 1",
        ),
        (
            ["blend", "web", "-o", "b.yaml"],
            1,
            "Error: blend 'web': expected NAME=PREFIX, for example web=data/web-train",
        ),
        (["blend", "a=x:1", "b=y", "-o", "b.yaml"], 1, "Error: blend: 'b' has no weight while others have one"),
        (["run", "missing.yaml"], 1, "Error: missing.yaml: cannot be read: No such file or directory; check the path"),
        (["inspect", "missing"], 1, "Error: missing: nothing lies here; expected a file, a folder or the prefix of"),
        (
            ["why", "x", "--in", "missing"],
            1,
            "Error: missing: expected an output of clean or dedup with a keys.idx, or of tokenize, found none; check --in",
        ),
        (
            ["evaluate", "RUN", "--task", "lambada"],
            1,
            "Error: `megadata evaluate` is not part of this version; read the",
        ),
    ],
)
def test_a_mistake_is_one_line_with_what_to_do(tmp_path, monkeypatch, arguments, code, message):
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(cli, arguments)
    if isinstance(result.exception, MegadataError):
        raise result.exception
    assert result.exit_code == code, result.output
    errors = [line for line in result.output.splitlines() if line.startswith("Error: ")]
    assert len(errors) == 1
    assert message in errors[0]
    assert not any(tmp_path.iterdir()), "a wrong call left something behind"

"""Commands whose work is not part of this version: each takes its options and says what can be done meanwhile."""

from __future__ import annotations

from typing import NoReturn

import click

from megadata.commands.table import COMMANDS as TABLE
from megadata.errors import ConfigError

_MEANWHILE = {
    "finetune": "train from scratch with `megadata train`",
    "predict": "use `megadata generate` for text and masks",
    "evaluate": "read the validation loss per source that `megadata train` writes to metrics.jsonl",
    "plan": "`megadata train` checks the layout before it starts",
    "compare": "train each recipe with `megadata run` and compare the validation losses in metrics.jsonl",
    "import": "train from scratch with `megadata train`",
    "export": "the weights lie as safetensors in RUN/checkpoints",
    "report": "read stats.json of each stage and metrics.jsonl of the run",
}
_ARGUMENTS = {
    "finetune": "TASK --from RUN|HF_DIR --data FILES -o RUN",
    "predict": "RUN --data FILES -o predictions.jsonl",
    "evaluate": "RUN --task TASK --data FILE",
    "plan": "--config FILE --gpus N [--device h100]",
    "compare": "RECIPE|BLEND... --tokens 20M --config gpt-tiny",
    "import": "DIR -o RUN",
    "export": "RUN -o HF_DIR",
    "report": "DIR|RUN -o report.html",
}


def _make(name: str) -> click.Command:
    def run(words: tuple[str, ...]) -> NoReturn:
        raise ConfigError(f"`megadata {name}` is not part of this version; {_MEANWHILE[name]}")

    return click.Command(
        name,
        callback=run,
        params=[click.Argument(["words"], nargs=-1, type=click.UNPROCESSED, metavar=_ARGUMENTS[name])],
        help=f"{TABLE[name][1]}\n\nNot part of this version: {_MEANWHILE[name]}.\n\n"
        f"\b\nExample:\n  megadata {name} {_ARGUMENTS[name]}",
        context_settings={"ignore_unknown_options": True},
    )


COMMANDS: dict[str, click.Command] = {name: _make(name) for name in _MEANWHILE}

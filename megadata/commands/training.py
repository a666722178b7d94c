"""`train` and `generate`: samples to checkpoints, checkpoints to text."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from megadata.commands.options import PATH, make_table, output_option, print_json, print_table
from megadata.errors import ConfigError

if TYPE_CHECKING:
    from megadata.trainer import TrainResult


def _needs_torch() -> None:
    import importlib.util

    if importlib.util.find_spec("torch") is None:
        raise ConfigError("training and generation need torch; install it with `pip install '.[train]'`")


@click.command()
@click.option(
    "--config",
    "config_name",
    required=True,
    metavar="NAME|FILE",
    help="A shipped configuration (gpt-tiny, bert-tiny, ...) or a YAML file.",
)
@click.option("--data", required=True, type=PATH, metavar="BLEND", help="The blend.yaml to train on.")
@output_option("Folder of the run.")
@click.option("--nproc", type=int, default=1, show_default=True, metavar="N", help="Processes to train with.")
@click.option("--resume", default="auto", show_default=True, metavar="auto|never|PATH", help="Where to go on from.")
@click.option("--set", "overrides", multiple=True, metavar="A.B=C", help="Change one setting; may be repeated.")
@click.option("--json", "as_json", is_flag=True, help="Print the report as JSON.")
def train(
    config_name: str, data: Path, output: Path, nproc: int, resume: str, overrides: tuple[str, ...], as_json: bool
) -> None:
    """Train a GPT or a BERT on a blend of indexed datasets.

    A killed run goes on with the same command, at the last checkpoint, with the same tokens. On several machines start it with
    `torchrun -m megadata train ...`.

    \b
    Example:
      megadata train --config gpt-tiny --data blend.yaml -o runs/first --set trainer.steps=200
    """
    _needs_torch()
    from megadata.trainer import LiveLine, load_config
    from megadata.trainer import train as run

    result = run(
        load_config(config_name, overrides),
        data,
        output,
        nproc=nproc,
        resume=resume,
        report=LiveLine(output.name),
    )
    if as_json:
        from megadata.config import to_dict

        print_json(to_dict(result))
    else:
        show_train({output.name: result})


def show_train(results: dict[str, TrainResult]) -> None:
    """Results of runs as a table."""
    table = make_table("train", "run", "steps", "tokens", "loss at start", "loss at end", "validation", "tokens/s")
    for name, one in results.items():
        held_out = ", ".join(f"{source} {loss:.3f}" for source, loss in one.validation.items()) or "-"
        table.add_row(
            name,
            f"{one.steps:,}",
            f"{one.tokens:,}",
            f"{one.first_loss:.3f}",
            f"{one.last_loss:.3f}",
            held_out,
            f"{one.tokens_per_s:,.0f}",
        )
    print_table(table)


@click.command()
@click.argument("run", type=PATH)
@click.option("--prompt", required=True, metavar="TEXT", help="What to go on from; for a BERT, a text with [MASK].")
@click.option("--max-tokens", type=int, default=100, show_default=True, help="Most tokens to add.")
@click.option(
    "--temperature", type=float, default=0.8, show_default=True, help="0 takes the likeliest token each time."
)
@click.option("--top-k", type=int, metavar="K", help="Choose among the K likeliest tokens.")
@click.option("--top-p", type=float, metavar="P", help="Choose among the likeliest tokens that make up P.")
@click.option("--seed", type=int, default=0, show_default=True, help="Seed of the choice.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
def generate(
    run: Path,
    prompt: str,
    max_tokens: int,
    temperature: float,
    top_k: int | None,
    top_p: float | None,
    seed: int,
    as_json: bool,
) -> None:
    """Let a trained GPT go on from a prompt, or a trained BERT fill in [MASK].

    \b
    Example:
      megadata generate runs/first --prompt "The history of writing"
    """
    _needs_torch()
    from megadata.tasks.generate import load_run

    loaded = load_run(run)
    if loaded.kind == "bert":
        rows = loaded.fill_mask(prompt, k=5)
        if as_json:
            print_json(rows)
        else:
            _show_masks(rows)
        return
    options: dict[str, Any] = {"max_tokens": max_tokens, "temperature": temperature, "top_k": top_k, "top_p": top_p}
    if as_json:
        print_json(loaded.generate([prompt], seed=seed, **options))
        return
    click.echo(prompt, nl=False)
    loaded.generate([prompt], seed=seed, stream=lambda text: click.echo(text, nl=False), **options)
    click.echo()


def _show_masks(rows: Any) -> None:
    table = make_table("likeliest words", "mask", "word", "probability")
    for number, choices in enumerate(rows):
        for word, probability in choices:
            table.add_row(str(number), word, f"{100 * probability:.1f} %")
    print_table(table)


COMMANDS: dict[str, click.Command] = {"train": train, "generate": generate}

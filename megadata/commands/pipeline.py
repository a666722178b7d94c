"""`demo`, `init`, `run`, `why` and `doctor`: the whole at once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from megadata.commands.options import (
    FILE,
    FOLDER,
    PATH,
    Shared,
    inputs_argument,
    json_option,
    make_table,
    output_option,
    print_json,
    print_table,
    shared_options,
)

_STEPS = ("megadata.corpus.clean", "megadata.corpus.dedup", "megadata.tokenize.step")
"""What the workers of a whole recipe need."""


@click.command()
@click.option(
    "-o", "--output", type=FOLDER, default=Path("demo"), show_default=True, metavar="DIR", help="Folder for everything."
)
@shared_options
def demo(output: Path, shared: Shared) -> None:
    """Run the whole pipeline on text that this machine has: its Python documentation as web pages, a book and a small wiki.

    \b
    Example:
      megadata demo
    """
    settings = shared.settings(*_STEPS)
    from megadata.pipeline.demo import demo as run

    if shared.as_json:
        print_json(_results(run(output, settings, shared.overrides, listen=_train_line, say=_nothing)))
        return
    run(output, settings, shared.overrides, show=_show_stage, listen=_train_line, say=click.echo)


@click.command()
@inputs_argument
@output_option("The recipe to write.", FILE)
def init(inputs: tuple[str, ...], output: Path) -> None:
    """Look at files and write a recipe to edit.

    \b
    Example:
      megadata init crawl/ books/ wiki.xml.bz2 -o recipe.yaml
    """
    from megadata.pipeline.init import init as run

    report = run(inputs, output)
    for name, family in report.sources.items():
        click.echo(f"{name}: {family}")
    click.echo(f"{output} is written; edit it, then: megadata run {output}")


@click.command()
@click.argument("recipe", type=FILE)
@shared_options
def run(recipe: Path, shared: Shared) -> None:
    """Run all stages of a recipe: clean, dedup, decontaminate, tokenizer, tokenize, blend, train. What is done
    is skipped.

    \b
    Example:
      megadata run recipe.yaml
      megadata run recipe.yaml --set train.gpt.set="{trainer.steps: 100}"
    """
    settings = shared.settings(*_STEPS)
    from megadata.pipeline.recipe import load_recipe
    from megadata.pipeline.run import Pipeline

    loaded = load_recipe(recipe, shared.overrides)
    report = Pipeline(loaded, recipe.parent, settings).run(_quiet if shared.as_json else _show_stage, _train_line)
    if shared.as_json:
        print_json(_results(report))
    else:
        click.echo(f"everything is in {report.output}")


def _results(report: Any) -> dict[str, Any]:
    """What `run` and `demo` print for machines."""
    return {
        "output": report.output,
        "clean": {name: one.counts for name, one in report.cleaned.items()},
        "dedup": report.unique.as_dict() if report.unique else None,
        "decontaminate": report.decontaminated.as_dict() if report.decontaminated else None,
        "train": {
            name: {"first_loss": one.first_loss, "last_loss": one.last_loss, "validation": one.validation}
            for name, one in report.trained.items()
        },
    }


def _nothing(text: str) -> None:
    """What is said to people is not wanted."""


def _train_line(name: str) -> Any:
    """What hears of a training run."""
    from megadata.trainer.report import LiveLine

    return LiveLine(name)


def _quiet(stage: str, report: Any) -> None:
    """Stage reports are not wanted."""


def _show_stage(stage: str, report: Any) -> None:
    """Print the report of one stage as it ends."""
    from megadata.commands.corpus import show_clean
    from megadata.commands.decontaminate import show_decontaminate
    from megadata.commands.dedup import show_dedup
    from megadata.commands.tokens import show_tokenize
    from megadata.commands.training import show_train

    if stage == "clean":
        show_clean(report)
    elif stage == "dedup":
        show_dedup(report)
    elif stage == "decontaminate":
        show_decontaminate(report)
    elif stage == "tokenize":
        show_tokenize(report)
    elif stage == "train":
        show_train({report.run.name: report})


@click.command()
@click.argument("document", metavar="ID|URL|PATH")
@click.option("--in", "folder", required=True, type=FOLDER, metavar="DIR", help="Folder of a pipeline or of one stage.")
@json_option
def why(document: str, folder: Path, as_json: bool) -> None:
    """Tell what became of a document, stage by stage: kept or removed and why, where its tokens lie, and the training steps
    that saw it.

    \b
    Example:
      megadata why "enwiki:12:345" --in out
    """
    from megadata.pipeline.why import why as look

    found = look(document, folder)
    if as_json:
        print_json([{"stage": v.stage, "verdict": v.verdict, "record": v.record} for v in found])
        return
    table = make_table(document, "stage", "verdict", "text begins")
    for verdict in found:
        begins = " ".join(str(verdict.record.get("text", ""))[:60].split())
        table.add_row(verdict.stage, verdict.verdict, begins)
    print_table(table)


@click.command()
@click.argument("run", type=PATH)
@click.option("--step", type=int, required=True, metavar="N", help="Step of the run, counted from 1.")
@json_option
def trace(run: Path, step: int, as_json: bool) -> None:
    """Tell which documents a training step saw: id, URL, source and tokens of each, sample by sample.

    \b
    Example:
      megadata trace runs/first --step 100
    """
    from megadata.config import to_dict
    from megadata.pipeline.trace import trace as follow

    samples = follow(run, step)
    if as_json:
        print_json([to_dict(sample) for sample in samples])
        return
    table = make_table(f"{run}: step {step:,}", "sample", "source", "epoch", "document", "tokens", "URL")
    for one in samples:
        for number, span in enumerate(one.documents):
            head = (f"{one.sample:,}", one.source, str(one.epoch)) if number == 0 else ("", "", "")
            name = span.id if span.id is not None else f"{span.prefix} {span.document:,}"
            table.add_row(*head, name, f"{span.start:,} to {span.start + span.length:,}", span.url or "")
    print_table(table)


@click.command()
@click.option("--compile", "compile_kernels", is_flag=True, help="Compile all kernels now.")
@json_option
def doctor(compile_kernels: bool, as_json: bool) -> None:
    """Check this machine and installation.

    \b
    Example:
      megadata doctor --compile
    """
    from megadata.pipeline.doctor import doctor as check

    rows = check(compile_kernels)
    if as_json:
        print_json(rows)
        return
    table = make_table("megadata doctor", "", "")
    for name, value in rows.items():
        table.add_row(name, str(value))
    print_table(table)


COMMANDS: dict[str, click.Command] = {
    "demo": demo,
    "init": init,
    "run": run,
    "why": why,
    "trace": trace,
    "doctor": doctor,
}

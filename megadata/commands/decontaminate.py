"""`decontaminate`: text of evaluation sets taken out of training documents, or measured."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from megadata.commands.options import (
    Shared,
    inputs_argument,
    make_table,
    output_option,
    print_json,
    print_table,
    shared_options,
    tell_passed_over,
)

if TYPE_CHECKING:
    from megadata.corpus.decontaminate import DecontaminateReport

_AGAINST = "--against"
_SHOWN = 5
_NAME, _NGRAM = 32, 60
"""Characters of a set's name and of an n-gram that fit beside the numbers."""


class _ManyAgainst(click.Command):
    """A command whose `--against` takes all words up to the next option."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        spread: list[str] = []
        inside = False
        for word in args:
            if word == _AGAINST or word.startswith(f"{_AGAINST}="):
                inside = True
                spread += [_AGAINST, word.partition("=")[2]] if "=" in word else []
            elif word.startswith("-") and word != "-":
                inside = False
                spread.append(word)
            else:
                spread += [_AGAINST, word] if inside else [word]
        return super().parse_args(ctx, spread)


@click.command(cls=_ManyAgainst)
@inputs_argument
@output_option("Folder for the shards; each NAME=INPUT gets a folder of its own below.")
@click.option(
    _AGAINST,
    "against",
    multiple=True,
    required=True,
    metavar="EVAL...",
    help="Evaluation sets: all words up to the next option. NAME=EVAL makes one set of all files behind it.",
)
@click.option("--fields", metavar="A,B.C", help="Fields of evaluation items to look for; all texts in them by default.")
@click.option(
    "--mode",
    type=click.Choice(["cut", "drop", "report"]),
    default="cut",
    show_default=True,
    help="Cut matches out with their surroundings, drop whole documents, or only report.",
)
@shared_options
def decontaminate(
    inputs: tuple[str, ...],
    output: Path,
    against: tuple[str, ...],
    fields: str | None,
    mode: str,
    shared: Shared,
) -> None:
    """Remove text that evaluation sets contain.

    A match is 13 words in a row that a text of an evaluation item holds as well, or a whole text of 8 to 12 words; case and
    punctuation do not matter. It is cut out with 200 characters on either side, up to the ends of sentences. Pieces of fewer
    than 200 characters go, and so do documents that fall into more than ten pieces. contamination.parquet says which document
    held what of which item.

    \b
    Example:
      megadata decontaminate unique/web -o clear/web --against evals/
      megadata decontaminate unique/ -o report --mode report --against gsm8k=test.jsonl squad=dev.json --fields question
    """
    settings = shared.settings("megadata.corpus.decontaminate")
    from megadata.config import build, override
    from megadata.corpus.decontaminate import DecontaminateConfig
    from megadata.corpus.decontaminate import decontaminate as run
    from megadata.documents.inputs import expand

    values = {"mode": mode, "fields": tuple(part.strip() for part in fields.split(",")) if fields else ()}
    config = build(DecontaminateConfig, override(values, shared.overrides), "decontaminate")
    found = expand(inputs, exclude=output, read=config.read)
    tell_passed_over(found.passed_over)
    report = run(found, against, output, config, settings)
    if shared.as_json:
        print_json(report.as_dict())
    else:
        show_decontaminate(report)


def show_decontaminate(report: DecontaminateReport) -> None:
    """The report of `decontaminate` as tables."""
    from megadata.runtime.progress import human

    table = make_table("decontaminate", "source", "documents in", "unchanged", "cut", "pieces", "removed", "text kept")
    for source in report.sources:
        numbers = [report.of(name, source) for name in ("documents_in", "documents_kept", "documents_cut", "pieces")]
        shown = (f"{n:,}" for n in (*numbers, report.removed(source)))
        table.add_row(source, *shown, human(report.of("bytes_kept", source)))
    print_table(table)
    table = make_table("evaluation sets", "set", "items", "searched", "found", "%", "documents")
    for one in report.sets:
        name = one.name if len(one.name) <= _NAME else f"...{one.name[3 - _NAME :]}"
        share = f"{100 * one.matched / one.searched:.1f}" if one.searched else ""
        table.add_row(name, f"{one.items:,}", f"{one.searched:,}", f"{one.matched:,}", share, f"{one.documents:,}")
    print_table(table)
    if report.ngrams:
        table = make_table("found in most documents", "n-gram", "documents")
        for text, number in report.ngrams[:_SHOWN]:
            table.add_row(text if len(text) <= _NGRAM else f"{text[: _NGRAM - 3]}...", f"{number:,}")
        print_table(table)
    if report.ignored:
        click.echo(f"{report.ignored:,} n-grams stand in too many documents and were passed over", err=True)
    if report.current:
        click.echo(f"{report.output} was up to date", err=True)


COMMANDS: dict[str, click.Command] = {"decontaminate": decontaminate}

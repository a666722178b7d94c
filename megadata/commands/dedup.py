"""`dedup`: documents without copies, or without lines, sentences and strings that repeat."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from megadata.commands.options import (
    Shared,
    make_table,
    output_option,
    print_json,
    print_table,
    print_unread,
    shared_options,
    tell_passed_over,
    unread_in,
)
from megadata.errors import CorpusError

if TYPE_CHECKING:
    from megadata.corpus.dedup import DedupReport, Prediction, SelfTest
    from megadata.corpus.dedup.spans import SpanReport
    from megadata.documents.inputs import Inputs


@click.command()
@click.argument("inputs", nargs=-1, metavar="INPUT...")
@output_option("Folder for the shards; each NAME=INPUT gets a folder of its own below.", required=False)
@click.option(
    "--threshold", type=float, default=0.8, show_default=True, help="Jaccard similarity that makes a duplicate."
)
@click.option("--recall", type=float, default=0.9, show_default=True, help="Share of pairs at the threshold to find.")
@click.option(
    "--mode",
    type=click.Choice(["documents", "lines", "paragraphs", "sentences", "substrings"]),
    default="documents",
    show_default=True,
    help="What is compared: whole documents, spans that repeat across them, or any string of --set length=100 bytes.",
)
@click.option("--prefer", metavar="A,B,C", help="Sources whose documents are kept first, best first.")
@click.option("--exact-only", is_flag=True, help="Remove only documents with the same normalised text.")
@click.option(
    "--against", type=click.Path(path_type=Path), metavar="INDEX", help="Also remove what a saved index holds."
)
@click.option("--save-index", type=click.Path(path_type=Path), metavar="INDEX", help="Save an index of what is kept.")
@click.option("--index-with-sets", is_flag=True, help="Save shingle sets too, so that the index needs no shards.")
@click.option("--estimate", is_flag=True, help="Let an index whose shards are gone remove by an estimate.")
@click.option("--explain", metavar="ID", help="Show why a document of a finished output was removed.")
@click.option("--self-test", is_flag=True, help="Plant duplicates of known similarity and report what is found.")
@click.option("--dry-run", is_flag=True, help="Print expected recall, and the RAM, disk and time it takes.")
@shared_options
def dedup(
    inputs: tuple[str, ...],
    output: Path | None,
    threshold: float,
    recall: float,
    mode: str,
    prefer: str | None,
    exact_only: bool,
    against: Path | None,
    save_index: Path | None,
    index_with_sets: bool,
    estimate: bool,
    explain: str | None,
    self_test: bool,
    dry_run: bool,
    shared: Shared,
) -> None:
    """Remove exact and near duplicates.

    Every removed document is compared with the one kept in its place; both are named, with their similarity, in
    duplicates.parquet. Only a kept document removes others, so there are no chains. Other modes take lines, paragraphs or
    sentences out of documents where they repeat across the corpus, or all that lies in strings of 100 bytes that occur before;
    what went is in spans.parquet.

    \b
    Example:
      megadata dedup clean/web -o unique
      megadata dedup web=clean/web books=clean/books --prefer books,web -o unique
      megadata dedup clean/2026-11 -o unique/2026-11 --against index --save-index index
      megadata dedup unique/web -o lines/web --mode lines --set more_than=6
      megadata dedup unique/web -o once/web --mode substrings --set length=100
    """
    if output is None and not (dry_run or self_test):
        raise click.UsageError("Missing option '-o' / '--output'.")
    if explain and output is not None:
        from megadata.corpus.dedup import explain as run_explain

        click.echo(run_explain(output, explain))
        return
    if not inputs:
        raise click.UsageError("Missing argument 'INPUT...'.")
    preferred = tuple(prefer.split(",")) if prefer else ()
    if mode != "documents":
        _refuse_options_of_documents(mode)
        _dedup_spans(inputs, output, mode, preferred, shared)
        return
    settings = shared.settings("megadata.corpus.dedup")
    from megadata.config import build, override
    from megadata.corpus.dedup import DedupConfig, predict
    from megadata.corpus.dedup import dedup as run
    from megadata.corpus.dedup import self_test as run_self_test

    values = {
        "threshold": threshold,
        "recall": recall,
        "prefer": preferred,
        "exact_only": exact_only,
        "index_with_sets": index_with_sets,
        "estimate": estimate,
    }
    config = build(DedupConfig, override(values, shared.overrides), "dedup")
    found = _expand(inputs, output, config)
    if dry_run:
        predicted = predict(found, config, settings, save_index is not None)
        print_json({"curve": config.curve(), **predicted.as_dict()}) if shared.as_json else show_dry_run(
            config, predicted
        )
        return
    if self_test:
        tested = run_self_test(found, config, settings)
        print_json(tested.as_dict()) if shared.as_json else show_self_test(tested)
        if not tested.passed:
            raise CorpusError(
                "--self-test: what was found differs from what these settings promise; keep the inputs and report it"
            )
    elif output is not None:
        report = run(found, output, config, settings, against, save_index)
        print_json(report.as_dict()) if shared.as_json else show_dedup(report)


_OF_DOCUMENTS = (
    "threshold", "recall", "exact_only", "against", "save_index", "index_with_sets", "estimate", "self_test", "dry_run",
)  # fmt: skip


def _refuse_options_of_documents(mode: str) -> None:
    """An option that a mode would pass over is a mistake."""
    context = click.get_current_context()
    for name in _OF_DOCUMENTS:
        if context.get_parameter_source(name) is click.core.ParameterSource.COMMANDLINE:
            option = "--" + name.replace("_", "-")
            raise click.UsageError(f"{option} is for --mode documents; --mode {mode} takes --set (see docs/dedup.md)")


def _expand(inputs: tuple[str, ...], output: Path | None, config: Any) -> Inputs:
    from megadata.documents.inputs import expand

    found = expand(inputs, exclude=output, read=config.read)
    tell_passed_over(found.passed_over)
    return found


def _dedup_spans(
    inputs: tuple[str, ...], output: Path | None, mode: str, prefer: tuple[str, ...], shared: Shared
) -> None:
    if output is None:
        raise click.UsageError("Missing option '-o' / '--output'.")
    settings = shared.settings(f"megadata.corpus.dedup.{'substrings' if mode == 'substrings' else 'spans'}")
    from megadata.config import build, override

    if mode == "substrings":
        from megadata.corpus.dedup.substrings import SubstringConfig, dedup_substrings

        strings = build(SubstringConfig, override({"prefer": prefer}, shared.overrides), f"dedup --mode {mode}")
        report = dedup_substrings(_expand(inputs, output, strings), output, strings, settings)
    else:
        from megadata.corpus.dedup.spans import SpanConfig, dedup_spans
        from megadata.corpus.dedup.spans.config import DEFAULTS

        values = {"mode": mode, **DEFAULTS[mode], "prefer": prefer}
        config = build(SpanConfig, override(values, shared.overrides), f"dedup --mode {mode}")
        report = dedup_spans(_expand(inputs, output, config), output, config, settings)
    print_json(report.as_dict()) if shared.as_json else show_spans(report)


def show_curve(config: Any) -> None:
    """The chance that a pair is found, by its similarity."""
    bands, rows = config.shape
    table = make_table(f"{bands} bands of {rows} rows", "similarity", "found")
    for similarity in (0.5, 0.6, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95, 1.0):
        table.add_row(f"{similarity:.2f}", f"{100 * config.probability(similarity):.1f} %")
    print_table(table)


def show_dry_run(config: Any, predicted: Prediction) -> None:
    """The report of `dedup --dry-run`: the curve, what the work takes, and what that supposes."""
    from megadata.runtime.progress import human

    show_curve(config)
    title = f"{predicted.documents:,} documents, {human(predicted.text_bytes)} of text, {predicted.workers} workers"
    table = make_table(title, "", "at least", "at most")
    for heading, rows, total, unit in (
        ("time", predicted.seconds, predicted.total_seconds, "seconds"),
        ("disk", predicted.disk, predicted.total_disk, "bytes"),
        ("RAM", predicted.ram, predicted.total_ram, "bytes"),
    ):
        for name, bounds in [*rows.items(), (f"all {heading}" if heading != "disk" else "most disk", total)]:
            shown = (_duration(one) if unit == "seconds" else human(one) for one in (bounds.least, bounds.most))
            table.add_row(f"{heading}: {name}" if name in rows else name, *shown, end_section=name not in rows)
    print_table(table)
    click.echo(
        f"Measured on {predicted.sampled:,} documents, {100 * predicted.share:.3g} % of the input, and scaled. "
        f"At least: {100 * predicted.candidates:.1f} % of all documents share a band value with another, as in the sample; "
        "copies that lie far apart are not seen in it. At most: all do. Supposed are workers that share the work evenly, "
        "and a disk that keeps up; what an index of --against adds is not counted."
    )


def _duration(seconds: float) -> str:
    """Seconds as people say them."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes:02d} min"
    return f"{minutes} min {rest:02d} s" if minutes else f"{seconds:.1f} s"


def show_self_test(tested: SelfTest) -> None:
    """The report of `dedup --self-test` as a table, and in a sentence."""
    bands, rows = tested.shape
    title = f"{bands} bands of {rows} rows, threshold {tested.threshold}"
    table = make_table(title, "similarity", "pairs", "expected", "found", "due", "removed")
    for row in tested.rows:
        shares = (f"{100 * share:.1f} %" for share in (row.expected, row.compared, row.due, row.removed))
        table.add_row(f"{row.similarity:.3f}" + ("" if row.agrees else " !"), f"{row.pairs:,}", *shares)
    print_table(table)
    click.echo(
        f"{tested.documents:,} documents of the inputs got a copy each; {tested.removed:,} documents were removed, "
        f"{tested.wrong:,} of them less similar than the threshold to the one that was kept. "
        f"{tested.own_duplicates:,} documents of the sample were duplicates before, and left out."
    )


def show_dedup(report: DedupReport) -> None:
    """The report of `dedup` as a table."""
    from megadata.runtime.progress import human

    table = make_table("dedup", "source", "documents in", "kept", "exact", "near", "text kept")
    for row in report.rows():
        table.add_row(
            row.source, *(f"{n:,}" for n in (row.documents, row.kept, row.exact, row.near)), human(row.bytes_kept)
        )
    print_table(table)
    if report.counts.get("against"):
        click.echo(f"{report.counts['against']:,} of the removed documents are copies of what the index holds")
    print_unread(unread_in(report.counts))
    if report.current:
        click.echo(f"{report.output} was up to date", err=True)


def show_spans(report: SpanReport) -> None:
    """The report of the modes of spans as a table."""
    from megadata.runtime.progress import human

    title = f"dedup: {report.mode}"
    columns = ("source", "documents", "kept", "changed", report.spans or report.mode, "removed", "text kept")
    table = make_table(title, *columns)
    for row in report.rows():
        numbers = (row.documents, row.kept, row.changed, row.spans, row.removed)
        share = row.bytes_kept / row.bytes_in if row.bytes_in else 1.0
        table.add_row(row.source, *(f"{n:,}" for n in numbers), f"{human(row.bytes_kept)}, {100 * share:.1f} %")
    print_table(table)
    if report.current:
        click.echo(f"{report.output} was up to date", err=True)


COMMANDS: dict[str, click.Command] = {"dedup": dedup}

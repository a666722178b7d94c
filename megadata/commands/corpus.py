"""`clean`: raw files to clean documents."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from megadata.commands.options import (
    FOLDER,
    PATH,
    SHARED_NAMES,
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
from megadata.errors import ConfigError, CorpusError

if TYPE_CHECKING:
    from megadata.corpus.clean import CleanReport
    from megadata.corpus.train_quality import QualityReport
    from megadata.runtime.settings import RunSettings


@click.command()
@click.argument("inputs", nargs=-1, metavar="INPUT...")
@output_option("Folder for the shards; with --train-quality, file for the model.", PATH, required=False)
@click.option(
    "--source",
    type=click.Choice(["auto", "web", "books", "wikipedia", "text"]),
    default="auto",
    show_default=True,
    help="What kind of text the inputs hold; decides the rules.",
)
@click.option(
    "--rules",
    metavar="NAME|FILE,...",
    help="A shipped list, a rule-set such as gopher@paper, a YAML file, or several with commas; none for no rules.",
)
@click.option("--languages", metavar="en,de", help="Keep documents in these languages only.")
@click.option(
    "--url-rules", multiple=True, metavar="FILE", help="Drop documents whose URL this list names; may be repeated."
)
@click.option("--newest", is_flag=True, help="Of several crawls of one URL, keep the newest.")
@click.option(
    "--removed",
    type=click.Choice(["text", "ids", "none"]),
    default="text",
    show_default=True,
    help="What to keep of removed documents.",
)
@click.option(
    "--format", "form", type=click.Choice(["jsonl.zst", "parquet"]), default="jsonl.zst", help="Form of the shards."
)
@click.option("--scores", is_flag=True, help="Write all measured quantities beside the shards.")
@click.option(
    "--from-scores",
    type=FOLDER,
    metavar="DIR",
    help="Instead of INPUT: an output with scores; decide again by other thresholds, without measuring anything.",
)
@click.option("--dry-run", is_flag=True, help="With --from-scores: print what the rules would do, and stop.")
@click.option("--compare", nargs=2, metavar="RULES RULES", help="List where two rule-sets disagree.")
@click.option("--train-quality", nargs=2, metavar="GOOD BAD", help="Train a quality classifier from two piles of text.")
@click.option("--text-field", default="text", show_default=True, help="Field or column with the text.")
@click.option("--id-field", default="id", show_default=True, help="Field or column with the document's id.")
@click.option(
    "--extractor", default="blocks", show_default=True, help="HTML to text: blocks (fast), resiliparse or trafilatura."
)
@shared_options
@click.pass_context
def clean(
    context: click.Context,
    inputs: tuple[str, ...],
    output: Path | None,
    source: str,
    rules: str | None,
    languages: str | None,
    url_rules: tuple[str, ...],
    newest: bool,
    removed: str,
    form: str,
    scores: bool,
    from_scores: Path | None,
    dry_run: bool,
    compare: tuple[str, str] | None,
    train_quality: tuple[str, str] | None,
    text_field: str,
    id_field: str,
    extractor: str,
    shared: Shared,
) -> None:
    """Read raw files of any kind and keep the documents worth training on.

    INPUT is a file, a folder, a glob, @list, - or a URL: JSON, csv, Parquet, Arrow, WARC, WET, HTML, MediaWiki dumps, EPUB,
    plain text, or tar and zip archives of them. What is removed lies in DIR/removed, each document with its reason and value;
    `megadata why ID --in DIR` looks one up.

    \b
    Example:
      megadata clean crawl.warc.gz -o clean/web
      megadata clean books/ --source books -o clean/books --set quality.too_few_words=20
      megadata clean --from-scores clean/web -o clean/strict --set quality.too_few_words=200
      megadata clean --train-quality curated/ crawl-sample.warc.gz -o good.quality
    """
    if from_scores:
        given = [p.opts[-1] for p in context.command.params if _given(context, p.name)]
        _from_scores(inputs, output, from_scores, rules, languages, url_rules, removed, form, dry_run, given, shared)
        return
    if not (inputs or train_quality):
        raise click.UsageError("Missing argument 'INPUT...'.")
    if output is None:
        raise click.UsageError("Missing option '-o' / '--output'.")
    if dry_run:
        raise ConfigError("--dry-run: expected --from-scores DIR, found INPUT, which would have to be measured first")
    settings = shared.settings("megadata.corpus.clean")
    from megadata.config import build
    from megadata.corpus.clean import CleanConfig
    from megadata.corpus.clean import clean as run
    from megadata.documents.inputs import expand, some
    from megadata.documents.source import read_options

    fields = {"text_field": text_field, "id_field": id_field, "extractor": extractor}
    read, overrides = read_options(fields, shared.overrides)
    if train_quality:
        asked = {
            "INPUT": inputs,
            "--languages": languages,
            "--url-rules": url_rules,
            "--newest": newest,
            "--scores": scores,
            "--compare": compare,
        }
        for option in (name for name, value in asked.items() if value):
            raise ConfigError(f"--train-quality: expected two piles of text and no {option}; leave it out")
        _train_quality(train_quality, output, source, rules, read, overrides, settings, shared)
        return
    if compare:
        asked = {
            "--rules": rules,
            "--languages": languages,
            "--url-rules": url_rules,
            "--newest": newest,
            "--scores": scores,
        }
        for option in (name for name, value in asked.items() if value):
            raise ConfigError(f"--compare: expected two lists and no {option}; write it into a list's file")
        _compare(inputs, output, source, compare, read, overrides, settings, shared)
        return
    values: dict[str, Any] = {
        "rules": rules,
        "overrides": overrides,
        "languages": tuple(part.strip() for part in languages.split(",")) if languages else (),
        "url_rules": url_rules,
        "newest": newest,
        "removed": removed,
        "form": form,
        "scores": scores,
        "read": read,
    }
    config = build(CleanConfig, values, "clean")
    found = expand(inputs, None if source == "auto" else source, exclude=output, read=read)
    report = run(found, output, config, settings)
    if shared.as_json:
        passed = {"passed_over": report.passed_over}
        print_json({"output": report.output, "current": report.current, "counts": report.counts, **passed})
    else:
        show_clean(report)
    if not report.total("documents_in"):
        unread = sum(unread_in(report.counts).values())
        why = (
            f"{unread:,} record{'s were' if unread > 1 else ' was'} left out, as listed above"
            if unread
            else "all are empty"
        )
        raise CorpusError(f"{some(inputs)}: expected documents, found none; {why}")


_DECIDED = ("output", "rules", "languages", "url_rules", "removed", "form", "from_scores", "dry_run")
"""Options of `clean` that go with --from-scores; the others say how raw files are read."""


def _given(context: click.Context, name: str | None) -> bool:
    source = context.get_parameter_source(name or "")
    return source is not None and source.name in ("COMMANDLINE", "ENVIRONMENT")


def _from_scores(
    inputs: tuple[str, ...],
    output: Path | None,
    folder: Path,
    rules: str | None,
    languages: str | None,
    url_rules: tuple[str, ...],
    removed: str,
    form: str,
    dry_run: bool,
    given: list[str],
    shared: Shared,
) -> None:
    """Decide again from measured quantities."""
    from megadata.corpus.fromscores import FromScores, clean_from_scores

    if inputs:
        raise ConfigError(f"--from-scores: expected no INPUT, found {inputs[0]}; the scores tell what was read")
    for option in given:
        if option.lstrip("-").replace("-", "_") not in (*_DECIDED, "format", *SHARED_NAMES, "set", "json"):
            raise ConfigError(f"--from-scores: expected no {option}, which is settled when scores are measured")
    if output is None and not dry_run:
        raise click.UsageError("Missing option '-o' / '--output' (or --dry-run).")
    work = FromScores.of(
        folder,
        rules,
        shared.overrides,
        tuple(part.strip() for part in languages.split(",")) if languages else (),
        url_rules,
        removed if "--removed" in given else None,
        form if "--format" in given else None,
    )
    report = work.preview() if output is None or dry_run else clean_from_scores(work, output, shared.settings())
    if shared.as_json:
        moved = dict(zip(("back", "gone"), report.moved, strict=True)) if report.moved is not None else {}
        print_json({"output": report.output, "current": report.current, "counts": report.counts, **moved})
    else:
        show_clean(report)


def _compare(
    inputs: tuple[str, ...],
    output: Path,
    source: str,
    names: tuple[str, str],
    read: Any,
    overrides: Any,
    settings: RunSettings,
    shared: Shared,
) -> None:
    """Ask two rule lists and show where they disagree."""
    from megadata.corpus.compare import compare as run
    from megadata.documents.inputs import expand

    if overrides:
        raise ConfigError(
            f"--compare: expected no changes to rules, found --set {overrides[0]}; write them into a file"
        )
    found = expand(inputs, None if source == "auto" else source, exclude=output, read=read)
    report = run(found, output, names, settings, read)
    if shared.as_json:
        print_json(report.plain())
        return
    table = make_table(f"A: {names[0]}, B: {names[1]}", "A", "B", "documents", "for example")
    for (a, b), number in report.pairs.items():
        examples = ", ".join(one["id"] for one in report.examples.get((a, b), []))
        table.add_row(a or "keeps", b or "keeps", f"{number:,}", examples)
    print_table(table)
    for (a, b), examples_of in report.examples.items():
        for one in examples_of[:1]:
            click.echo(f"{a or 'A keeps'} / {b or 'B keeps'}: {one['id']}: {' '.join(one['excerpt'].split())[:100]}")
    print_unread(report.unread)
    if not report.pairs:
        click.echo("no document was found in the inputs", err=True)
    tell_passed_over(found.passed_over)
    if report.current:
        click.echo(f"{report.output} was up to date", err=True)


def _train_quality(
    names: tuple[str, str],
    output: Path,
    source: str,
    rules: str | None,
    read: Any,
    overrides: Any,
    settings: RunSettings,
    shared: Shared,
) -> None:
    """Train a quality model and show how it judges documents that it has not seen."""
    from megadata.config import build, override
    from megadata.corpus.rules import load_rules
    from megadata.corpus.train_quality import QualityConfig
    from megadata.corpus.train_quality import train_quality as run
    from megadata.documents.inputs import expand

    config = build(QualityConfig, override({}, overrides), "--train-quality")
    family = None if source == "auto" else source
    good, bad = (expand((name,), family, read=read) for name in names)
    first = load_rules(rules) if rules else None
    report = run(good, bad, output, config, settings, read, first)
    if shared.as_json:
        print_json(report.plain())
    else:
        show_quality(report)
    tell_passed_over([*good.passed_over, *bad.passed_over])


def show_quality(report: QualityReport) -> None:
    """The report of `clean --train-quality` as tables."""
    from megadata.runtime.progress import human

    table = make_table("trained on", "pile", "documents", "text", "repeated", "without words", "unreadable")
    for name, pile in report.piles.items():
        numbers = (f"{n:,}" for n in (pile.repeated, pile.wordless, pile.unreadable))
        table.add_row(name, f"{pile.documents:,}", human(pile.bytes), *numbers)
    print_table(table)
    if report.both:
        click.echo(f"{report.both:,} texts are in both piles and were left out of both", err=True)
    held_out = report.held_out
    table = make_table(f"{held_out.documents:,} documents held out", "drop", "good kept", "bad kept")
    for one in held_out.thresholds:
        table.add_row(f"quality < {one.threshold:g}", f"{one.good:.1%}", f"{one.bad:.1%}")
    print_table(table)
    click.echo(
        f"AUC {held_out.auc:.3f}, accuracy {held_out.accuracy:.1%} on documents held out; model: {report.output}"
    )


def show_clean(report: CleanReport) -> None:
    """The report of `clean` as tables."""
    from megadata.runtime.progress import human

    table = make_table("clean", "source", "documents in", "kept", "removed", "unreadable", "text in", "text kept")
    for name in report.sources:
        into, kept = report.of("documents_in", name), report.of("documents_kept", name)
        unreadable = sum(int(v) for k, v in report.counts.items() if k.startswith(f"unreadable|{name}|"))
        sizes = (human(report.of("bytes_in", name)), human(report.of("bytes_kept", name)))
        table.add_row(name, f"{into:,}", f"{kept:,}", f"{into - kept:,}", f"{unreadable:,}", *sizes)
    print_table(table)
    _show_rules(report)
    print_unread(unread_in(report.counts))
    if report.moved is not None:
        back, gone = (f"{number:,}" for number in report.moved)
        click.echo(f"beside the scored output: {back} documents that were removed stay, {gone} that stayed go")
    _tell_of_heavy_losses(report)
    tell_passed_over(report.passed_over)
    if report.current:
        click.echo(f"{report.output} was up to date", err=True)


_FEW, _MANY = 0.1, 20
"""Share of documents under which so few were kept that it is told, and documents from which the share means something."""


def _tell_of_heavy_losses(report: CleanReport) -> None:
    """Rules that fit the text badly remove nearly all of it."""
    into, kept = report.total("documents_in"), report.total("documents_kept")
    if kept >= _FEW * into or (into < _MANY and kept):
        return
    first = next(iter(report.reasons()), None)
    by = f", {first[0]} alone removed {first[1]:,}: look at some with `megadata why`" if first else ""
    click.echo(f"only {kept:,} of {into:,} documents were kept{by}" if kept else f"no document was kept{by}", err=True)


def _show_rules(report: CleanReport) -> None:
    """What was removed, rule by rule, in the order in which rules are asked."""
    from megadata.corpus.step import COUNTED

    rules = dict(report.rules())
    rows = {reason: (documents, size) for reason, documents, size in report.reasons()}
    if rows:
        why = make_table("removed because", "rule", "when", "documents", "text", "alone")
        from megadata.runtime.progress import human

        for name in sorted(rows, key=lambda name: list(rules).index(name) if name in rules else len(rules)):
            rule = rules.get(name)
            alone = ("", "") if rule is None else (rule.condition, f"{rule.only:,}")
            why.add_row(name, alone[0], f"{rows[name][0]:,}", human(rows[name][1]), alone[1])
        print_table(why)
    counted = {name: rule for name, rule in rules.items() if rule.condition == COUNTED and rule.matched}
    if counted:
        table = make_table("found", "what", "documents", "times")
        for name, rule in counted.items():
            table.add_row(name, f"{rule.matched:,}", f"{int(rule.total):,}")
        print_table(table)
    idle = [name for name, rule in rules.items() if not rule.matched]
    if idle and report.total("documents_in"):
        shown = ", ".join(idle[:6]) + (f" and {len(idle) - 6} more" if len(idle) > 6 else "")
        click.echo(f"{len(idle)} of {len(rules)} rules matched nothing: {shown}", err=True)


COMMANDS: dict[str, click.Command] = {"clean": clean}

"""`train-tokenizer` and `tokenize`: documents to token ids."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from megadata.commands.options import (
    FILE,
    PATH,
    Shared,
    inputs_argument,
    make_table,
    output_option,
    print_json,
    print_table,
    print_unread,
    shared_options,
    tell_passed_over,
    unread,
)

if TYPE_CHECKING:
    from megadata.tokenize.report import TokenizeReport
    from megadata.tokenize.train import TrainReport


@click.command("train-tokenizer")
@inputs_argument
@output_option("The tokenizer.json to write.", FILE)
@click.option("--vocab-size", type=int, required=True, metavar="N", help="Entries, special tokens included.")
@click.option(
    "--pattern", default="gpt2", show_default=True, help="How text is split: gpt2, cl100k (llama3), o200k or qwen."
)
@click.option(
    "--special",
    multiple=True,
    metavar="TOKEN",
    help="Special token, or gpt, bert, both, none for the usual ones; repeat for several, in order of their ids.",
)
@click.option(
    "--kind",
    type=click.Choice(["bpe", "wordpiece"]),
    default="bpe",
    show_default=True,
    help="Byte-level BPE or WordPiece.",
)
@shared_options
def train_tokenizer(
    inputs: tuple[str, ...],
    output: Path,
    vocab_size: int,
    pattern: str,
    special: tuple[str, ...],
    kind: str,
    shared: Shared,
) -> None:
    """Train a byte-level BPE (or WordPiece) tokenizer on documents.

    An output named tokenizer.json gets a tokenizer_config.json beside it, so that transformers loads the folder. --set
    pad_vocab_to=128 pads the vocabulary to a multiple.

    \b
    Example:
      megadata train-tokenizer unique/ -o tokenizer.json --vocab-size 32768
    """
    settings = shared.settings("megadata.tokenize.train")
    from megadata.config import build, override
    from megadata.corpus.language import identify_all
    from megadata.documents.inputs import expand
    from megadata.documents.source import read_options
    from megadata.tokenize.train import TokenizerConfig
    from megadata.tokenize.train import train_tokenizer as run

    values: dict[str, Any] = {"vocab_size": vocab_size, "pattern": pattern, "kind": kind}
    if special:
        values["special"] = special
    read, overrides = read_options({}, shared.overrides)
    config = build(TokenizerConfig, override(values, overrides), "train-tokenizer")
    found = expand(inputs, read=read)
    tell_passed_over(found.passed_over)
    report = run(found, output, config, settings, read, identify_all)
    if shared.as_json:
        from megadata.config import to_dict

        quality = [{**to_dict(one), **one.ratios} for one in report.quality]
        print_json({**to_dict(report), "quality": quality})
    else:
        show_tokenizer(report)


def show_tokenizer(report: TrainReport) -> None:
    """The report of `train-tokenizer` as a table."""
    from megadata.runtime.progress import human

    corpus = f"{human(report.bytes)} in {report.documents:,} documents"
    click.echo(f"{report.path}: {report.kind}, {report.vocabulary:,} entries, trained by {report.trainer} on {corpus}")
    title = f"on a sample of {human(report.quality[0].bytes)}; {report.unused:,} entries are not used in the {report.unused_in}"
    table = make_table(title, "language", "text", "bytes/token", "tokens/word", "words split")
    unknown = any(one.unknown for one in report.quality)
    if unknown:
        table.add_column("unknown", justify="right")
    whole = max(report.quality[0].bytes, 1)
    for one in report.quality:
        share = f"{100 * one.bytes / whole:.1f} %"
        row = [
            one.language,
            share,
            f"{one.bytes_per_token:.2f}",
            f"{one.fertility:.2f}",
            f"{100 * one.split_share:.1f} %",
        ]
        table.add_row(*row, *([f"{100 * one.unknown / max(one.tokens, 1):.2f} %"] if unknown else []))
    print_table(table)
    print_unread(unread(report.problems))
    for note in report.notes:
        click.echo(note, err=True)


@click.command()
@inputs_argument
@click.option(
    "-o", "--output", "prefix", required=True, type=PATH, metavar="PREFIX", help="Prefix of the .bin and .idx files."
)
@click.option(
    "--tokenizer", required=True, metavar="FILE", help="tokenizer.json, .tiktoken ranks or a folder with one."
)
@click.option("--by", metavar="FIELD", help="One dataset for each value of source, language or a metadata field.")
@click.option("--split", metavar="NAME=SHARE,...", help="One dataset for each split, by a hash of the document's id.")
@click.option("--no-eod", is_flag=True, help="Do not end documents with the end-of-document token.")
@click.option("--sentences", is_flag=True, help="Store sentences as sequences, as BERT needs them.")
@click.option("--no-shuffle", is_flag=True, help="Keep the order of the input.")
@click.option("--seed", type=int, default=0, show_default=True, help="Seed of the document shuffle.")
@click.option(
    "--dtype",
    type=click.Choice(["auto", "uint16", "int32", "megatron"]),
    default="auto",
    show_default=True,
    help="Width of a token; megatron follows Megatron's own limit of 65,500 for uint16.",
)
@click.option("--repeat", metavar="FIELD=TABLE", help="Copies by a field, as cluster_size=2-4:2,5-:3.")
@click.option("--pack", type=int, metavar="LENGTH", help="Pack documents into rows of so many tokens.")
@click.option("--max-tokens-per-file", metavar="N", help="Start a new file after this many tokens.")
@shared_options
def tokenize(
    inputs: tuple[str, ...],
    prefix: Path,
    tokenizer: str,
    by: str | None,
    split: str | None,
    no_eod: bool,
    sentences: bool,
    no_shuffle: bool,
    seed: int,
    dtype: str,
    repeat: str | None,
    pack: int | None,
    max_tokens_per_file: str | None,
    shared: Shared,
) -> None:
    """Write documents as an indexed dataset: PREFIX.bin and PREFIX.idx, as Megatron reads them, with sidecars.

    With --by and --split each value and split gets a dataset of its own, PREFIX-VALUE-SPLIT.

    \b
    Example:
      megadata tokenize unique/ -o data/web --tokenizer tokenizer.json --split train=.98,validation=.02
    """
    settings = shared.settings("megadata.tokenize.step")
    from megadata.config import build, override
    from megadata.documents.inputs import expand
    from megadata.documents.source import read_options
    from megadata.tokenize.config import TokenizeConfig, parse_count, parse_split
    from megadata.tokenize.step import tokenize as run

    values = {
        "by": by,
        "split": parse_split(split) if split else None,
        "eod": not no_eod,
        "sentences": sentences,
        "shuffle": not no_shuffle,
        "seed": seed,
        "dtype": dtype,
        "repeat": repeat,
        "pack": pack,
        "max_tokens_per_file": parse_count(max_tokens_per_file) if max_tokens_per_file else None,
    }
    read, overrides = read_options({}, shared.overrides)
    config = build(TokenizeConfig, override(values, overrides), "tokenize")
    found = expand(inputs, read=read)
    tell_passed_over(found.passed_over)
    report = run(found, prefix, tokenizer, config, settings, read)
    if shared.as_json:
        from megadata.config import to_dict

        print_json(to_dict(report))
    else:
        show_tokenize(report)


def show_tokenize(report: TokenizeReport) -> None:
    """The report of `tokenize` as a table."""
    from megadata.runtime.progress import human

    ratio = f"{report.bytes / report.tokens:.2f} bytes/token" if report.tokens else "no tokens"
    table = make_table(f"tokenize: {human(report.bytes)}, {ratio}", "dataset", "documents", "sequences", "tokens")
    for one in report.datasets:
        table.add_row(Path(one.prefix).name, f"{one.documents:,}", f"{one.sequences:,}", f"{one.tokens:,}")
    print_table(table)
    print_unread(unread(report.problems))
    if report.copies:
        click.echo(f"{report.copies:,} copies were written besides the {report.documents:,} documents")
    for note in report.notes:
        click.echo(note, err=True)
    if report.skipped:
        click.echo("the datasets were up to date", err=True)


COMMANDS: dict[str, click.Command] = {"train-tokenizer": train_tokenizer, "tokenize": tokenize}

"""`blend`, `inspect`, `verify` and `merge`: indexed datasets after they are written."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from megadata.commands.options import (
    FILE,
    PATH,
    json_option,
    make_table,
    output_option,
    print_json,
    print_pieces,
    print_table,
)
from megadata.errors import ConfigError

if TYPE_CHECKING:
    from megadata.indexed.blend import Blend


def _named(arguments: tuple[str, ...], option: str) -> dict[str, tuple[list[str], float | None]]:
    """``NAME=PREFIX[,PREFIX...][:WEIGHT]`` as name -> (prefixes, weight); a name given twice adds prefixes."""
    found: dict[str, tuple[list[str], float | None]] = {}
    for argument in arguments:
        name, equals, rest = argument.partition("=")
        if not equals or not name or not rest:
            raise ConfigError(f"{option} {argument!r}: expected NAME=PREFIX, for example web=data/web-train")
        before, colon, last = rest.rpartition(":")
        weight: float | None = None
        if colon:
            try:
                weight = float(last)
                rest = before
            except ValueError:
                weight = None
        prefixes, earlier = found.get(name, ([], None))
        found[name] = (prefixes + rest.split(","), weight if weight is not None else earlier)
    return found


def _values(arguments: tuple[str, ...], option: str) -> dict[str, float]:
    found = {}
    for argument in arguments:
        name, _, value = argument.partition("=")
        try:
            found[name] = float(value)
        except ValueError:
            raise ConfigError(f"{option} {argument!r}: expected NAME=NUMBER, for example books=4") from None
    return found


@click.command()
@click.argument("sources", nargs=-1, required=True, metavar="NAME=PREFIX[:WEIGHT]...|BLEND")
@output_option("The blend.yaml to write.", FILE)
@click.option(
    "--weigh-by",
    type=click.Choice(["tokens", "documents", "equal"]),
    help="What the weights multiply; tokens by default, unless weights are given.",
)
@click.option(
    "--temperature", type=float, default=1.0, show_default=True, metavar="T", help="Above 1 flattens the shares."
)
@click.option("--max-epochs", multiple=True, metavar="NAME=N", help="Most times a source may be seen.")
@click.option("--tokens", metavar="N", help="Print the plan for this many tokens (10B, 300M).")
@click.option("--validation", multiple=True, metavar="NAME=PREFIX", help="Held-out data of a source.")
@click.option("--split", metavar="949,50,1", help="Cut sources without validation data into contiguous parts.")
@click.option("--seed", type=int, default=0, show_default=True, help="Seed of the order of samples.")
@click.option("--sequence-length", type=int, default=1024, show_default=True, help="Tokens of a sample, for the plan.")
@click.option(
    "--picture", type=PATH, metavar="FILE", help="Draw the plan: shares and epochs over the run (.png, .svg, .pdf)."
)
@json_option
def blend(
    sources: tuple[str, ...],
    output: Path,
    weigh_by: str | None,
    temperature: float,
    max_epochs: tuple[str, ...],
    tokens: str | None,
    validation: tuple[str, ...],
    split: str | None,
    seed: int,
    sequence_length: int,
    picture: Path | None,
    as_json: bool,
) -> None:
    """Weigh indexed datasets against each other and write blend.yaml, which `train` reads.

    A source may itself be a blend.yaml. Groups of sources and weights that change during a run are written into the file by hand;
    with the file alone as argument the command prints the plan of it.

    \b
    Example:
      megadata blend web=data/web-train:3 books=data/books-train:1 \\
          --validation web=data/web-validation -o blend.yaml --tokens 1B
      megadata blend blend.yaml -o blend.yaml --tokens 1B --picture blend.png
    """
    from megadata.indexed.blend import Blend, Data

    if picture is not None and tokens is None:
        raise ConfigError("--picture draws the plan of a run; give --tokens, for example --tokens 10B")
    if len(sources) == 1 and "=" not in sources[0] and sources[0].endswith(BLEND_FILES):
        changed = (weigh_by, temperature != 1, max_epochs, validation, split, seed)
        if any(changed):
            raise ConfigError(f"blend {sources[0]}: weights, validation and seed of a whole blend stand in its file")
        _finish(Blend.load(sources[0]), output, tokens, sequence_length, picture, as_json)
        return
    named = _named(sources, "blend")
    weights = {name: weight for name, (_, weight) in named.items() if weight is not None}
    if weights and len(weights) < len(named):
        missing = next(name for name in named if name not in weights)
        raise ConfigError(f"blend: {missing!r} has no weight while others have one; write {missing}=PREFIX:WEIGHT")
    parts = None
    if split is not None:
        try:
            parts = [int(part) for part in split.split(",")]
        except ValueError:
            raise ConfigError(f"--split {split!r}: expected three numbers, for example 949,50,1") from None
    data: dict[str, Blend | list[Data]] = {
        name: Blend.load(prefixes[0]) if len(prefixes) == 1 and prefixes[0].endswith(BLEND_FILES) else list(prefixes)
        for name, (prefixes, _) in named.items()
    }
    made = Blend.of(
        data,
        weights or None,
        weigh_by=weigh_by,  # type: ignore[arg-type]
        temperature=temperature,
        seed=seed,
        max_epochs=_values(max_epochs, "--max-epochs") or None,
        validation={name: prefixes for name, (prefixes, _) in _named(validation, "--validation").items()} or None,
        split=parts,
    )
    _finish(made, output, tokens, sequence_length, picture, as_json)


BLEND_FILES = (".yaml", ".yml")


def _finish(
    made: Blend, output: Path, tokens: str | None, sequence_length: int, picture: Path | None, as_json: bool
) -> None:
    """Write a blend, print its plan and draw it."""
    budget = _count(tokens) if tokens else None
    plan = made.plan(budget, sequence_length) if budget else None
    made.fingerprints()
    if picture is not None and budget:
        from megadata.indexed.samples import Samples
        from megadata.pipeline.blendpicture import draw_schedule

        samples = made.samples(sequence_length)
        if not isinstance(samples, Samples):
            raise ConfigError("--picture: Megatron's order has no schedule to draw; leave it out")
        draw_schedule(samples, budget, picture)
    made.save(output)
    if as_json:
        from megadata.config import to_dict

        print_json({"output": output, "plan": to_dict(plan)})
    elif plan is not None:
        click.echo("\n".join(plan.lines()))


def _count(text: str) -> int:
    """Tokens in ``10B`` or ``300M``."""
    suffixes = {"K": 10**3, "M": 10**6, "B": 10**9, "T": 10**12}
    number, suffix = (text[:-1], text[-1].upper()) if text and text[-1].upper() in suffixes else (text, "")
    try:
        return int(float(number) * suffixes.get(suffix, 1))
    except ValueError:
        raise ConfigError(f"--tokens {text!r}: expected a number with K, M, B or T, for example 10B") from None


@click.command()
@click.argument("path")
@click.option("--document", type=int, metavar="N", help="Show document N of an indexed dataset as text.")
@json_option
def inspect(path: str, document: int | None, as_json: bool) -> None:
    """Show what a file, folder or URL holds: raw text, shards, an indexed dataset, a blend, a tokenizer, a run.

    \b
    Example:
      megadata inspect data/web-train
      megadata inspect data/web-train --document 0
    """
    from megadata.pipeline.inspect import inspect as run

    found = run(path, document)
    if as_json:
        print_json(found.as_dict())
        return
    table = make_table(f"{path}: {found.kind}", "", "")
    for name, value in found.rows.items():
        table.add_row(name, str(value))
    print_table(table)
    if found.text:
        click.echo(found.text)
    if found.pieces:
        print_pieces(found.pieces)


@click.command()
@click.argument("prefix")
@click.option("--tokenizer", type=PATH, metavar="T", help="Check the ids against this tokenizer.")
@click.option("--write-meta", is_flag=True, help="Write the sidecar that foreign files lack.")
@click.option("--fast", is_flag=True, help="Sizes and structure only.")
@json_option
def verify(prefix: str, tokenizer: Path | None, write_meta: bool, fast: bool, as_json: bool) -> None:
    """Check that an indexed dataset is whole: sizes, structure, digests, ids within the vocabulary, ends of documents.

    With --write-meta, Megatron's own .bin and .idx become a dataset of ours: every id is checked against the tokenizer, the token
    that ends documents is found, and the sidecar is written.

    \b
    Example:
      megadata verify data/web-train
      megadata verify foreign/text_document --tokenizer tokenizer.json --write-meta
    """
    from megadata.config import to_dict
    from megadata.indexed.adopt import adopt
    from megadata.indexed.verify import verify as run
    from megadata.runtime.executor import default_workers
    from megadata.tokenize.sidecar import adopt_tokenizer

    if write_meta and fast:
        raise ConfigError("--write-meta reads every token; leave out --fast")
    workers, ends = default_workers(), ""
    with adopt_tokenizer(tokenizer, prefix, save=write_meta) as vocabulary:
        if write_meta:
            ends = adopt(prefix, vocabulary, workers=workers).ends
    report = run(prefix, deep=not fast, vocabulary=vocabulary, workers=workers)
    if as_json:
        print_json(to_dict(report) | ({"ends": ends} if write_meta else {}))
    else:
        click.echo(
            f"{prefix}: {report.documents:,} documents, {report.sequences:,} sequences, {report.tokens:,} tokens"
        )
        if write_meta:
            click.echo(f"{prefix}.meta.json: written; {ends}")
        click.echo(f"checked: {', '.join(report.checked)}")
        for problem in report.problems:
            click.echo(f"problem: {problem}")
        click.echo("nothing is wrong" if report.ok else f"{len(report.problems)} problems")
    if not report.ok:
        raise SystemExit(1)


@click.command()
@click.argument("prefixes", nargs=-1, required=True, metavar="PREFIX...")
@click.option("-o", "--output", required=True, type=PATH, metavar="PREFIX", help="Prefix of the merged dataset.")
@click.option("--shuffle", is_flag=True, help="Shuffle the documents.")
@click.option("--seed", type=int, default=0, show_default=True, help="Seed of the shuffle.")
@json_option
def merge(prefixes: tuple[str, ...], output: Path, shuffle: bool, seed: int, as_json: bool) -> None:
    """Put indexed datasets together at disk speed; no token is decoded.

    \b
    Example:
      megadata merge data/web-0 data/web-1 -o data/web
    """
    from megadata.config import to_dict
    from megadata.indexed.merge import merge as run
    from megadata.runtime.executor import default_workers

    report = run(list(prefixes), str(output), shuffle=shuffle, seed=seed, workers=default_workers())
    if as_json:
        print_json(to_dict(report))
    else:
        click.echo(f"{output}: {report.documents:,} documents, {report.tokens:,} tokens")


COMMANDS: dict[str, click.Command] = {
    "blend": blend,
    "inspect": inspect,
    "verify": verify,
    "merge": merge,
}

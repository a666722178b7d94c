"""`export-dataset` and `import-dataset`: indexed datasets as other tools' files, and back."""

from __future__ import annotations

from pathlib import Path

import click

from megadata.commands.options import PATH, json_option, print_json


@click.command("export-dataset")
@click.argument("prefix")
@click.option("-o", "--output", required=True, type=PATH, metavar="DIR", help="Folder to write to.")
@click.option(
    "--to",
    "target",
    required=True,
    type=click.Choice(["nanogpt", "llmc", "litdata", "mds", "arrow", "parquet"]),
    help="Whose format.",
)
@json_option
def export_dataset(prefix: str, output: Path, target: str, as_json: bool) -> None:
    """Write an indexed dataset in another tool's format.

    \b
    Example:
      megadata export-dataset data/web-train -o nano --to nanogpt
    """
    from megadata.indexed.foreign.run import export_dataset as run
    from megadata.indexed.reader import IndexedDataset
    from megadata.runtime.progress import Reporter

    data = IndexedDataset(prefix)
    with Reporter.console().stage("export", data.tokens * data.dtype.itemsize) as stage:
        paths = run(prefix, output, target, advance=stage.advance)  # type: ignore[arg-type]
    if as_json:
        print_json({"outputs": paths})
    else:
        for path in paths:
            click.echo(f"{path}: written")


@click.command("import-dataset")
@click.argument("path", type=PATH)
@click.option("-o", "--output", required=True, type=PATH, metavar="PREFIX", help="Prefix of the dataset to write.")
@click.option(
    "--from",
    "kind",
    type=click.Choice(["nanogpt", "llmc", "litdata", "mds", "arrow", "parquet", "datatrove", "olmo", "tntidx"]),
    help="Whose format; told from names and first bytes by default.",
)
@click.option("--tokenizer", type=PATH, metavar="T", help="The tokenizer of the ids: checks them, and tells the EOD.")
@click.option("--eod", type=int, metavar="ID", help="The id between documents, in files without their bounds.")
@click.option("--column", metavar="NAME", help="The column of tokens, in tables and MDS.")
@click.option(
    "--dtype", metavar="TYPE", help="Type of a token, in files that do not say it: uint16, uint32, int32 or int64."
)
@json_option
def import_dataset(
    path: Path,
    output: Path,
    kind: str | None,
    tokenizer: Path | None,
    eod: int | None,
    column: str | None,
    dtype: str | None,
    as_json: bool,
) -> None:
    """Read another tool's token files into an indexed dataset: a file, a folder or a pattern.

    \b
    Example:
      megadata import-dataset nano/train.bin -o data/train --tokenizer tokenizer.json
    """
    from megadata.config import to_dict
    from megadata.indexed.foreign.run import import_dataset as run
    from megadata.runtime.progress import Reporter
    from megadata.tokenize.sidecar import adopt_tokenizer

    files = path.rglob("*") if path.is_dir() else [path] if path.is_file() else path.parent.glob(path.name + "*")
    total = sum(one.stat().st_size for one in files if one.is_file())
    with adopt_tokenizer(tokenizer, output) as vocabulary, Reporter.console().stage("import", total) as stage:
        made = run(
            path,
            output,
            kind=kind,  # type: ignore[arg-type]
            dtype=dtype,
            eod=eod,
            column=column,
            vocabulary=vocabulary,
            advance=stage.advance,
        )
    meta = made.meta
    if as_json:
        print_json({"kind": made.kind, "prefix": str(output), "meta": to_dict(meta)})
        return
    click.echo(f"{output}: {meta.documents:,} documents, {meta.tokens:,} {meta.dtype} tokens, read as {made.kind}")
    if meta.eod is not None:
        ends = "every document ends" if meta.appended_eod else "documents need not end"
        click.echo(f"{ends} with the EOD {meta.eod}")
    click.echo("the order of documents is that of the files; `megadata merge --shuffle` shuffles them")


COMMANDS: dict[str, click.Command] = {"export-dataset": export_dataset, "import-dataset": import_dataset}

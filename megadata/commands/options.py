"""Options that many commands share, and what they become."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click
import orjson

from megadata.errors import ConfigError

if TYPE_CHECKING:
    from rich.table import Table

    from megadata.runtime.settings import RunSettings

F = TypeVar("F", bound=Callable[..., Any])

FOLDER = click.Path(file_okay=False, path_type=Path)
FILE = click.Path(dir_okay=False, path_type=Path)
PATH = click.Path(path_type=Path)


@dataclass(frozen=True, slots=True)
class Shared:
    """Values of the shared options."""

    workers: int | None
    memory: str
    engine: str
    address: str | None
    shard: str | None
    overrides: tuple[str, ...]
    events: Path | None
    as_json: bool

    def settings(self, *modules: str) -> RunSettings:
        """Run settings, or one sentence about what does not fit. Several workers begin to load the modules that do the work."""
        from megadata.runtime import server
        from megadata.runtime.executor import default_workers
        from megadata.runtime.progress import Reporter
        from megadata.runtime.settings import RunSettings, parse_size

        if self.engine != "local" or self.address is not None:
            raise ConfigError("--engine ray: clusters are not part of this version; use --engine local")
        if self.shard is not None:
            raise ConfigError("--shard: work on several machines is not part of this version; run the command on one")
        settings = RunSettings(
            workers=self.workers if self.workers is not None else default_workers(),
            memory=parse_size(self.memory),
            progress=Reporter.console(self.events),
        )
        if modules and settings.workers > 1:
            server.prepare(*modules)
        return settings


_OPTIONS = (
    click.option("--workers", type=int, metavar="N", help="Worker processes; all cores by default."),
    click.option("--memory", default="4G", show_default=True, metavar="SIZE", help="Memory for sorting and tables."),
    click.option(
        "--engine", type=click.Choice(["local", "ray"]), default="local", show_default=True, help="Where work runs."
    ),
    click.option("--address", metavar="A", help="Address of the Ray cluster."),
    click.option("--shard", metavar="I/N", help="Do part I of N of the work, for job arrays."),
    click.option("--set", "overrides", multiple=True, metavar="A.B=C", help="Change one setting; may be repeated."),
    click.option("--events", type=FILE, metavar="FILE", help="Append progress as JSON lines to FILE."),
    click.option("--json", "as_json", is_flag=True, help="Print the report as JSON."),
)
SHARED_NAMES = ("workers", "memory", "engine", "address", "shard", "overrides", "events", "as_json")


def shared_options(function: F) -> F:
    """Add the options that every command over data takes; the function gets them as `shared`."""
    import functools

    @functools.wraps(function)
    def with_shared(**values: Any) -> Any:
        shared = Shared(**{name: values.pop(name) for name in SHARED_NAMES})
        return function(shared=shared, **values)

    wrapped: Any = with_shared
    for option in reversed(_OPTIONS):
        wrapped = option(wrapped)
    result: F = wrapped
    return result


def json_option(function: F) -> F:
    """Add --json alone."""
    return click.option("--json", "as_json", is_flag=True, help="Print the report as JSON.")(function)


def output_option(help_text: str, kind: click.Path = FOLDER, required: bool = True) -> Callable[[F], F]:
    """The -o of a command."""
    return click.option("-o", "--output", required=required, type=kind, metavar="PATH", help=help_text)


def inputs_argument(function: F) -> F:
    """The inputs: files, folders, globs, @list, - or URLs, each optionally NAME=INPUT."""
    return click.argument("inputs", nargs=-1, required=True, metavar="INPUT...")(function)


def tell_passed_over(names: list[str]) -> None:
    """Say on standard error which files below folders no source reads."""
    if names:
        from megadata.documents.inputs import some

        click.echo(f"{len(names)} files of no kind that is read were passed over: {some(names)}", err=True)


def print_json(content: Any) -> None:
    """A report for machines."""
    click.echo(orjson.dumps(content, option=orjson.OPT_INDENT_2, default=str).decode())


def print_table(table: Table) -> None:
    """A report for people, on standard output."""
    from rich.console import Console

    console = Console(highlight=False)
    console.print(table)


def print_pieces(pieces: Sequence[str]) -> None:
    """A text in tokens: on a terminal each on a ground of its own, elsewhere with ``|`` between them."""
    from rich.console import Console
    from rich.text import Text

    console = Console(highlight=False)
    if not console.is_terminal:
        click.echo("|".join(pieces))
        return
    text = Text()
    for number, piece in enumerate(pieces):
        shown = piece.replace("\n", "\u23ce\n")  # a token that is a line break is seen too
        text.append(shown, style="on grey27" if number % 2 else "on grey42")
    console.print(text)


def unread(problems: Mapping[str, int]) -> dict[str, int]:
    """Reasons of what was set aside, or left out by design, as reports name them."""
    skipped = "skipped:"  # `megadata.documents.source.Problems.skip`
    return {
        f"skipped: {reason.removeprefix(skipped)}" if reason.startswith(skipped) else f"unreadable: {reason}": number
        for reason, number in problems.items()
    }


def unread_in(counts: Mapping[str, float]) -> dict[str, int]:
    """The same from the counters of a run, all sources together."""
    found: Counter[str] = Counter()
    for key, number in counts.items():
        kind, _, reason = [*key.split("|"), "", ""][:3]
        if kind in ("unreadable", "skipped"):
            found[f"{kind}: {reason}"] += int(number)
    return found


def print_unread(records: Mapping[str, int]) -> None:
    """Records that are no documents, by what they are."""
    if records:
        table = make_table("not read", "what", "records")
        for what, number in sorted(records.items(), key=lambda item: (-item[1], item[0])):
            table.add_row(what, f"{number:,}")
        print_table(table)


def make_table(title: str, *columns: str) -> Table:
    """A table whose first column is text and the others numbers."""
    from rich import box
    from rich.table import Table

    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD)
    for index, column in enumerate(columns):
        table.add_column(
            column,
            justify="left" if index == 0 else "right",
            no_wrap=index == 0,
            overflow="fold",
            min_width=len(column),
        )
    return table

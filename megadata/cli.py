"""The table of commands. Each is imported when it is called, so that `megadata --help` answers at once."""

from __future__ import annotations

import importlib
import sys
from typing import Any

import click

from megadata.commands.table import COMMANDS
from megadata.errors import MegadataError


class Table(click.Group):
    """A group whose commands are imported when they are used."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Names in the order of the table: the order of the work."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        """Import one command."""
        if name not in COMMANDS:
            return None
        module = importlib.import_module(f"megadata.commands.{COMMANDS[name][0]}")
        command: click.Command = module.COMMANDS[name]
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in COMMANDS.items()])

    def resolve_command(self, ctx: click.Context, args: list[str]) -> Any:
        """Find the command, or name the nearest one."""
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError:
            from megadata.config import nearest

            raise click.UsageError(f"no command {args[0]!r}{nearest(args[0], COMMANDS)}", ctx) from None

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; an error of ours becomes one line."""
        try:
            return super().invoke(ctx)
        except MegadataError as error:
            raise click.ClickException(str(error)) from error


@click.command(
    cls=Table,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
    epilog="Begin with `megadata demo`; then `megadata init YOUR_FILES -o recipe.yaml` and `megadata run recipe.yaml`.",
)
@click.version_option(package_name="megadata", message="megadata %(version)s")
def cli() -> None:
    """From raw web pages, books and Wikipedia dumps to a trained GPT or BERT."""


def main() -> None:
    """Entry point of the `megadata` command."""
    try:
        sys.exit(cli.main(standalone_mode=False) or 0)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        click.echo(
            "stopped; what is finished is kept and the same command goes on from there, training from its last checkpoint",
            err=True,
        )
        sys.exit(130)
    except BrokenPipeError:
        sys.stderr.close()
        sys.exit(1)

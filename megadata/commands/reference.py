"""`docs/cli.md`, generated from the commands' own help.

``python -m megadata.commands.reference docs/cli.md`` writes it; with ``--check`` it fails when the file differs.
"""

from __future__ import annotations

import sys
from pathlib import Path

import click

WIDTH = 100


def reference(group: click.Group) -> str:
    """Markdown with the help of the group and of each command."""
    lines = ["# Command line", "", "Generated from `--help`; `make docs` checks that both agree.", ""]
    settings = {**group.context_settings, "max_content_width": WIDTH, "terminal_width": WIDTH}
    context = click.Context(group, info_name="megadata", **settings)
    lines += ["```", group.get_help(context).rstrip(), "```", ""]
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        if command is not None:
            inner = click.Context(
                command, info_name=name, parent=context, max_content_width=WIDTH, terminal_width=WIDTH
            )
            lines += [f"## megadata {name}", "", "```", command.get_help(inner).rstrip(), "```", ""]
    return "\n".join(lines)


def main(arguments: list[str], group: click.Group) -> int:
    """Write or check the file; the exit code."""
    check = "--check" in arguments
    (path,) = (Path(a) for a in arguments if not a.startswith("-"))
    text = reference(group)
    if not check:
        path.write_text(text, encoding="utf-8")
        return 0
    if path.exists() and path.read_text(encoding="utf-8") == text:
        return 0
    click.echo(f"{path} differs from --help; run `python -m megadata.commands.reference {path}`", err=True)
    return 1


if __name__ == "__main__":
    import importlib

    sys.exit(main(sys.argv[1:], importlib.import_module("megadata.cli").cli))

"""Render modules as HTML with pydoc: the program of the child process that `pages` starts.

Importing a module runs its code, so this happens in a process of its own, with an environment of its own. A page must not
depend on the machine: values of mutable data, memory addresses and absolute paths are left out.

Standard input is JSON, ``{"modules": [...], "output": FILE, "seconds": N}``. One JSON line for every module is appended to
FILE. A module that takes longer than N seconds ends the process; the parent starts another for the rest.
"""

from __future__ import annotations

import faulthandler
import html
import importlib
import inspect
import json
import os
import pydoc
import random
import re
import site
import sys
import warnings
from collections.abc import Iterator
from types import ModuleType
from typing import Any

SPLIT_BYTES = 90_000
"""A module whose page is larger than this becomes one page for every documented class and function."""

MIN_DOCSTRING = 900
"""Shortest docstring, in characters, that gets such a page."""

ADDRESS = re.compile(r"(?: |&nbsp;)at(?: |&nbsp;)0x[0-9a-fA-F]{5,}")

ENVIRONMENT = {"HOME": "/home/reader", "PATH": "/usr/bin:/bin", "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
"""All that a rendered module may see of its surroundings: some show `os.environ` in a signature."""


def _is_plain(value: object) -> bool:
    """Whether `value` is written the same on every machine that runs this Python."""
    if isinstance(value, tuple):
        return len(value) <= 12 and all(_is_plain(item) for item in value)
    return value is None or type(value) in (bool, int, float, complex, str, bytes)


class Renderer(pydoc.HTMLDoc):
    """pydoc's HTML without what belongs to this machine."""

    def preformat(self, text: str) -> str:
        """Docstrings keep their lines; spaces stay spaces, and the style sheet says that they count."""
        return self.escape(text.expandtabs()).replace("\n", "<br>\n")

    def filelink(self, url: str, path: str) -> str:
        """Name the source file below the folder it was imported from."""
        for root in sorted(sys.path, key=len, reverse=True):
            if root and path.startswith(root.rstrip(os.sep) + os.sep):
                path = path[len(root) :].lstrip(os.sep)
                break
        else:
            path = os.path.basename(path)  # noqa: PTH119
        return f'<a href="source/{path}">{path}</a>'

    def docother(self, object: Any, name: str | None = None, mod: str | None = None, *ignored: Any) -> str:
        """Show a value only where it is a constant."""
        left = f"<strong>{name}</strong>" if name else ""
        return f"{left} = {self.repr(object)}" if _is_plain(object) else left


def _roots() -> list[str]:
    """Absolute paths of this machine that may turn up in values and docstrings, longest first."""
    found = {*sys.path, sys.executable, os.getcwd(), os.path.expanduser("~"), site.getuserbase()}  # noqa: PTH109, PTH111
    found |= {prefix for prefix in (sys.prefix, sys.base_prefix) if prefix not in ("/usr", "/usr/local")}
    found |= {os.path.realpath(path) for path in found if path}
    return sorted((path for path in found if len(path) > 4), key=lambda path: (-len(path), path))


def _without_chance() -> None:
    """Give modules that draw random numbers while they are imported, for an example in a docstring, the same ones each time."""
    random.seed(0)
    os.urandom = random._urandom = bytes  # type: ignore[attr-defined]  # n zeros: what numpy's seeds come from


def _members(module: ModuleType) -> Iterator[tuple[str, Any]]:
    """Public classes and functions of `module` with a docstring worth a page, each object once."""
    package = module.__name__.partition(".")[0]
    seen: set[int] = set()
    for name in sorted(getattr(module, "__all__", None) or vars(module)):
        member = getattr(module, name, None)
        if name.startswith("_") or inspect.ismodule(member) or id(member) in seen or not callable(member):
            continue
        if not (getattr(member, "__module__", None) or package).startswith(package):
            continue
        if len(inspect.getdoc(member) or "") >= MIN_DOCSTRING:
            seen.add(id(member))
            yield name, member


def render(name: str, renderer: Renderer, roots: list[str]) -> list[dict[str, str]]:
    """The pages of one module: ``name``, ``title`` and ``body`` (HTML below the heading of a site)."""
    module = importlib.import_module(name)

    def page(title: str, body: str) -> dict[str, str]:
        body = ADDRESS.sub("", body)
        for root in roots:
            body = body.replace(root, "")
        return {"name": title, "title": f"Python: {title}", "body": body}

    whole = renderer.document(module, name)
    if len(whole) <= SPLIT_BYTES:
        return [page(name, whole)]
    pages = []
    for member_name, member in _members(module):
        if inspect.isclass(member) or inspect.isroutine(member):
            body = renderer.document(member, member_name, name)
        else:
            text = renderer.markup(inspect.getdoc(member) or "", renderer.preformat)
            body = f"<dl><dt><strong>{html.escape(member_name)}</strong></dt><dd>{text}</dd></dl>"
        if len(body) <= SPLIT_BYTES:
            heading = f'<h2>{name}.{member_name}</h2><p>Part of <a href="{name}.html">{name}</a>.</p>'
            pages.append(page(f"{name}.{member_name}", heading + body))
    return pages


def main() -> None:
    """Serve one order from the parent."""
    order = json.load(sys.stdin)
    warnings.simplefilter("ignore")
    renderer, roots = Renderer(), _roots()
    os.environ.clear()
    os.environ.update(ENVIRONMENT)
    _without_chance()
    with open(order["output"], "a", encoding="utf-8") as out:
        for name in order["modules"]:
            faulthandler.dump_traceback_later(order["seconds"], exit=True)
            try:
                pages = render(name, renderer, roots)
            except Exception:
                pages = []  # absent from this Python, or not importable here
            faulthandler.cancel_dump_traceback_later()
            out.write(json.dumps({"module": name, "pages": pages}) + "\n")
            out.flush()


if __name__ == "__main__":
    main()

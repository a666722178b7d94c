"""Pages of the demo's web sites, as pydoc renders them in a child process."""

from __future__ import annotations

import json
import os
import site
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import megadata
from megadata.errors import CorpusError

SECONDS_PER_MODULE = 20.0
"""A module that has not been rendered after this many seconds is passed over."""

KEPT_VARIABLES = ("PATH", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "SYSTEMROOT", "VIRTUAL_ENV")


@dataclass(frozen=True, slots=True)
class Page:
    """One page before it is dressed as a page of a site."""

    name: str
    """Dotted name of the module, class or function it documents."""
    title: str
    body: str
    """HTML of the article, without the site around it."""


def _environment(folder: Path) -> dict[str, str]:
    """What the child needs to start like this process, and what makes a page the same for every user of this Python."""
    package = str(Path(megadata.__file__).resolve().parents[1])
    paths = [package, *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))]
    return {
        **{name: os.environ[name] for name in KEPT_VARIABLES if name in os.environ},
        "HOME": str(folder),
        "LC_ALL": "C.UTF-8",
        "TZ": "UTC",
        "PYTHONPATH": os.pathsep.join(paths),
        "PYTHONUSERBASE": site.getuserbase(),
        "PYTHONHASHSEED": "0",
        "PYTHONDONTWRITEBYTECODE": "1",
    }


def render_modules(modules: Iterable[str], seconds: float = SECONDS_PER_MODULE) -> list[Page]:
    """Render `modules` in the order given; those that cannot be imported, crash or take too long give no page.

    Raises
    ------
    CorpusError
        If not one module could be rendered.
    """
    wanted = list(modules)
    pages: list[Page] = []
    errors = ""
    with tempfile.TemporaryDirectory(prefix="megadata-demo-") as temporary:
        folder = Path(temporary).resolve()
        rest = wanted
        while rest:
            output = folder / "pages.jsonl"
            output.write_bytes(b"")
            order = json.dumps({"modules": rest, "output": str(output), "seconds": seconds})
            child = subprocess.run(
                [sys.executable, "-m", f"{__package__}.render"],
                input=order,
                cwd=folder,
                env=_environment(folder),
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                text=True,
                errors="replace",
                check=False,
            )
            errors = child.stderr
            done = [json.loads(line) for line in output.read_text("utf-8").splitlines() if line.endswith("}")]
            pages += [Page(**page) for answer in done for page in answer["pages"]]
            rest = rest[len(done) + 1 :]  # the next one ended the process: go on behind it
    if not pages:
        last = errors.strip().splitlines()[-1:] or ["no message"]
        raise CorpusError(
            f"demo corpus: expected pydoc to render at least one of {len(wanted)} modules with {sys.executable}, "
            f"found none ({last[0]}); check that this Python has its standard library"
        )
    return pages

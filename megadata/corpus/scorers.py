"""Scorers: quantities that are not counted but asked for, from a quality model's file or a function of the user's own.

A filter names them under ``scorers``, name -> what gives the values:

- a quality model's file, as ``megadata clean --train-quality`` writes it;
- ``package.module:function`` or ``file.py:function``;
- a name registered under the entry point group ``megadata.scorers``.

A function takes the texts of a batch, a list of strings, and answers a number for each. NaN stands for "undefined", which no
threshold drops. Scorers are loaded in each process when they are first asked.
"""

from __future__ import annotations

import functools
import hashlib
import importlib
import importlib.util
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points, packages_distributions, version
from pathlib import Path
from typing import Any

import numpy as np

from megadata.corpus.classifier import load_model
from megadata.documents.batch import DocBatch
from megadata.errors import ConfigError, WorkerError
from megadata.kernels.base import F64

GROUP = "megadata.scorers"


@dataclass(frozen=True, slots=True)
class Scorer:
    """Something that gives every document of a batch a number."""

    about: str
    score: Callable[[DocBatch], F64]
    identity: str
    """By what the values follow: a model's digest, or a function's name with its file's digest or its version."""
    most: float | None
    """The largest value, where values are from 0 up to it; None where nothing is known of them."""


@functools.cache
def registered() -> dict[str, EntryPoint]:
    """Scorers of other packages by name."""
    return {entry.name: entry for entry in entry_points(group=GROUP)}


def beside(folder: Path, spec: str) -> str:
    """`spec` with the file it names found in `folder`."""
    file, colon, function = spec.rpartition(":")
    if spec in registered() or (colon and not file.endswith(".py")):
        return spec
    return f"{folder / file}:{function}" if colon else str(folder / spec)


def scorer(spec: str) -> Scorer:
    """What `spec` stands for, loaded once for each state of its file.

    Raises
    ------
    ConfigError
        When there is no such file, module or function.
    CorpusError
        When the file is no quality model, or not one for this megadata.
    """
    file = spec.rpartition(":")[0] or spec
    try:
        status = Path(file).stat()
        state = (status.st_size, status.st_mtime_ns)
    except OSError:
        state = (0, 0)
    return _load(spec, state)


@functools.lru_cache(maxsize=32)
def _load(spec: str, state: tuple[int, int]) -> Scorer:
    file, colon, function = spec.rpartition(":")
    if spec in registered():
        entry = registered()[spec]
        found = entry.load()
        return _of_function(spec, found, _version(found, entry.module))
    if not colon:
        if not Path(spec).is_file():
            known = f"; registered: {', '.join(sorted(registered()))}" if registered() else ""
            raise ConfigError(
                f"scorer {spec!r}: expected a quality model's file, MODULE:FUNCTION, FILE.py:FUNCTION or a registered name, "
                f"found no such file{known}"
            )
        model = load_model(Path(spec))
        return Scorer("probability by a quality model", model.score, f"model {model.digest}", 1.0)
    if file.endswith(".py"):
        found = getattr(_module_of(Path(file), spec), function, None)
        mark = hashlib.sha256(Path(file).read_bytes()).hexdigest()
    else:
        try:
            module = importlib.import_module(file)
        except ImportError as error:
            raise ConfigError(f"scorer {spec!r}: {file} cannot be imported: {error}") from error
        found = getattr(module, function, None)
        mark = _version(found, file)
    if not callable(found):
        raise ConfigError(f"scorer {spec!r}: expected a function {function!r} in {file}, found {type(found).__name__}")
    name = f"{Path(file).name if file.endswith('.py') else file}:{function}"
    return _of_function(name, found, mark)


def _module_of(path: Path, spec: str) -> Any:
    if not path.is_file():
        raise ConfigError(f"scorer {spec!r}: expected a Python file {path}, found none; check the path")
    plan = importlib.util.spec_from_file_location(path.stem, path)
    assert plan is not None, "a .py file has a loader"
    assert plan.loader is not None, "a .py file has a loader"
    module = importlib.util.module_from_spec(plan)
    try:
        plan.loader.exec_module(module)
    except Exception as error:
        raise ConfigError(f"scorer {spec!r}: {path} cannot be run: {type(error).__name__}: {error}") from error
    return module


def _version(found: Any, module: str) -> str:
    """A function's own `version`, else that of the distribution it comes from."""
    own = getattr(found, "version", None)
    if own is not None:
        return str(own)
    names = packages_distributions().get(module.partition(".")[0], [])
    return ", ".join(f"{name} {version(name)}" for name in sorted(set(names)))


def _of_function(name: str, function: Callable[[list[str]], Any], mark: str) -> Scorer:
    def score(docs: DocBatch) -> F64:
        texts = docs.derive("texts", lambda: docs.texts)
        try:
            answers = function(list(texts))
        except Exception as error:
            raise WorkerError(f"scorer {name}: raised {type(error).__name__}: {error}") from error
        try:
            values = np.asarray(answers, np.float64)
        except (TypeError, ValueError) as error:
            raise WorkerError(f"scorer {name}: expected a number for each text, found {error}") from error
        if values.shape != (len(docs),):
            raise WorkerError(
                f"scorer {name}: expected {len(docs)} numbers, one for each text, found shape {values.shape}"
            )
        if np.isinf(values).any():
            raise WorkerError(f"scorer {name}: expected finite numbers or NaN, found {values[np.isinf(values)][0]}")
        return values

    return Scorer(f"what {name} answers", score, f"function {name} {mark}".strip(), None)

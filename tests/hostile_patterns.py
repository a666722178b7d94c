"""Every regular expression of a package, and strings made to keep each of them busy."""

from __future__ import annotations

import ast
import importlib
import pkgutil
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from re import _constants as kinds  # type: ignore[attr-defined]
from re import _parser as parser  # type: ignore[attr-defined]
from types import ModuleType
from typing import Any

MANY = 200
"""Repeats with a larger limit count as endless."""
_ANCHORED = {"match", "fullmatch"}


@dataclass(frozen=True)
class Pattern:
    """A compiled expression, where it lives, and whether it is only ever tried at one place of a text."""

    name: str
    pattern: re.Pattern[Any]
    anchored: bool


def modules(package: str) -> Iterator[ModuleType]:
    """A package with all its modules."""
    root = importlib.import_module(package)
    yield root
    for found in pkgutil.walk_packages(root.__path__, f"{package}."):
        yield importlib.import_module(found.name)


def patterns(*packages: str) -> list[Pattern]:
    """All compiled expressions that modules hold by name, alone or in tuples, lists and mappings."""
    found: dict[int, Pattern] = {}
    for package in packages:
        for module in modules(package):
            tree = ast.parse(Path(module.__file__ or "").read_text(encoding="utf-8"))
            for name, value in vars(module).items():
                held = value if isinstance(value, tuple | list) else [value]
                if isinstance(value, dict):
                    held = list(value.values())
                for one in held:
                    if isinstance(one, re.Pattern) and id(one) not in found:
                        uses = _uses(tree, name)
                        anchored = bool(uses) and uses <= _ANCHORED
                        found[id(one)] = Pattern(f"{module.__name__}.{name}", one, anchored)
    return list(found.values())


def _uses(tree: ast.AST, name: str) -> set[str]:
    """How a module uses a name: the methods that are called on it, "?" for anything else."""
    methods: set[str] = set()
    called = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == name:
            methods.add(node.attr)
            called.add(id(node.value))
    for node in ast.walk(tree):
        other = isinstance(node, ast.Name) and node.id == name and id(node) not in called
        if other and not isinstance(node.ctx, ast.Store):
            methods.add("?")
    return methods


def inline_calls(*packages: str) -> list[tuple[str, int, str]]:
    """Calls like ``re.sub("...", ...)`` inside functions: (module, line, the expression, or its source where it is made up)."""
    found = []
    for package in packages:
        for module in modules(package):
            tree = ast.parse(Path(module.__file__ or "").read_text(encoding="utf-8"))
            for function in ast.walk(tree):
                if not isinstance(function, ast.FunctionDef | ast.Lambda):
                    continue
                for node in ast.walk(function):
                    if (
                        isinstance(node, ast.Call)
                        and isinstance(node.func, ast.Attribute)
                        and isinstance(node.func.value, ast.Name)
                        and node.func.value.id == "re"
                        and node.func.attr not in ("escape", "purge")
                    ):
                        text = (
                            node.args[0].value if isinstance(node.args[0], ast.Constant) else ast.unparse(node.args[0])
                        )
                        found.append((module.__name__, node.lineno, f"{node.func.attr}:{text}"))
    return sorted(set(found))


def attacks(pattern: re.Pattern[Any]) -> set[tuple[str, str, str]]:
    """(before, repeated, after) of strings that make each repeat of the expression, or its beginning, match again and again."""
    source = pattern.pattern
    text = source if isinstance(source, str) else source.decode("latin-1")
    tree = parser.parse(text, pattern.flags & ~re.UNICODE if not isinstance(source, str) else pattern.flags)
    letters = sorted({chr(value) for value in _literals(tree)} | set(" \t\n<a0_"))
    found: set[tuple[str, str, str]] = set()
    for before, inside in _repeats(tree, ""):
        for pump in _words(inside, letters):
            for ending in ("\x00", "\n!", ""):
                found.add((before, pump, ending))
            if before:
                found.add(("", before + pump, ""))
                found.add(("", before + pump * 3, "\x00"))
                found.add(("", before, ""))
    return {one for one in found if one[1]}


def _literals(tree: Any) -> Iterator[int]:
    for op, value in tree:
        if op in (kinds.LITERAL, kinds.NOT_LITERAL):
            yield value
        elif op is kinds.IN:
            for kind, one in value:
                if kind is kinds.LITERAL:
                    yield one
                elif kind is kinds.RANGE:
                    yield one[0]
        else:
            for part in _parts(value):
                yield from _literals(part)


def _parts(value: Any) -> Iterator[Any]:
    if isinstance(value, parser.SubPattern):
        yield value
    elif isinstance(value, tuple | list):
        for one in value:
            yield from _parts(one)


def _repeats(tree: Any, before: str) -> Iterator[tuple[str, Any]]:
    """(a string that leads to it, what is repeated) of every repeat without a small limit."""
    for at in range(len(tree)):
        op, value = tree[at]
        lead = before + "".join(_shortest(tree[n]) for n in range(at))
        if op in (kinds.MAX_REPEAT, kinds.MIN_REPEAT, kinds.POSSESSIVE_REPEAT):
            if value[1] >= MANY:
                yield lead, value[2]
            yield from _repeats(value[2], lead)
        elif op is kinds.BRANCH:
            for branch in value[1]:
                yield from _repeats(branch, lead)
        else:
            for part in _parts(value):
                yield from _repeats(part, lead)


def _words(tree: Any, letters: list[str]) -> set[str]:
    """Some strings that what is repeated matches."""
    if len(tree) == 1 and tree[0][0] in (kinds.IN, kinds.ANY, kinds.NOT_LITERAL):
        return {letter for letter in letters if _matches(tree[0], letter)} or {_shortest(tree[0])}
    words = {"".join(_shortest(node) for node in tree)}
    if len(tree) == 1 and tree[0][0] in (kinds.BRANCH, kinds.SUBPATTERN):
        for part in _parts(tree[0][1]):
            words |= {"".join(_shortest(node) for node in part)}
    return words


def _matches(node: Any, letter: str) -> bool:
    op, value = node
    if op is kinds.ANY:
        return letter != "\n"
    if op is kinds.NOT_LITERAL:
        return ord(letter) != value
    inverted = False
    hit = False
    for kind, one in value:
        if kind is kinds.NEGATE:
            inverted = True
        elif kind is kinds.LITERAL:
            hit |= ord(letter) == one
        elif kind is kinds.RANGE:
            hit |= one[0] <= ord(letter) <= one[1]
        elif kind is kinds.CATEGORY:
            hit |= re.match(_CATEGORIES[one], letter) is not None
    return hit != inverted


_CATEGORIES = {
    kinds.CATEGORY_DIGIT: r"\d", kinds.CATEGORY_NOT_DIGIT: r"\D", kinds.CATEGORY_SPACE: r"\s",
    kinds.CATEGORY_NOT_SPACE: r"\S", kinds.CATEGORY_WORD: r"\w", kinds.CATEGORY_NOT_WORD: r"\W",
}  # fmt: skip


def _shortest(node: Any) -> str:
    """A short string that the node matches (lookarounds and back references count as nothing)."""
    op, value = node
    if op is kinds.LITERAL:
        return chr(value)
    if op in (kinds.ANY, kinds.NOT_LITERAL, kinds.IN):
        for letter in "a 0-\n<=;'x\x01é":
            if _matches(node, letter):
                return letter
        first = next((one for kind, one in value if kind in (kinds.LITERAL, kinds.RANGE)), ord("a"))
        return chr(first if isinstance(first, int) else first[0])
    if op in (kinds.MAX_REPEAT, kinds.MIN_REPEAT, kinds.POSSESSIVE_REPEAT):
        return "".join(_shortest(n) for n in value[2]) * min(value[0], 50)
    if op is kinds.BRANCH:
        return "".join(_shortest(n) for n in value[1][0])
    if op is kinds.SUBPATTERN:
        return "".join(_shortest(n) for n in value[-1])
    if op is kinds.ATOMIC_GROUP:
        return "".join(_shortest(n) for n in value)
    return ""


def seconds(work: Callable[[], object]) -> float:
    """Processor time of a call."""
    start = time.thread_time()
    work()
    return time.thread_time() - start


def grows_too_fast(pattern: Pattern, before: str, pump: str, after: str, budget: float = 0.15) -> bool:
    """Whether eight times the text takes far more than eight times the work."""
    binary = isinstance(pattern.pattern.pattern, bytes)

    def work(size: int) -> float:
        text: Any = before + pump * (size // len(pump)) + after
        if binary:
            text = text.encode("latin-1", "replace")
        if pattern.anchored:
            return seconds(lambda: (pattern.pattern.match(text), pattern.pattern.fullmatch(text)))
        return seconds(lambda: sum(1 for _ in pattern.pattern.finditer(text)))

    for size in (16, 20, 24, 28, 64, 128, 256, 512, 1024, 2048):  # small steps, for expressions that take powers of two
        if work(size) > budget:
            return True
    large = work(16384)
    if large < 0.012:  # 256 million steps of a search take far longer
        return False
    small = min(work(2048) for _ in range(3))
    large = min(large, work(16384))
    return large > 24 * max(small, 1e-5)

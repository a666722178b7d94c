"""The documentation says what is true: its commands parse, its Python runs, its links and file names exist."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import click
import numpy as np
import pytest
import yaml

from megadata import formats
from megadata.cli import cli
from megadata.corpus.rules import load_rules
from megadata.errors import CorpusError
from megadata.indexed.blend import Blend
from megadata.indexed.writer import IndexedWriter
from megadata.pipeline.recipe import load_recipe

ROOT = Path(__file__).resolve().parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md", ROOT / "benchmarks" / "README.md"]
PAGES += sorted((ROOT / "docs").rglob("*.md"))


def blocks(page: Path, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", page.read_text("utf-8"), re.MULTILINE | re.DOTALL)


def shell_commands() -> list[str]:
    lines = [line for page in PAGES for block in blocks(page, "bash") for line in block.splitlines()]
    return [line for line in lines if line.startswith("megadata ")]


@pytest.mark.parametrize("line", shell_commands())
def test_every_command_in_the_documentation_is_one_that_megadata_understands(line: str):
    _, name, *arguments = shlex.split(line, comments=True)
    megadata = click.Context(cli, info_name="megadata", **cli.context_settings)
    command = cli.get_command(megadata, name)
    assert command is not None
    command.make_context(name, arguments, parent=megadata)


def test_the_documentation_shows_commands():
    assert len(shell_commands()) >= 10


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_to_files(page: Path):
    for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", page.read_text("utf-8")):
        if "://" not in target:
            assert (page.parent / target).exists(), target


def test_the_python_of_the_readme_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    rng = np.random.default_rng(0)
    for name in ("web", "books"):
        with IndexedWriter(tmp_path / "data" / f"{name}-train", np.uint16) as writer:
            for _ in range(50):
                writer.add_document(rng.integers(0, 100, 40))
    monkeypatch.chdir(tmp_path)
    (source,) = blocks(ROOT / "README.md", "python")
    exec(compile(source, "README.md", "exec"), {})


def test_the_tree_in_the_design_is_that_of_the_package():
    tree = blocks(ROOT / "docs" / "design.md", "")[1]
    for line in tree.splitlines()[1:]:
        for name in re.findall(r"^ +((?:[a-z_]+(?:\.py|/) *)+)", line)[:1]:
            for path in name.split():
                found = list((ROOT / "megadata").rglob(path.rstrip("/")))
                assert found, path


def test_the_blend_and_the_recipe_in_the_documentation_are_valid(tmp_path: Path):
    blend, recipe = (
        next(b for b in blocks(ROOT / "docs" / "data.md", "yaml") if key in b) for key in ("phases:", "recipe:")
    )
    (tmp_path / "recipe.yaml").write_text(recipe)
    loaded = load_recipe(tmp_path / "recipe.yaml")
    assert set(loaded.sources) == {"web", "books"}
    for source in loaded.sources.values():
        load_rules(source.kind, tuple(f"{key}={value}" for key, value in source.set.items()), source.languages)
    formats.check("blend", yaml.safe_load(blend), "docs/data.md")
    (tmp_path / "blend.yaml").write_text(blend)
    with pytest.raises(CorpusError, match="web-train"):  # everything is right but that the data is not there
        Blend.load(tmp_path / "blend.yaml").samples(64)


def test_the_rules_in_the_documentation_are_valid(tmp_path: Path):
    (rules,) = blocks(ROOT / "CONTRIBUTING.md", "yaml")
    (tmp_path / "my-rules.yaml").write_text(rules)
    assert [label for label, _ in load_rules(str(tmp_path / "my-rules.yaml")).steps] == [
        "repair",
        "whitespace",
        "quality",
    ]


def test_changes_of_rules_in_the_documentation_and_help_are_known_to_the_rules():
    text = "\n".join(page.read_text("utf-8") for page in PAGES)
    changes = set(re.findall(r"megadata clean (?:.*--rules (\S+))?.*--set ([a-z_.]+=\S+)", text))
    assert changes
    for rules, change in changes:
        load_rules(rules or "books", (change,))


def test_no_page_holds_a_path_of_a_machine():
    for page in PAGES:
        assert not re.search(r"/(?:root|home|work|Users)/", page.read_text("utf-8")), page

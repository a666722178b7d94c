"""Rules that users bring: the ten lines of docs/rules.md, a package's entry point, a list composed of measured quantities."""

from __future__ import annotations

import pickle
import re
import sys
import tomllib
from pathlib import Path

import pytest
import yaml
from rule_texts import PLAIN, unlike

from megadata.corpus.filter import QUANTITIES
from megadata.corpus.quantities import Cuts
from megadata.corpus.rulefiles import KINDS, RULE_SETS, SHIPPED, registered
from megadata.corpus.rules import load_rules, rule_list
from megadata.documents.batch import DocBatch
from megadata.errors import ConfigError

PAGE = (Path(__file__).resolve().parents[1] / "docs" / "rules.md").read_text("utf-8")


def block(language: str) -> str:
    found = re.search(rf"^```{language}\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    assert found
    return found[1]


def batch(texts: list[str]) -> DocBatch:
    return DocBatch.of([str(i) for i in range(len(texts))], texts)


def test_the_ten_lines_of_python_are_a_rule() -> None:
    code = block("python")
    assert len([line for line in code.splitlines() if line.strip()]) <= 12
    names: dict[str, object] = {"__name__": "vowels_of_the_documentation"}
    sys.modules["vowels_of_the_documentation"] = type(sys)("vowels_of_the_documentation")
    exec(code, names)
    rules = rule_list({"vowels": names["Vowels"]()})  # type: ignore[operator]
    outcome = rules.apply(batch(["aeiou", "xyz", "a quiet idea"]))
    assert (outcome.kept.ids, outcome.reasons, outcome.values) == (["0", "2"], ["vowels.too_few"], [0.0])
    assert outcome.thresholds == ["< 0.2"]


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """A folder with an installed package that registers the rule of the documentation and a list."""
    (tmp_path / "my_package.py").write_text(
        block("python") + '\nfrom pathlib import Path\nLIST = Path(__file__).with_name("mine.yaml")\n', encoding="utf-8"
    )
    (tmp_path / "mine.yaml").write_text("rules: 1\nsteps: [{vowels: {least: 0.9}}]\n", encoding="utf-8")
    info = tmp_path / "my_package-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: my-package\nVersion: 1.0\n", encoding="utf-8")
    entries = tomllib.loads(block("toml"))["project"]["entry-points"]["megadata.rules"] | {"my-list": "my_package:LIST"}
    lines = ["[megadata.rules]", *(f"{name} = {value}" for name, value in entries.items())]
    (info / "entry_points.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return tmp_path


def test_rules_of_an_installed_package_are_named_like_our_own(package: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(package))
    registered.cache_clear()
    try:
        texts = [f"{PLAIN} aeiou", "xyz", "a quiet idea"]
        assert load_rules("vowels").apply(batch(texts)).reasons == ["vowels.too_few"]
        both = load_rules("text,vowels", ["vowels.least=0.5"])
        assert both.apply(batch(texts)).reasons == ["vowels.too_few", "quality.too_few_words", "quality.too_few_words"]
        listed = load_rules("my-list")
        assert listed.apply(batch(texts)).thresholds == ["< 0.9"] * 3
        assert pickle.loads(pickle.dumps(listed)).identity == listed.identity
        with pytest.raises(ConfigError, match=r"step 1: vowels: unknown key 'last'; did you mean \"least\"\?"):
            write = package / "other.yaml"
            write.write_text("rules: 1\nsteps: [{vowels: {last: 0.9}}]\n", encoding="utf-8")
            load_rules(str(write))
    finally:
        registered.cache_clear()
        sys.modules.pop("my_package", None)


def test_a_rule_of_a_package_that_cannot_be_loaded_is_one_sentence(
    package: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(package))
    registered.cache_clear()
    try:
        (package / "my_package.py").write_text("import no_such_module\n", encoding="utf-8")
        with pytest.raises(
            ConfigError, match=r"entry point megadata\.rules 'vowels' \(my_package:Vowels\): cannot be loaded: No mod"
        ):
            load_rules("vowels")
    finally:
        registered.cache_clear()
        sys.modules.pop("my_package", None)


def test_a_list_of_measured_quantities_is_a_rule_without_python(tmp_path: Path) -> None:
    (tmp_path / "forum.yaml").write_text(block("yaml"), encoding="utf-8")
    rules = load_rules(str(tmp_path / "forum.yaml"))
    links = " ".join(f"http://example.org/{word}" for word in unlike(12, 12))
    accents = str.maketrans({chr(97 + i): chr(0xE0 + i) for i in range(23)})
    texts = [PLAIN, "Too short.", f"{PLAIN} {links}", f"{PLAIN} {' '.join(unlike(90)).translate(accents)}"]
    assert rules.apply(batch(texts)).reasons == ["gopher.too_few_words", "forum.links", "forum.shouting"]


def test_the_documentation_names_every_quantity_cut_kind_and_rule_set() -> None:
    for name, quantity in QUANTITIES.items():
        short = re.sub(r"_\d+gram", "_Ngram", name)
        about = re.sub(r"\d+-gram", "N-gram", quantity.about) if short != name else quantity.about
        assert f"| `{short}`" in PAGE
        assert about.replace("|", "\\|") in PAGE, name
    for field in Cuts.__dataclass_fields__:
        assert f"| `{field}` |" in PAGE
    for kind in KINDS:
        assert f"`{kind}`" in PAGE
    for path in (*RULE_SETS.glob("*.yaml"), *SHIPPED.glob("*.yaml")):
        assert f"`{path.stem}`" in PAGE
        content = yaml.safe_load(path.read_text("utf-8"))
        assert content["about"]
        assert content["sources"]
        if path.parent == RULE_SETS and not path.stem.startswith("fineweb2"):
            assert "; ".join(content["sources"]) in PAGE

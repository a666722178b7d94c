"""`clean --from-scores`: what new thresholds make of scores is what `clean` with them makes of the raw files, byte for byte."""

from __future__ import annotations

import os
import random
import re
import shutil
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import orjson
import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st
from pipelines import text
from rule_texts import TEXTS

from megadata.cli import cli
from megadata.config import configclass
from megadata.corpus import finish, fromscores, rulefiles
from megadata.corpus.clean import CleanConfig, CleanReport, clean
from megadata.corpus.fromscores import FromScores, clean_from_scores
from megadata.corpus.step import Decision, Verdict
from megadata.documents.batch import DocBatch
from megadata.documents.inputs import expand
from megadata.errors import ConfigError, CorpusError
from megadata.runtime.settings import RunSettings

REAL = os.environ.get("MEGADATA_REAL_DATA")


def fresh(inputs: Path, output: Path, workers: int = 1, **config: Any) -> CleanReport:
    values = {"unit_bytes": 6000, "shard_bytes": 20_000, **config}
    return clean(expand([str(inputs)]), output, CleanConfig(**values), RunSettings(workers=workers))


def again(
    scored: Path, output: Path, rules: str | None = None, *changes: str, workers: int = 1, **other: Any
) -> CleanReport:
    return clean_from_scores(FromScores.of(scored, rules, changes, **other), output, RunSettings(workers=workers))


def content(folder: Path) -> dict[str, bytes]:
    """All files of an output but the state of runs."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and ".megadata" not in path.parts
    }


def same(one: Path, other: Path) -> None:
    ours, theirs = content(one), content(other)
    assert list(ours) == list(theirs)
    for name in ours:
        assert ours[name] == theirs[name], name


@pytest.fixture(scope="module")
def raw(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two files of documents of many lengths, ids that occur twice, addresses, and records that cannot be read."""
    rng = random.Random(3)
    folder = tmp_path_factory.mktemp("raw")
    for name in ("a", "b"):
        lines: list[dict[str, Any]] = [
            {"id": f"{name}{i}", "text": text(rng, rng.choice((3, 30, 60, 90)))} for i in range(60)
        ]
        lines += [{"id": "same", "text": text(rng, 80)}, {"id": f"{name}-empty", "text": "1 2 3"}]
        lines += [{"id": f"{name}:{i}", "text": one, "metadata": {"matched": "own"}} for i, one in enumerate(TEXTS)]
        lines += [{"id": f"{name}-hashes", "text": ("the # of # and # to # here " * 9).strip()}]
        lines += [{"id": "twice", "text": text(rng, 9), "url": f"http://{name}.org/x"}] * 2
        body = [orjson.dumps(line) for line in lines]
        body.insert(20, b'{"id": "half')
        body.insert(150, b'{"id": 3, "text"')
        (folder / f"{name}.jsonl").write_bytes(b"\n".join(body) + b"\n")
    return folder


@pytest.fixture(scope="module")
def scored(raw: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("scored") / "out"
    fresh(raw, folder, rules="gopher@paper", scores=True)
    return folder


@pytest.mark.parametrize("workers", [1, 2])
def test_other_thresholds_give_the_bytes_of_a_clean_of_the_raw_files(
    raw: Path, scored: Path, tmp_path: Path, workers: int
) -> None:
    changes = ("gopher.too_few_words=31", "gopher.too_few_stop_words=off", "gopher.too_many_words=85")
    report = again(scored, tmp_path / "new", "gopher@paper", *changes, workers=workers)
    straight = fresh(raw, tmp_path / "raw", rules="gopher@paper", overrides=changes)
    same(tmp_path / "new", tmp_path / "raw")
    assert report.counts == straight.counts
    assert report.moved is not None
    assert min(report.moved) > 0
    assert fresh(raw, tmp_path / "new", rules="gopher@paper", overrides=changes).current
    assert again(scored, tmp_path / "new", "gopher@paper", *changes).current


CHAIN = """\
rules: 1
steps:
- repair
- whitespace
- filter: {label: first, words: whitespace, drop: {few: words < 4, hashes: hashes_per_word > 0.5}}
- language
- languages: {keep: [en, de], min_score: 0.2}
- lines: {label: lines, max_word_length: 900, phrases: [{reason: lorem, any_of: [lorem ipsum], drops: page}]}
- pii: {kinds: [email], drop_above: 3}
- filter: {label: second, words: unicode, drop: {few: words < 20, many: words > 400, top: top_2gram_share > 0.3}}
- filter: {label: second, words: whitespace, drop: {short: words < 6, letters: letter_word_share < 0.2}}
"""
TWO = """\
rules: 1
steps:
- repair
- filter: {label: first, words: whitespace, drop: {few: words < 4, hashes: hashes_per_word > 0.5}}
- whitespace
- filter: {label: second, words: unicode, drop: {few: words < 20, many: words > 400, top: top_2gram_share > 0.3}}
- filter: {label: second, words: whitespace, drop: {short: words < 6, letters: letter_word_share < 0.2}}
"""
SECOND = {
    "second.few": st.sampled_from([1, 12, 20, 60, "off"]),
    "second.many": st.sampled_from([61, 90, 200, 400, 100_000, "off"]),
    "second.top": st.sampled_from([0.02, 0.1, 0.3, 0.9]),
    "second.letters": st.sampled_from([0.1, 0.2, 0.9]),
}
FIRST = {"first.few": st.sampled_from([1, 2, 4, 6]), "first.hashes": st.sampled_from([0.01, 0.1, 0.5, "off"])}
LANGUAGES = {
    "languages.min_score": st.sampled_from([0.0, 0.2, 0.5, 0.95]),
    "languages.keep": st.sampled_from(["[en]", "[en, de]", "[]", "[en, de, fr, es]"]),
}


@pytest.fixture(scope="module")
def lists(raw: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Outputs scored with lists that judge before, between and behind steps that change text."""
    folder = tmp_path_factory.mktemp("lists")
    for name, steps in (("chain", CHAIN), ("two", TWO)):
        (folder / f"{name}.yaml").write_text(steps)
        fresh(raw, folder / name, rules=str(folder / f"{name}.yaml"), scores=True)
    return folder


def tried(raw: Path, lists: Path, folder: Path, name: str, chosen: dict[str, Any]) -> str:
    """The refusal of new thresholds; empty where they give the bytes of a fresh clean."""
    changes = tuple(f"{rule}={value}" for rule, value in chosen.items())
    rules = str(lists / f"{name}.yaml")
    straight = fresh(raw, folder / "raw", rules=rules, overrides=changes)
    try:
        report = again(lists / name, folder / "new", rules, *changes)
    except ConfigError as error:
        assert not (folder / "new/manifest.json").exists()
        return str(error)
    assert report.counts == straight.counts
    same(folder / "new", folder / "raw")
    return ""


@settings(max_examples=8)
@given(name=st.sampled_from(["chain", "two"]), chosen=st.fixed_dictionaries({}, optional=SECOND))
def test_any_thresholds_of_the_last_judges_give_the_bytes_of_a_fresh_clean(
    raw: Path, lists: Path, tmp_path_factory: pytest.TempPathFactory, name: str, chosen: dict[str, Any]
) -> None:
    assert tried(raw, lists, tmp_path_factory.mktemp("any"), name, chosen) == ""


@settings(max_examples=8)
@given(
    name=st.sampled_from(["chain", "two"]), chosen=st.fixed_dictionaries({}, optional=SECOND | FIRST), data=st.data()
)
def test_thresholds_before_changes_of_text_give_these_bytes_too_or_are_refused_for_documents_that_would_cross_them(
    raw: Path,
    lists: Path,
    tmp_path_factory: pytest.TempPathFactory,
    name: str,
    chosen: dict[str, Any],
    data: st.DataObject,
) -> None:
    if name == "chain":
        chosen |= data.draw(st.fixed_dictionaries({}, optional=LANGUAGES))
    refused = tried(raw, lists, tmp_path_factory.mktemp("any"), name, chosen)
    if refused:
        assert re.search("would go on to step|only the changed text is there", refused)
        assert {rule.split(".")[0] for rule in chosen} & {"first", "languages"}


@pytest.mark.parametrize(
    ("name", "changes", "refusal"),
    [
        ("two", {"first.hashes": 0.4}, ""),  # documents that `whitespace` left alone may go before it
        ("two", {"first.few": 12}, r"documents would be removed by rules that stand before a step that changed their text "
         r"\(first\.few before whitespace\), and only the changed text is there; run `megadata clean --scores` with these"),
        ("two", {"first.few": 3}, r"documents? that first\.few removed would go on to step whitespace, and nothing was measured"),
        ("chain", {"languages.keep": "[en]", "languages.min_score": 0.2, "second.few": 1}, ""),
    ],
)  # fmt: skip
def test_documents_that_would_cross_a_change_of_text_are_told(
    raw: Path, lists: Path, tmp_path: Path, name: str, changes: dict[str, Any], refusal: str
) -> None:
    told = tried(raw, lists, tmp_path, name, changes)
    assert re.search(refusal, told) if refusal else not told


def test_what_is_held_of_removed_documents_may_become_less_but_not_more(
    raw: Path, scored: Path, tmp_path: Path
) -> None:
    more, less = "gopher.too_few_words=70", "gopher.too_few_words=20"
    for held in ("ids", "none"):
        fresh(raw, tmp_path / f"fresh-{held}", rules="gopher@paper", overrides=(more,), removed=held)
        again(scored, tmp_path / f"new-{held}", "gopher@paper", more, removed=held)
        same(tmp_path / f"new-{held}", tmp_path / f"fresh-{held}")
        fresh(raw, tmp_path / held, rules="gopher@paper", scores=True, removed=held)
        again(tmp_path / held, tmp_path / f"again-{held}", "gopher@paper", more)
        same(tmp_path / f"again-{held}", tmp_path / f"fresh-{held}")
        what = {"ids": "only the ids", "none": "nothing"}[held]
        told = rf"documents that gopher\.too_few_words removed would stay now, and it holds {what} of removed documents"
        with pytest.raises(
            ConfigError, match=rf"{told} \(--removed {held}\); run `megadata clean --scores --removed text`"
        ):
            again(tmp_path / held, tmp_path / "out", "gopher@paper", less)
        with pytest.raises(
            ConfigError, match=rf"holds {what} of removed documents, expected --removed {held} or less, found text"
        ):
            FromScores.of(tmp_path / held, "gopher@paper", removed="text")
        assert FromScores.of(tmp_path / held, "gopher@paper", (less,)).preview().moved == (
            FromScores.of(scored, "gopher@paper", (less,)).preview().moved
        )


@pytest.mark.parametrize("form", ["parquet", "jsonl.zst"])
def test_shards_of_either_form_are_read_and_written(raw: Path, tmp_path: Path, form: str) -> None:
    fresh(raw, tmp_path / "scored", rules="gopher@paper", scores=True, form="parquet")
    changes = ("gopher.too_few_words=20", "gopher.too_many_words=85")
    again(tmp_path / "scored", tmp_path / "new", "gopher@paper", *changes, form=form)
    fresh(raw, tmp_path / "raw", rules="gopher@paper", overrides=changes, form=form)
    same(tmp_path / "new", tmp_path / "raw")


def test_what_decided_leaves_the_metadata_of_documents_that_stay(raw: Path, tmp_path: Path) -> None:
    (tmp_path / "blocked.txt").write_text("a.org\n")
    fresh(raw, tmp_path / "scored", rules="gopher@paper", scores=True, url_rules=(str(tmp_path / "blocked.txt"),))
    held = b"".join(path.read_bytes() for path in (tmp_path / "scored").rglob("*.parquet"))
    assert b"url.domain" in held
    again(tmp_path / "scored", tmp_path / "new", "gopher@paper", "gopher.too_few_words=5")
    fresh(raw, tmp_path / "raw", rules="gopher@paper", overrides=("gopher.too_few_words=5",))
    same(tmp_path / "new", tmp_path / "raw")
    again(tmp_path / "scored", tmp_path / "with", "gopher@paper", url_rules=(str(tmp_path / "blocked.txt"),))
    fresh(raw, tmp_path / "kept", rules="gopher@paper", url_rules=(str(tmp_path / "blocked.txt"),))
    same(tmp_path / "with", tmp_path / "kept")


def test_a_killed_run_goes_on_and_gives_the_same_bytes(
    raw: Path, scored: Path, tmp_path: Path, monkeypatch: Any
) -> None:
    def die(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(finish, "publish", die)
        with pytest.raises(KeyboardInterrupt):
            again(scored, tmp_path / "new", "gopher@paper", "gopher.too_few_words=20")
    assert not (tmp_path / "new/manifest.json").exists()
    with monkeypatch.context() as patch:
        patch.setattr(fromscores.RescoreTask, "__call__", die)  # every unit has its receipt
        again(scored, tmp_path / "new", "gopher@paper", "gopher.too_few_words=20")
    fresh(raw, tmp_path / "raw", rules="gopher@paper", overrides=("gopher.too_few_words=20",))
    same(tmp_path / "new", tmp_path / "raw")


def test_a_preview_counts_what_the_run_would_and_writes_nothing(scored: Path, tmp_path: Path) -> None:
    before = content(scored)
    work = FromScores.of(scored, "gopher@paper", ("gopher.too_few_words=20",))
    seen = work.preview()
    made = clean_from_scores(work, tmp_path / "new", RunSettings(workers=1))
    qualified = {name for name in made.counts if name.startswith("ids_qualified")}
    assert {n: v for n, v in made.counts.items() if n not in qualified} == seen.counts
    assert seen.moved == made.moved
    names = [name for name, _ in made.rules()]
    assert [(n, r.asked, r.matched, r.only, r.removed) for n, r in seen.rules()] == [
        (n, r.asked, r.matched, r.only, r.removed) for n, r in made.rules()
    ]
    assert names[0] == "gopher.too_few_words"
    assert content(scored) == before


@pytest.mark.parametrize(
    ("steps", "refusal"),
    [
        ("- filter: {drop: {a: lines < 2}}",
         r"filter\.a asks for lines, which was not measured; known: .*; run `megadata clean --scores` with these rules"),
        ("- filter: {words: unicode, drop: {a: words < 2}}",
         r"filter\.a asks for words, which was measured with words: whitespace and not unicode"),
        ("- repair\n- filter: {words: whitespace, drop: {a: words < 2}}",
         "the rules must change text as the scored ones did, and only these rules have the step repair"),
        ("- languages: {keep: [en]}", r"step languages \(languages\) is not among the scored ones \(gopher\)"),
    ],
)  # fmt: skip
def test_rules_that_ask_for_what_was_not_measured_are_refused(
    scored: Path, tmp_path: Path, steps: str, refusal: str
) -> None:
    (tmp_path / "mine.yaml").write_text(f"rules: 1\nsteps:\n{steps}\n")
    with pytest.raises(ConfigError, match=refusal) as caught:
        FromScores.of(scored, str(tmp_path / "mine.yaml"))
    assert "(scored with --rules gopher@paper): " in str(caught.value)


@configclass
class Vowels:
    """A rule of another package."""

    least: float = 0.2
    name: ClassVar[str] = "vowels"
    version: ClassVar[int] = 1
    libraries: ClassVar[tuple[str, ...]] = ()

    def judge(self, docs: DocBatch) -> Verdict:
        shares = np.array([sum(c in "aeiou" for c in text) / max(len(text), 1) for text in docs.texts])
        return {"too_few": Decision(shares < self.least, shares, f"< {self.least}", limit=self.least)}


def test_rules_of_other_packages_stay_as_they_decided(
    raw: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rulefiles, "registered", lambda: {"vowels": Vowels})
    fresh(raw, tmp_path / "scored", rules="gopher@paper,vowels", scores=True)
    changes = ("gopher.too_few_words=20",)
    again(tmp_path / "scored", tmp_path / "new", "vowels,gopher@paper", *changes)
    fresh(raw, tmp_path / "raw", rules="vowels,gopher@paper", overrides=changes)
    same(tmp_path / "new", tmp_path / "raw")
    with pytest.raises(
        ConfigError, match=r"step vowels has least 0\.3, and 0\.2 when scored; run `megadata clean --scores`"
    ):
        FromScores.of(tmp_path / "scored", "gopher@paper,vowels", ("vowels.least=0.3",))


def test_other_settings_of_a_step_that_changes_text_are_named(lists: Path) -> None:
    with pytest.raises(
        ConfigError, match=r"step lines has max_word_length 800, and 900 when scored; run `megadata clean"
    ):
        FromScores.of(lists / "chain", str(lists / "chain.yaml"), ("lines.max_word_length=800",))
    with pytest.raises(ConfigError, match="and only the scored ones have the step repair;"):
        FromScores.of(lists / "chain", "gopher@paper")
    with pytest.raises(
        ConfigError,
        match=r"second\.top asks for top_2gram_share, which was measured with words: unicode and not whitespace;",
    ):
        FromScores.of(lists / "two", str(lists / "two.yaml"), ("second.words=whitespace", "second.short=off"))


def test_rules_may_be_named_anew_moved_and_added_where_their_quantities_are_known(
    raw: Path, lists: Path, tmp_path: Path
) -> None:
    (tmp_path / "mine.yaml").write_text(
        "rules: 1\nsteps:\n- repair\n- whitespace\n"
        "- filter: {label: b, words: unicode, drop: {tops: top_2gram_share > 0.1, less: words < 15, more: words >= 90}}\n"
        "- filter: {label: a, words: whitespace, drop: {few: words < 7}}\n"
    )
    (tmp_path / "old.yaml").write_text(TWO.replace("- filter: {label: first, words: whitespace, drop: {few: words < 4, hashes: "
                                                   "hashes_per_word > 0.5}}\n", ""))  # fmt: skip
    fresh(raw, tmp_path / "old", rules=str(tmp_path / "old.yaml"), scores=True)
    again(tmp_path / "old", tmp_path / "new", str(tmp_path / "mine.yaml"))
    fresh(raw, tmp_path / "raw", rules=str(tmp_path / "mine.yaml"))
    same(tmp_path / "new", tmp_path / "raw")


def test_scores_that_cannot_be_used_are_refused(raw: Path, scored: Path, tmp_path: Path, monkeypatch: Any) -> None:
    with pytest.raises(ConfigError, match="holds the scored documents, which are read; write to another folder"):
        again(scored, scored, "gopher@paper")
    fresh(raw, tmp_path / "plain", rules="gopher@paper")
    with pytest.raises(CorpusError, match=r"expected the scores of a finished `megadata clean --scores`, found none"):
        FromScores.of(tmp_path / "plain")
    shutil.copy(scored / "scores.parquet", tmp_path / "plain")
    with pytest.raises(CorpusError, match="expected the scores of the shards beside them, found others"):
        FromScores.of(tmp_path / "plain")
    monkeypatch.setattr(fromscores, "library_versions", lambda names: dict.fromkeys(names, "9.9"))
    with pytest.raises(
        ConfigError, match=r"was made with ftfy [\d.]+, and 9\.9 is installed; install that version, or run"
    ):
        FromScores.of(scored)


@pytest.mark.skipif(REAL is None, reason="reads real documents: MEGADATA_REAL_DATA")
@pytest.mark.parametrize(
    ("family", "folder", "changes"),
    [
        (
            "web",
            "web/cleaneval-final",
            ("quality.too_few_words=120", "repetition.top_2gram=0.05", "quality.short_lines=0.9"),
        ),
        ("wikipedia", "wikipedia/special-export", ("quality.too_few_words=400", "quality.too_few_letters=0.3")),
        ("wikipedia", "wikipedia/special-export", ("quality.too_few_words=2", "repetition.top_2gram=off")),
    ],
)
def test_real_documents_with_other_thresholds_are_those_of_a_fresh_clean(
    tmp_path: Path, family: str, folder: str, changes: tuple[str, ...]
) -> None:
    place = Path(str(REAL)) / folder
    for name, config in (("scored", {"scores": True}), ("raw", {"overrides": changes})):
        given_files = expand([str(place)], family)
        clean(given_files, tmp_path / name, CleanConfig(**config), RunSettings(workers=1))  # type: ignore[arg-type]
    report = again(tmp_path / "scored", tmp_path / "new", None, *changes)
    assert sum(report.moved or ()) > 5
    same(tmp_path / "new", tmp_path / "raw")


def test_the_command_shows_and_writes_and_refuses(scored: Path, tmp_path: Path) -> None:
    def run(*words: str) -> Any:
        return CliRunner().invoke(cli, ["clean", "--from-scores", str(scored), *words])

    options = ("--rules", "gopher@paper", "--set", "gopher.too_few_words=20")
    shown = run(*options, "--dry-run")
    assert shown.exit_code == 0, shown.output
    assert re.search(r"gopher\.too_few_words +< 20", shown.output)
    assert "beside the scored output: " in shown.output
    made = run(*options, "-o", str(tmp_path / "new"), "--json", "--workers", "1")
    counts = orjson.loads(made.stdout)
    assert counts["back"] > 0 == counts["gone"]
    found = CliRunner().invoke(cli, ["why", "a1", "--in", str(tmp_path / "new")])
    assert found.exit_code == 0, found.output
    for words, code, sentence in (
        (("x.jsonl", "--dry-run"), 1, "--from-scores: expected no INPUT, found x.jsonl; the scores tell what was read"),
        (
            ("--newest", "--dry-run"),
            1,
            "--from-scores: expected no --newest, which is settled when scores are measured",
        ),
        (("--scores", "-o", "x"), 1, "--from-scores: expected no --scores, which is settled when scores are measured"),
        (options, 2, "Missing option '-o' / '--output' (or --dry-run)."),
    ):
        result = run(*words)
        assert (result.exit_code, sentence in result.output) == (code, True), result.output


SCORER = """\
def capitals(texts):
    return [sum(c.isupper() for c in text) / len(text) if text else float("nan") for text in texts]


def length(texts):
    return [float(len(text)) for text in texts]
"""
SCORED_LIST = """\
rules: 1
steps:
- whitespace
- filter:
    label: mine
    scorers: {capitals: "mine.py:capitals", length: "mine.py:length"}
    drop: {loud: capitals > 0.05, long: length > 400, few: words < 8}
"""


@pytest.fixture
def own_scorers(raw: Path, tmp_path: Path) -> Path:
    """A list with scorers of the user's own, and beside it what a run with it scored."""
    (tmp_path / "mine.py").write_text(SCORER, "utf-8")
    (tmp_path / "list.yaml").write_text(SCORED_LIST, "utf-8")
    fresh(raw, tmp_path / "scored", rules=str(tmp_path / "list.yaml"), scores=True)
    return tmp_path / "list.yaml"


@pytest.mark.parametrize("workers", [1, 2])
def test_thresholds_of_scorers_are_changed_without_asking_them_again(
    raw: Path, own_scorers: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, workers: int
) -> None:
    changes = ("mine.loud=0.02", "mine.long=250", "mine.few=off")
    straight = fresh(raw, tmp_path / "raw", rules=str(own_scorers), overrides=changes)
    if workers == 1:
        monkeypatch.setattr("megadata.corpus.scorers.Scorer.score", lambda *_: pytest.fail("a scorer was asked"))
    report = again(tmp_path / "scored", tmp_path / "new", str(own_scorers), *changes, workers=workers)
    same(tmp_path / "new", tmp_path / "raw")
    assert report.counts == straight.counts
    assert report.moved is not None
    assert max(report.moved) > 0


def test_scores_of_a_scorer_that_has_changed_are_not_used(own_scorers: Path, tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(SCORER.replace("isupper", "islower"), "utf-8")
    with pytest.raises(ConfigError, match="capitals"):
        again(tmp_path / "scored", tmp_path / "new", str(own_scorers), "mine.loud=0.02")

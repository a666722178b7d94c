"""Defects planted in rules are reported: nothing that cannot be meant is applied, or passed over in silence."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner
from rule_texts import unlike

from megadata.cli import cli
from megadata.corpus.filter import Filter
from megadata.corpus.rules import load_rules, rule_list
from megadata.documents.batch import DocBatch
from megadata.errors import ConfigError


def refused(folder: Path, steps: str, *overrides: str) -> str:
    """The message with which a list of these steps is refused, without the list's path."""
    path = folder / "mine.yaml"
    path.write_text(f"rules: 1\nsteps:\n{steps}\n", encoding="utf-8")
    with pytest.raises(ConfigError) as caught:
        load_rules(str(path), overrides)
    return str(caught.value).replace(str(path), "mine.yaml")


@pytest.mark.parametrize(
    ("drop", "message"),
    [
        ("{a: wrods < 5}", "drop.a: 'wrods < 5': unknown quantity 'wrods'; did you mean \"words\"?"),
        ("{a: ended_line_share < 12}",
         "drop.a: 'ended_line_share < 12' drops every document: ended_line_share (lines that end with an end mark, as a share) "
         "is from 0 to 1; choose another threshold"),
        ("{a: words < 50, b: words > 40}",
         "drop.a ('words < 50') and drop.b ('words > 40') together drop every document; change one of the thresholds"),
        ("{a: words <= 50, b: words >= 50}",
         "drop.a ('words <= 50') and drop.b ('words >= 50') together drop every document; change one of the thresholds"),
        ("{a: words < 50, b: words < 20}",
         "drop.b ('words < 20') never decides: drop.a ('words < 50') drops all of its documents before; remove one of them"),
        ("{a: words > 50, b: words > 50}",
         "drop.b ('words > 50') never decides: drop.a ('words > 50') drops all of its documents before; remove one of them"),
        ("{a: stop_words < 9}",
         "drop.a: 'stop_words < 9' drops every document: there are 8 stop words; choose another threshold"),
        ("{a: bulleted_line_share > 0.5}, bullets: ''",
         "drop.a: 'bulleted_line_share > 0.5': bulleted_line_share is always 0, because bullets is empty"),
        ("{a: stop_word_count < 2}, stop_words: []",
         "drop.a: 'stop_word_count < 2': stop_word_count is always 0, because stop_words is empty"),
        ("{a: top_2gram_share > 20}",
         "drop.a: 'top_2gram_share > 20' drops nothing: top_2gram_share (characters in the most frequent 2-gram, as a share) is "
         "from 0 to 2; choose another threshold"),
        ("{a: words = 5}",
         "drop.a: 'words = 5': expected \"QUANTITY < NUMBER\" (or <=, >, >=), for example \"words < 50\""),
        ("words < 50",
         "drop: expected names of reasons with conditions (\"too_few_words: words < 50\"), found 'words < 50'"),
        ("", "drop: expected names of reasons with conditions (\"too_few_words: words < 50\"), found nothing"),
        ("{a: 50}", "drop.a: expected a condition such as words < 50, found 50"),
        ("{a: words < 1,000}",
         "drop.0: expected a condition such as words < 50, found None (inside braces, a comma begins the next rule)"),
        ("{a.b: words < 5}", "drop: 'a.b' is no name of a reason; use letters, digits, _ and -"),
    ],
)  # fmt: skip
def test_filters_that_cannot_be_meant_are_refused(tmp_path: Path, drop: str, message: str) -> None:
    steps = f"- filter: {{drop: {drop}}}"
    assert refused(tmp_path, steps) == f"rules mine.yaml: step 1: filter: {message}"


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ("min_words: -1", "min_words: expected 0 or more, found -1"),
        ("max_word_length: 0", "max_word_length: expected 1 or more, found 0"),
        ("min_sentences: 0", "min_sentences: expected 1 or more, found 0"),
        ("phrases: [{reason: x, any_of: []}]", "phrases.x: any_of is empty, so that nothing is looked for; name phrases"),
        ('phrases: [{reason: x, any_of: ["a\\nb"]}]',
         "phrases.x: 'a\\nb' is never found: lines hold no line breaks and no blanks at their ends"),
        ("phrases: [{reason: x, any_of: [a], drops: page}, {reason: x, any_of: [b], drops: page}]",
         "phrases: two of them drop pages for one reason (x, x); merge them"),
    ],
)  # fmt: skip
def test_line_rules_that_cannot_be_meant_are_refused(tmp_path: Path, settings: str, message: str) -> None:
    assert message in refused(tmp_path, f"- lines: {{{settings}}}")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ("max_removed: 5", "max_removed: expected a share from 0 to 1, found 5"),
        (
            "cut: [{pattern: 'a('}]",
            "'a(' is not a regular expression: missing ), unterminated subpattern at position 1",
        ),
    ],
)
def test_web_lines_that_cannot_be_meant_are_refused(tmp_path: Path, settings: str, message: str) -> None:
    assert message in refused(tmp_path, f"- web_lines: {{{settings}}}")


def test_rules_of_two_steps_that_leave_nothing_are_refused(tmp_path: Path) -> None:
    steps = "- filter: {label: long, drop: {a: words < 50}}\n- filter: {label: short, drop: {b: words > 40}}"
    message = (
        "long.a ('words < 50') and short.b ('words > 40') together drop every document; change one of the thresholds"
    )
    assert refused(tmp_path, steps) == f"rules mine.yaml: {message}"
    assert load_rules_of(tmp_path, steps.replace("40}}", "40}, words: whitespace}"))  # other words, another quantity
    between = steps.replace("\n", "\n- lines: {min_words: 3}\n")
    assert load_rules_of(tmp_path, between)  # text has changed between them


def load_rules_of(folder: Path, steps: str) -> bool:
    (folder / "other.yaml").write_text(f"rules: 1\nsteps:\n{steps}\n", encoding="utf-8")
    return bool(load_rules(str(folder / "other.yaml")).steps)


def test_an_override_that_makes_rules_contradict_each_other_is_refused() -> None:
    with pytest.raises(
        ConfigError, match=r"drop.too_few_words \('words < 200000'\) and drop.too_many_words .* every document"
    ):
        load_rules("gopher@paper", ["gopher.too_few_words=200000"])
    with pytest.raises(ConfigError, match=r"unknown field or rule 'too_few_wrds'; did you mean \"too_few_words\"\?"):
        load_rules("web,c4@tfds", ["quality.too_few_wrds=20"])


def test_two_rules_of_one_name_are_refused(tmp_path: Path) -> None:
    steps = "- filter: {drop: {a: words < 5}}\n- filter: {drop: {a: lines < 2}}"
    message = "two rules are called filter.a; give one of the steps a `label` of its own"
    assert refused(tmp_path, steps) == f"rules mine.yaml: {message}"
    with pytest.raises(ConfigError, match=r"rules custom: two rules are called x\.a"):
        rule_list([("x", Filter(drop={"a": "words < 5"})), ("x", Filter(drop={"a": "lines < 2"}))])


def test_a_reason_that_is_given_twice_is_refused(tmp_path: Path) -> None:
    steps = "- filter:\n    drop:\n      a: words < 5\n      a: lines < 2"
    assert (
        refused(tmp_path, steps)
        == "mine.yaml: line 5 is not valid YAML: the key 'a' is given twice; remove one of them"
    )


def test_the_command_reports_a_defect_in_one_line_and_writes_nothing(tmp_path: Path) -> None:
    (tmp_path / "text.txt").write_text("some text")
    out = tmp_path / "out"
    change = "gopher.too_few_wrds=3"
    result = CliRunner().invoke(
        cli, ["clean", str(tmp_path / "text.txt"), "-o", str(out), "--rules", "gopher@paper", "--set", change]
    )
    assert result.exit_code == 1
    assert "unknown field or rule 'too_few_wrds'; did you mean \"too_few_words\"?" in result.output
    assert not out.exists()


def batch(texts: list[str]) -> DocBatch:
    return DocBatch.of([str(i) for i in range(len(texts))], texts)


def test_several_lists_are_applied_one_after_another() -> None:
    rules = load_rules("gopher@paper,c4@tfds", ["gopher.too_few_words=3", "c4.min_sentences=1"])
    assert [label for label, _ in rules.steps] == ["gopher", "gopher", "c4", "c4"]
    outcome = rules.apply(
        batch(["One two", "Of the words that have an end here, be sure.", "Of the words that have no end be sure"])
    )
    assert (outcome.kept.ids, outcome.reasons) == (["1"], ["gopher.too_few_words", "c4.too_few_sentences"])
    one_by_one = [step for name in ("gopher@paper", "c4@tfds") for step in load_rules(name).identity["steps"]]
    assert load_rules("gopher@paper, c4@tfds").identity["steps"] == one_by_one


def test_lists_that_share_a_label_get_their_own_names_as_labels() -> None:
    rules = load_rules("gopher@paper,gopher@dolma", ["gopher@dolma.too_few_words=60"])
    assert [label for label, _ in rules.steps] == ["gopher@paper"] * 2 + ["gopher@dolma"]
    text = " ".join([*unlike(52), "the", "of"])
    assert rules.apply(batch([text])).reasons == ["gopher@dolma.too_few_words"]
    labels = [label for label, _ in load_rules("web,text").steps]
    assert labels[-2:] == ["quality@text", "repetition@text"]
    assert labels.count("repair") == 2


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ("gopher@paper,none", "rules 'gopher@paper,none': expected names with commas between them, found 'none' among them"),
        ("web,,text", "rules 'web,,text': expected names with commas between them, found '' among them"),
        ("web,web", "rules 'web,web': web is named twice; remove one of them"),
        ("web,txt", "unknown rules 'txt'; did you mean \"text\"? (the path of a list ends in .yaml)"),
    ],
)  # fmt: skip
def test_lists_of_lists_with_mistakes_are_refused(names: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load_rules(names)
    assert str(caught.value) == message


def test_new_conditions_for_a_rule_set_go_where_their_reason_is(tmp_path: Path) -> None:
    steps = "- gopher@datatrove: {drop: {too_few_words: plain_words < 5, few_lines: lines < 3, top_2gram: off}}"
    (tmp_path / "mine.yaml").write_text(f"rules: 1\nsteps:\n{steps}\n", encoding="utf-8")
    first, second = (step for _, step in load_rules(str(tmp_path / "mine.yaml")).steps)
    assert isinstance(first, Filter)
    assert isinstance(second, Filter)
    assert {"too_few_words", "few_lines", "top_2gram"}.isdisjoint(first.drop)
    assert (second.drop["too_few_words"], second.drop["few_lines"]) == ("plain_words < 5", "lines < 3")


def test_settings_that_are_not_indented_are_told(tmp_path: Path) -> None:
    assert refused(tmp_path, "- filter:\n  drop: {a: words < 5}").endswith(
        "; indent the settings of filter further than its name"
    )


@pytest.mark.parametrize(("given", "condition"), [("0.00001", "> 1e-05"), ("1e-3", "> 0.001"), ("0.5", "> 0.5")])
def test_thresholds_are_numbers_however_they_are_written(given: str, condition: str) -> None:
    rules = load_rules("gopher@paper", [f"gopher.top_2gram={given}"])
    (step,) = (one for _, one in rules.steps if isinstance(one, Filter) and "top_2gram" in one.drop)
    (decision,) = (d for reason, d in step.judge(batch(["a b c"])).items() if reason == "top_2gram")
    assert decision.threshold == condition


@pytest.mark.parametrize(
    "change", ["gopher.too_few_words=.nan", "gopher.too_few_words=.inf", "gopher.too_few_words=20%"]
)
def test_thresholds_that_are_no_numbers_are_refused(change: str) -> None:
    with pytest.raises(ConfigError, match=r"too_few_words: '.*': expected \"QUANTITY < NUMBER\""):
        load_rules("gopher@paper", [change])

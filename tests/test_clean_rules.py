"""Rule lists: reading them, changing them, applying them, and what every list promises."""

from __future__ import annotations

import json
import pickle
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import oracles_text as oracles
import pytest
from hypothesis import given
from hypothesis import strategies as st

from megadata.corpus import rulefiles
from megadata.corpus.filter import QUANTITIES, Filter, parse_condition
from megadata.corpus.repair import Repair
from megadata.corpus.rules import RuleList, load_rules, rule_list
from megadata.corpus.step import Decision, Judge, JudgeMap, Map, Verdict
from megadata.documents.batch import DocBatch
from megadata.errors import ConfigError

SHIPPED = ("web", "books", "wikipedia", "text")
FINEWEB2 = "arb ces cmn deu fas fra hin ind ita jpn kor nld pol por rus spa swe tur ukr vie".split()  # noqa: SIM905
PUBLISHED = ("gopher@paper", "gopher@datatrove", "gopher@dolma", "c4@jmlr", "c4@tfds", "c4@datatrove", "fineweb@paper",
             "fineweb@datatrove", "refinedweb@dclm", "nemo-english", "datajuicer")  # fmt: skip
RULE_SETS = (*PUBLISHED, *(f"fineweb2@{code}" for code in FINEWEB2))
PROSE = (
    "The river was wide and slow, and the boats that crossed it had to wait for the wind. Nobody in the village knew who had "
    "built the first bridge. Some said it was a miller with more grain than sense; others spoke of a queen who wanted to see "
    "the far bank with dry feet. In spring the water rose to the third step of the church, and children sailed paper ships "
    "along the nave. When it fell again it left a line of reeds on every door. That is how the houses were counted."
)


def batch(texts: list[str]) -> DocBatch:
    return DocBatch.of([f"id{i}" for i in range(len(texts))], texts)


PARTS = ["We use cookies.", "", "", "Lorem ipsum.", "Enable JavaScript, please.", PROSE[:120], " ", "[[1]2] Yes."]
PAGE = st.lists(st.sampled_from(PARTS), max_size=12).map("\n".join)
DOCUMENTS = st.lists(
    st.one_of(
        oracles.LINES,
        st.builds(lambda page: page + PROSE, PAGE),
        st.builds(lambda a, n, b: a * n + b, st.sampled_from([PROSE, PROSE[:80]]), st.integers(1, 3), oracles.TEXT),
    ),
    max_size=6,
)  # fmt: skip


@pytest.mark.parametrize("name", [*SHIPPED, *RULE_SETS])
def test_every_shipped_list_can_be_read_pickled_and_identified(name: str) -> None:
    rules = load_rules(name)
    assert rules.steps
    assert json.loads(json.dumps(rules.identity)) == pickle.loads(pickle.dumps(rules)).identity
    assert set(rulefiles.files()) == {*SHIPPED, *RULE_SETS}


@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_lists_keep_prose_and_drop_scraps(name: str) -> None:
    outcome = load_rules(name).apply(batch([PROSE * 2 if name == "books" else PROSE, "Home", "1 2 3 4 5\n" * 80]))
    assert outcome.kept.ids == ["id0"]


def test_no_setting_of_a_shipped_list_changes_unseen() -> None:
    """``tests/golden/rules.json`` holds every threshold and choice. To change one: raise the step's version if its answers
    change for the same settings, then write the file anew (the assertion shows the difference)."""
    golden = json.loads((Path(__file__).parent / "golden" / "rules.json").read_text(encoding="utf-8"))
    for name in (*SHIPPED, *RULE_SETS):
        steps = [{k: v for k, v in step.items() if k != "libraries"} for step in load_rules(name).identity["steps"]]
        assert json.loads(json.dumps(steps)) == golden[name]


def test_no_rules_at_all_keep_everything() -> None:
    docs = batch(["", "“x”"])
    outcome = load_rules("none").apply(docs)
    assert outcome.kept.texts == ["", "“x”"]
    assert outcome.counts == {"documents_in": 2, "bytes_in": 7, "documents_kept": 2, "bytes_kept": 7}


def test_removals_carry_reason_value_condition_and_the_text_that_was_judged() -> None:
    outcome = load_rules("text").apply(batch(["“ﬁne two”  ", PROSE, "three"]))
    assert outcome.removed.ids == ["id0", "id2"]
    assert outcome.removed.texts == ["“fine two”", "three"]
    assert outcome.reasons == ["quality.too_few_words"] * 2
    assert outcome.values == [2.0, 1.0]
    assert outcome.thresholds == ["< 10", "< 10"]
    assert outcome.counts["removed|quality.too_few_words"] == 2
    assert outcome.counts["removed_bytes|quality.too_few_words"] == 19
    assert outcome.counts["changed|repair"] == 1


def test_removed_documents_of_several_steps_stand_in_the_order_of_the_input() -> None:
    repeated = "spam eggs " * 50
    outcome = load_rules("web").apply(batch(["short", repeated, "x", repeated]))
    assert outcome.removed.ids == ["id0", "id1", "id2", "id3"]
    assert [r.split(".")[0] for r in outcome.reasons] == ["quality", "repetition"] * 2


def decisions(rules: RuleList, texts: list[str]) -> list[tuple[str, ...]]:
    outcome = rules.apply(batch(texts))
    removed = dict(zip(outcome.removed.ids, zip(outcome.reasons, map(str, outcome.values), strict=True), strict=True))
    kept = {i: ("kept", t) for i, t in zip(outcome.kept.ids, outcome.kept.texts, strict=True)}
    return [removed.get(f"id{i}") or kept[f"id{i}"] for i in range(len(texts))]


@given(texts=DOCUMENTS, name=st.sampled_from([*SHIPPED, *RULE_SETS]), data=st.data())
def test_permuting_documents_permutes_decisions(texts: list[str], name: str, data: st.DataObject) -> None:
    rules = load_rules(name)
    order = data.draw(st.permutations(range(len(texts))))
    found = decisions(rules, texts)
    assert decisions(rules, [texts[i] for i in order]) == [found[i] for i in order]


@given(texts=DOCUMENTS, name=st.sampled_from([*SHIPPED, *RULE_SETS]), data=st.data())
def test_splitting_a_batch_changes_nothing_and_counts_add_up(texts: list[str], name: str, data: st.DataObject) -> None:
    rules = load_rules(name)
    at = data.draw(st.integers(0, len(texts)))
    docs = batch(texts)
    whole = rules.apply(docs)
    parts = [rules.apply(docs.slice(0, at)), rules.apply(docs.slice(at, len(texts)))]
    assert [t for p in parts for t in p.kept.texts] == whole.kept.texts
    assert [t for p in parts for t in p.removed.texts] == whole.removed.texts
    assert [r for p in parts for r in p.reasons] == whole.reasons
    total: Counter[str] = Counter(parts[0].counts) + Counter(parts[1].counts)
    assert total == +Counter(whole.counts)


@given(texts=DOCUMENTS, name=st.sampled_from(SHIPPED))
def test_shipped_lists_keep_what_they_made(texts: list[str], name: str) -> None:
    """Each list is idempotent where ftfy is: what is kept is kept again, unchanged."""
    rules = load_rules(name)
    once = rules.apply(batch(texts)).kept
    again = Repair().map(once)
    if again.texts == once.texts:
        assert rules.apply(once).kept.texts == once.texts


@pytest.mark.parametrize(
    ("name", "overrides", "message"),
    [
        ("weeb", [], "unknown rules 'weeb'; did you mean \"web\"? (the path of a list ends in .yaml)"),
        ("gopher@papr", [], "unknown rules 'gopher@papr'; did you mean \"gopher@paper\"? (the path of a list ends in .yaml)"),
        ("web", ["quality.too_few_wrds=3"],
         "--set 'quality.too_few_wrds=3': unknown field or rule 'too_few_wrds'; did you mean \"too_few_words\"?"),
        ("web", ["qualty.words=unicode"],
         "--set 'qualty.words=unicode': these rules have no step 'qualty'; did you mean \"quality\"?"),
        ("web", ["words"], "--set 'words': expected LABEL.FIELD=VALUE, for example quality.too_few_words=20"),
        ("web", ["quality.words=spaces"],
         "rules web: step 7: filter: words: Input should be 'whitespace', 'unicode' or 'spacy', found 'spaces'"),
    ],
)  # fmt: skip
def test_mistakes_are_named_with_the_nearest_right_word(name: str, overrides: list[str], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load_rules(name, overrides)
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("condition", "message"),
    [
        ("wrds < 50", "'wrds < 50': unknown quantity 'wrds'; did you mean \"words\"?"),
        ("words = 50", '\'words = 50\': expected "QUANTITY < NUMBER" (or <=, >, >=), for example "words < 50"'),
        ("words < 0", "'words < 0' drops nothing: words (words) is 0 or more; choose another threshold"),
        ("words >= 0", "'words >= 0' drops every document: words (words) is 0 or more; choose another threshold"),
        (
            "ended_line_share > 1",
            "'ended_line_share > 1' drops nothing: ended_line_share (lines that end with an end mark, as a share) is from 0 "
            "to 1; choose another threshold",
        ),
        (
            "short_line_share <= 1.5",
            "'short_line_share <= 1.5' drops every document: short_line_share (short lines, as a share) is from 0 to 1; "
            "choose another threshold",
        ),
    ],
)
def test_conditions_that_cannot_be_meant_are_refused(condition: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_condition(condition)
    assert str(caught.value) == message
    with pytest.raises(ConfigError, match=r"^drop\.rule: "):
        Filter(drop={"rule": condition})


def test_overrides_change_thresholds_conditions_and_fields_and_remove_rules() -> None:
    def drops(*overrides: str) -> dict[str, str]:
        (step,) = [s for label, s in load_rules("web", overrides).steps if label == "quality"]
        assert isinstance(step, Filter)
        return step.drop

    assert drops()["too_few_words"] == "plain_words < 50"
    assert parse_condition(drops("quality.too_few_words=7")["too_few_words"]).text == "< 7"
    assert drops("quality.drop.too_few_words=words <= 3")["too_few_words"] == "words <= 3"
    assert "too_few_words" not in drops("quality.too_few_words=off")
    both = load_rules("gopher@datatrove", ["gopher.words=whitespace"]).steps
    assert [s.words for _, s in both if isinstance(s, Filter)] == ["whitespace", "whitespace"]


def write(folder: Path, text: str) -> str:
    path = folder / "mine.yaml"
    path.write_text(text, encoding="utf-8")
    return str(path)


def test_a_list_of_ones_own_may_name_other_lists_and_change_them(tmp_path: Path) -> None:
    name = write(
        tmp_path,
        """
        rules: 1
        steps:
        - repair
        - gopher@datatrove: {words: whitespace, too_few_stop_words: off, drop: {too_few_words: plain_words < 5}}
        - filter: {label: size, drop: {huge: characters > 1_000_000}}
        """,
    )
    rules = load_rules(name)
    assert [label for label, _ in rules.steps] == ["repair", "gopher", "gopher", "size"]
    outcome = rules.apply(batch([" ".join(f"Wort{i}" for i in range(40)), " ".join(["Donaudampfschiff"] * 4)]))
    assert (outcome.kept.ids, outcome.reasons) == (["id0"], ["gopher.top_2gram"])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("steps: []", r'expected "rules: 1" \(the format\'s version\), found None'),
        ("rules: 1\nstep: []", r"unknown key 'step'; did you mean \"steps\"\?"),
        ("rules: 1\nsteps: repair", r"steps: expected a list of steps, found str"),
        ("rules: 1\nsteps: [repiar]", r"step 1: unknown rules 'repiar'; did you mean \"repair\"\?"),
        (
            "rules: 1\nsteps: [{filter: {}, repair: {}}]",
            r"step 1: expected a step's name, or one name with its settings",
        ),
        ("rules: 1\nsteps: [{filter: {dorp: {}}}]", r"step 1: filter: unknown key 'dorp'; did you mean \"drop\"\?"),
        (
            "rules: 1\nsteps: [{filter: {drop: {x: wrds < 1}}}]",
            r"step 1: filter: drop\.x: 'wrds < 1': unknown quantity",
        ),
        (
            "rules: 1\nsteps: [{c4@jmlr: {min_word: 1}}]",
            r"unknown field or rule 'min_word'; did you mean \"min_words\"\?",
        ),
    ],
)
def test_a_list_that_cannot_be_read_says_where(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        load_rules(write(tmp_path, text))
    assert "mine.yaml" in str(caught.value)


def test_a_list_that_contains_itself_is_refused(tmp_path: Path) -> None:
    name = write(tmp_path, f"rules: 1\nsteps: ['{tmp_path}/mine.yaml']")
    with pytest.raises(ConfigError, match="the list contains itself; remove one of them"):
        load_rules(name)


@dataclass(frozen=True, kw_only=True)
class Vowels:
    """Drop documents with few vowels: a whole rule as a user writes it."""

    least: float = 0.2
    name = "vowels"
    version = 1
    libraries = ()

    def judge(self, docs: DocBatch) -> Verdict:
        shares = np.array([sum(c in "aeiou" for c in t) / max(len(t), 1) for t in docs.texts])
        return {"too_few": Decision(shares < self.least, shares, f"< {self.least}")}


def test_a_rule_of_another_package_is_used_like_our_own(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(rulefiles, "registered", lambda: {"vowels": Vowels})
    name = write(tmp_path, "rules: 1\nsteps: [{vowels: {least: 0.3}}]")
    for rules, least in (
        (load_rules("vowels"), 0.2),
        (load_rules(name), 0.3),
        (load_rules(name, ["vowels.least=0.5"]), 0.5),
    ):
        ((label, step),) = rules.steps
        assert (label, step) == ("vowels", Vowels(least=least))
    outcome = load_rules("vowels").apply(batch(["aeiou", "xyz", "a quiet idea"]))
    assert (outcome.kept.ids, outcome.reasons, outcome.values) == (["id0", "id2"], ["vowels.too_few"], [0.0])
    assert rule_list({"mine": Vowels()}).apply(batch(["aa"])).kept.ids == ["id0"]


def test_a_step_that_does_nothing_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"step 'odd' \(object\) has neither judge\(\) nor map\(\)"):
        rule_list({"odd": object()})  # type: ignore[dict-item]


def test_steps_say_what_they_are() -> None:
    for kind in rulefiles.KINDS.values():
        assert issubclass(kind, object)
        assert kind.name in rulefiles.KINDS
    steps = [step for name in SHIPPED for _, step in load_rules(name).steps]
    assert all(isinstance(step, (Judge, Map)) for step in steps)
    assert any(isinstance(step, JudgeMap) for step in steps)


def test_a_changed_setting_changes_the_identity() -> None:
    identities = [
        load_rules("web", o).identity for o in ([], ["quality.too_few_words=51"], ["repetition.words=unicode"])
    ]
    assert len({json.dumps(i) for i in identities}) == 3


def test_the_order_of_rules_is_part_of_the_identity() -> None:
    one, other = {"a": "words < 5", "b": "lines < 2"}, {"b": "lines < 2", "a": "words < 5"}
    identities = [rule_list({"size": Filter(drop=d)}).identity for d in (one, other)]
    assert len({json.dumps(i, sort_keys=True) for i in identities}) == 2


def test_every_quantity_is_measured_and_undefined_ones_drop_nothing() -> None:
    rules = Filter(drop={name: f"{name} > 0" for name in QUANTITIES})
    verdict = rules.judge(batch(["", PROSE]))
    for name, decision in verdict.items():
        value = decision.values[0]
        assert np.isnan(value) or value == 0 or name == "lines"
        assert not decision.mask[0]
        assert decision.values[1] <= QUANTITIES[name].most

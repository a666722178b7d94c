"""Addresses: their canonical form, lists of what is not wanted, and the step that drops it."""

from __future__ import annotations

import gzip
import pickle
import random
import time
from pathlib import Path

import numpy as np
import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from megadata.corpus.clean import CleanConfig, CleanReport, clean
from megadata.corpus.rules import load_rules
from megadata.corpus.urllists import candidates, load_url_list
from megadata.corpus.urlrules import Urls
from megadata.documents.batch import DocBatch
from megadata.documents.inputs import expand
from megadata.documents.urls import address, canonical
from megadata.errors import ConfigError
from megadata.pipeline.recipe import load_recipe
from megadata.pipeline.run import Pipeline
from megadata.pipeline.why import why
from megadata.runtime.settings import RunSettings

SAME = [
    "http://Example.ORG",
    "https://example.org/",
    "https://example.org:443//",
    "http://user:word@example.org:80/#top",
    "  http://example.org./?  ",
    "http://example.org?",
]


def test_addresses_of_one_page_have_one_canonical_form() -> None:
    assert {canonical(url) for url in SAME} == {"//example.org"}
    assert canonical("http://a.org/%7ejoe/%e4%2f?q=%41") == canonical("https://a.org/~joe/%E4%2F?q=A")
    assert canonical("http://bücher.example/a") == canonical("https://xn--bcher-kva.example/a/")


def test_what_tells_pages_apart_stays() -> None:
    urls = ["http://a.org/x", "http://a.org/X", "http://www.a.org/x", "http://a.org:81/x", "http://a.org/x?a=1&b=2"]
    urls += ["http://a.org/x?b=2&a=1", "ftp://a.org/x", "http://a.org/x%2Fy", "http://a.org/x/y"]
    assert len({canonical(url) for url in urls}) == len(urls)
    assert [canonical(url) for url in ("", "urn:x:y", "mailto:a@b", "a.org/x", "http://", "http:///x")] == [None] * 6


@given(st.text("ab./?#:@é []1", max_size=12).map(lambda tail: "http://" + tail))
def test_the_canonical_form_is_its_own_canonical_form(url: str) -> None:
    once = canonical(url)
    if once is not None and "%" not in once:
        assert canonical(once) == once
        assert address(once) is not None


def step(tmp_path: Path, text: str, name: str = "list.yaml") -> Urls:
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    return Urls(lists=(str(path),))


def verdict(rules: Urls, *urls: str | None) -> list[tuple[str, str | None] | None]:
    """For each address the first reason and what matched."""
    docs = DocBatch.of([str(n) for n in range(len(urls))], ["x"] * len(urls), "web", list(urls))
    decisions = rules.judge(docs)
    found: list[tuple[str, str | None] | None] = []
    for d in range(len(urls)):
        hits = [(why, one.matched[d]) for why, one in decisions.items() if one.mask[d] and one.matched]
        found.append(hits[0] if hits else None)
    return found


LIST = """
url_list: 1
about: What the tests block.
domains: [bad.example, part.example/forum]
files: [more.txt]
words: {hard: [casino], soft: [poker, bonus, win], soft_limit: 2, parts: [freeslots]}
regex: ['/tag/\\w+/page/\\d+', '^https?://\\d+\\.']
"""


def test_each_kind_of_entry_drops_what_it_names_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "more.txt").write_text("# a comment\nother.example  # why\n\n0.0.0.0 sink.example\n*.star.example\n")
    rules = step(tmp_path, LIST)
    expected = {
        "http://bad.example/": ("domain", "bad.example"),
        "https://WWW.bad.example:8080/a?b#c": ("domain", "bad.example"),
        "http://a.b.other.example/x": ("domain", "other.example"),
        "http://sink.example": ("domain", "sink.example"),
        "http://star.example/": ("domain", "star.example"),
        "http://notbad.example/": None,
        "http://bad.example.org/": None,
        "http://part.example/": None,
        "http://part.example/forums": None,
        "http://part.example/forum": ("address", "part.example/forum"),
        "http://www.part.example/forum/7?x": ("address", "part.example/forum"),
        "http://x.example/Casino-royale": ("word", "casino"),
        "http://x.example/%43asino": ("word", "casino"),
        "http://x.example/casinos": None,
        "http://x.example/poker": None,
        "http://x.example/poker_bonus": ("word", "poker bonus"),
        "http://x.example/myFREEslots7": ("word", "freeslots"),
        "http://x.example/tag/abc/page/12": ("regex", r"/tag/\w+/page/\d+"),
        "http://10.0.0.1/": ("regex", r"^https?://\d+\."),
        "": None,
        None: None,
    }
    assert dict(zip(expected, verdict(rules, *expected), strict=True)) == expected


def test_removed_documents_say_what_matched_and_counts_have_the_reason(tmp_path: Path) -> None:
    path = tmp_path / "list.txt"
    path.write_text("bad.example\n")
    rules = load_rules("none", url_rules=[str(path)])
    docs = DocBatch.of(
        ["a", "b"], ["x", "y"], "web", ["http://bad.example/", "http://good.example/"], ['{"path":"p"}'] * 2
    )
    outcome = rules.apply(docs)
    assert outcome.kept.ids == ["b"]
    assert outcome.reasons == ["url.domain"]
    assert outcome.removed.column("metadata") == ['{"path":"p","matched":"bad.example"}']
    assert outcome.counts["removed|url.domain"] == 1


def test_the_identity_is_what_the_lists_hold_not_where_they_lie(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "l.txt").write_text("bad.example\n")
    one, other = (load_rules("none", url_rules=[str(tmp_path / name / "l.txt")]) for name in ("a", "b"))
    assert one.identity == other.identity
    (tmp_path / "b" / "l.txt").write_text("worse.example\n")
    assert load_rules("none", url_rules=[str(tmp_path / "b" / "l.txt")]).identity != one.identity


def test_a_rule_list_names_lists_beside_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "blocked.txt").write_text("bad.example\n")
    (tmp_path / "rules.yaml").write_text("rules: 1\nsteps:\n- url: {lists: [blocked.txt]}\n- whitespace\n")
    monkeypatch.chdir("/")
    rules = load_rules(str(tmp_path / "rules.yaml"))
    assert [label for label, _ in rules.steps] == ["url", "whitespace"]
    assert rules.apply(DocBatch.of(["a"], ["x"], "web", ["http://bad.example/"])).reasons == ["url.domain"]


def test_lists_may_be_compressed_and_travel_to_workers(tmp_path: Path) -> None:
    path = tmp_path / "domains.gz"
    path.write_bytes(gzip.compress(b"bad.example\nhttp://x.example/a/b/\n"))
    rules = pickle.loads(pickle.dumps(Urls(lists=(str(path),))))
    path.unlink()
    urls = ["http://bad.example", "http://x.example/a/b/c", "http://x.example/a"]
    assert verdict(rules, *urls) == [("domain", "bad.example"), ("address", "x.example/a/b"), None]


HOSTS = st.from_regex(r"[a-z]{1,3}(\.[a-z]{1,3}){0,3}", fullmatch=True)


@settings(max_examples=25)
@given(st.lists(HOSTS, max_size=30), st.lists(HOSTS, min_size=1, max_size=10))
def test_domains_agree_with_a_plain_search(
    tmp_path_factory: pytest.TempPathFactory, blocked: list[str], hosts: list[str]
) -> None:
    agree_with_a_plain_search(tmp_path_factory.mktemp("lists"), blocked, hosts)


@pytest.mark.long
@settings(max_examples=500)
@given(st.lists(HOSTS, max_size=30), st.lists(HOSTS, min_size=1, max_size=10))
def test_many_more_domains_agree_with_a_plain_search(
    tmp_path_factory: pytest.TempPathFactory, blocked: list[str], hosts: list[str]
) -> None:
    agree_with_a_plain_search(tmp_path_factory.mktemp("lists"), blocked, hosts)


def agree_with_a_plain_search(folder: Path, blocked: list[str], hosts: list[str]) -> None:
    path = folder / "l.txt"
    path.write_text("\n".join(blocked))
    found = verdict(Urls(lists=(str(path),)), *(f"http://{host}/x" for host in hosts))
    for host, reason in zip(hosts, found, strict=True):
        assert (reason is not None) == any(host == one or host.endswith(f".{one}") for one in blocked)


def test_a_million_domains_cost_eight_bytes_each(tmp_path: Path) -> None:
    chance = random.Random(5)
    names = [f"{chance.getrandbits(60):x}.example" for _ in range(100_000)]
    path = tmp_path / "domains"
    path.write_text("\n".join(names))
    loaded = load_url_list(path)
    assert loaded.entries.nbytes == 8 * len(set(names))
    assert (np.diff(loaded.entries.astype(object)) > 0).all()


def test_a_catastrophic_expression_takes_no_time(tmp_path: Path) -> None:
    rules = step(tmp_path, "url_list: 1\nregex: ['^http://(a+)+$', '(x*y*)*z$']\n")
    start = time.perf_counter()
    assert verdict(rules, "http://" + "a" * 50_000 + "!", "http://" + "xy" * 30_000) == [None, None]
    assert time.perf_counter() - start < 5


def test_addresses_have_few_candidates() -> None:
    assert candidates("http://a.b.c/1/2?q") == [
        *("a.b.c", "b.c", "c"),
        *(host + path for host in ("a.b.c", "b.c", "c") for path in ("/1", "/1/2", "/1/2?q")),
    ]
    assert candidates("http://10.0.0.1/") == ["10.0.0.1"]
    assert len(candidates("http://a.b/" + "x/" * 5000)) < 60


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("domains: [a.b]\n", r'list.yaml: expected "url_list: 1" \(the format\'s version\), found None'),
        ("url_list: 1\ndomain: [a.b]\n", r"list.yaml: unknown key 'domain'; did you mean \"domains\"\?"),
        (
            "url_list: 1\ndomains: ['a b']\n",
            r"list.yaml:1: 'a b': expected a domain such as example.com, or an address",
        ),
        ("url_list: 1\nfiles: [nowhere.txt]\n", r"nowhere.txt: cannot be read: No such file"),
        ("url_list: 1\nregex: ['(?=x)']\n", r"list.yaml: regex: .*RE2 has no look-around and no back-references"),
        ("url_list: 1\nregex: ['a*']\n", r"matches every address"),
        ("url_list: 1\nwords: {hard: ['a-b']}\n", r"words: 'a-b': expected letters and digits only"),
        ("url_list: 1\nwords: {soft_limit: 0}\n", r"words.soft_limit must be at least 1, got 0"),
    ],
)
def test_a_list_that_cannot_be_meant_is_refused(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        step(tmp_path, text)


def test_clean_applies_lists_of_addresses_and_sees_that_one_has_changed(tmp_path: Path) -> None:
    pages = tmp_path / "pages.jsonl"
    lines = [{"id": name, "text": "x", "url": f"http://{name}.example/"} for name in ("good", "bad", "worse")]
    pages.write_bytes(b"".join(orjson.dumps(line) + b"\n" for line in [*lines, {"id": "none", "text": "x"}]))
    blocked = tmp_path / "blocked.txt"

    def run() -> CleanReport:
        config = CleanConfig(rules="none", url_rules=(str(blocked),))
        return clean(expand([str(pages)]), tmp_path / "out", config, RunSettings(workers=1))

    blocked.write_text("bad.example\n")
    assert run().reasons() == [("url.domain", 1, 1)]
    assert run().current
    (verdict,) = why("bad", tmp_path / "out")
    assert verdict.verdict == "removed: url.domain, matched: bad.example"
    blocked.write_text("bad.example\nworse.example\n")
    report = run()
    assert not report.current
    assert report.reasons() == [("url.domain", 2, 2)]
    assert report.total("documents_kept") == 2


def test_a_recipe_names_lists_beside_it_and_asks_for_the_newest_crawls(tmp_path: Path) -> None:
    pages = [
        ("old", "http://good.example/", "2023"),
        ("new", "http://good.example", "2024"),
        ("bad", "http://bad.example/", "2024"),
    ]
    lines = [{"id": i, "text": f"text {i}", "url": u, "metadata": {"date": f"{y}-01-01"}} for i, u, y in pages]
    (tmp_path / "pages.jsonl").write_bytes(b"".join(orjson.dumps(line) + b"\n" for line in lines))
    (tmp_path / "blocked.txt").write_text("bad.example\n")
    (tmp_path / "recipe.yaml").write_text(
        "recipe: 1\nsources:\n  web: {input: [pages.jsonl], rules: none, url_rules: [blocked.txt], newest: true}\n"
    )
    recipe = load_recipe(tmp_path / "recipe.yaml")
    pipeline = Pipeline(recipe, tmp_path, RunSettings(workers=1))
    report = pipeline._clean("web", recipe.sources["web"])
    assert [(reason, number) for reason, number, _ in report.reasons()] == [("url.domain", 1), ("url.older_crawl", 1)]
    (verdict,) = why("old", tmp_path / "out")
    assert verdict.record["metadata"]["duplicate_of"] == "new"


def test_a_folder_is_no_list(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"is a folder; name the lists in it, such as .*domains"):
        load_url_list(tmp_path)

"""MediaWiki dumps: every compression, spans smaller than a file, damage, and hostile XML."""

from __future__ import annotations

import bz2
import gzip
import lzma
import random
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from sources_support import dump_head, dump_page, multistream, read, texts

from megadata.corpus.sources.wikitext import Wikitext
from megadata.documents.inputs import expand
from megadata.documents.registry import recognise
from megadata.documents.source import ReadOptions
from megadata.errors import ConfigError, CorpusError

END = "</mediawiki>\n"


def article(number: int) -> str:
    words = random.Random(number)
    body = " ".join(f"{words.getrandbits(40):x}" for _ in range(number * 37 % 211))
    return f"'''Article {number}''' is about [[number|{number}]] & {{{{convert|{number}|km}}}}.\n\nWords {body}."


def dump(count: int) -> list[str]:
    """Head, pages, end."""
    return [dump_head(), *(dump_page(n, article(n)) for n in range(1, count + 1)), END]


def blocks(data: bytes, size: int) -> bytes:
    """bzip2 as pbzip2 packs it: streams that begin anywhere."""
    return b"".join(bz2.compress(data[at : at + size]) for at in range(0, len(data), size))


PACKINGS = {
    "d.xml": lambda parts: "".join(parts).encode(),
    "d.xml.bz2": lambda parts: multistream(
        parts[0], ["".join(parts[at : at + 3]) for at in range(1, len(parts) - 1, 3)]
    ),
    "blocks.xml.bz2": lambda parts: blocks("".join(parts).encode(), 1500),
    "one.xml.bz2": lambda parts: bz2.compress("".join(parts).encode()),
    "d.xml.gz": lambda parts: gzip.compress("".join(parts).encode(), mtime=0),
    "d.xml.xz": lambda parts: lzma.compress("".join(parts).encode()),
}
SPLITTABLE = ["d.xml", "d.xml.bz2", "blocks.xml.bz2"]


def test_a_document_keeps_id_url_title_and_date(tmp_path: Path) -> None:
    path = tmp_path / "d.xml"
    path.write_text(dump_head() + dump_page(5, article(5), title="C++ & Ünï “x” (test)/a?") + END)
    (document,), problems = read(path, "mediawiki")
    assert document["id"] == "enwiki:5:500"
    assert document["url"] == "https://en.wikipedia.org/wiki/C%2B%2B_%26_%C3%9Cn%C3%AF_%E2%80%9Cx%E2%80%9D_(test)/a%3F"
    assert document["metadata"] == (
        '{"title":"C++ & Ünï “x” (test)/a?","timestamp":"2024-01-06T00:00:00Z","path":"d.xml"}'
    )
    assert document["source"] == "wikipedia"
    assert document["text"].startswith("Article 5 is about 5 & 5 kilometres (3.1 mi).\n\nWords ")
    assert not problems.counts


@pytest.mark.parametrize("name", PACKINGS)
def test_every_packing_gives_the_same_documents(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_bytes(PACKINGS[name](dump(20)))
    documents, problems = read(path, "mediawiki")
    assert [d["id"] for d in documents] == [f"enwiki:{n}:{n}00" for n in range(1, 21)]
    assert not problems.counts
    assert recognise(str(path), name) == "mediawiki"


@pytest.mark.parametrize("name", SPLITTABLE)
@given(unit_bytes=st.integers(1, 6000))
def test_spans_of_any_size_together_give_the_file(
    tmp_path_factory: pytest.TempPathFactory, name: str, unit_bytes: int
) -> None:
    path = tmp_path_factory.getbasetemp() / name
    if not path.exists():
        path.write_bytes(PACKINGS[name](dump(15)))
    whole, _ = read(path, "mediawiki", 1 << 30)
    cut, problems = read(path, "mediawiki", max(unit_bytes, 40))
    assert cut == whole
    assert len(whole) == 15
    assert not problems.counts


@pytest.mark.parametrize("name", PACKINGS)
@pytest.mark.parametrize("kind", ["truncated", "zeros inside"])
def test_damage_is_counted_and_the_rest_is_read(tmp_path: Path, name: str, kind: str) -> None:
    data = PACKINGS[name](dump(20))
    middle = len(data) // 2
    path = tmp_path / name
    path.write_bytes(data[:middle] if kind == "truncated" else data[:middle] + bytes(30) + data[middle + 30 :])
    documents, problems = read(path, "mediawiki", 1 << 30)
    if name != "d.xml":
        (tmp_path / "good.xml").write_bytes(PACKINGS["d.xml"](dump(20)))
        good = {d["id"]: d["text"] for d in read(tmp_path / "good.xml", "mediawiki")[0]}
        assert all(good[d["id"]] == d["text"] for d in documents)
    if name in SPLITTABLE:
        # Zeros inside the text of a plain page are no fault of XML once they are left out.
        assert problems.counts or (name == "d.xml" and len(documents) == 20)
        assert len(documents) >= (5 if kind == "truncated" else 14)
        for unit_bytes in (300, 2000):
            again, counted = read(path, "mediawiki", unit_bytes)
            assert again == documents
            assert counted.counts == problems.counts
    else:
        assert problems.counts["damaged_compression"] == 1
        assert len(documents) >= (5 if name == "d.xml.gz" and kind == "truncated" else 0)


def test_only_articles_are_documents_and_the_rest_is_counted(tmp_path: Path) -> None:
    pages = [
        dump_page(1, article(1)),
        dump_page(2, "#REDIRECT [[Page 1]]"),
        dump_page(3, "x", extra='    <redirect title="Page 1" />\n'),
        dump_page(4, "A may be:\n* [[A]]\n{{disambiguation}}"),
        dump_page(5, article(5), title="Talk:Page 1", namespace=1),
        dump_page(6, "{{Infobox|a=b}}\n[[File:A.jpg]]"),
        dump_page(7, "{}").replace("<model>wikitext</model>", "<model>json</model>"),
        "  <page><title>Nothing</title><ns>0</ns><id>8</id></page>\n",
    ]
    path = tmp_path / "d.xml"
    path.write_text(dump_head() + "".join(pages) + END)
    documents, problems = read(path, "mediawiki")
    assert [d["id"] for d in documents] == ["enwiki:1:100"]
    assert problems.counts == {
        "skipped:redirect": 2,
        "skipped:disambiguation": 1,
        "skipped:namespace": 1,
        "no_text": 2,
        "skipped:model_json": 1,
    }


def test_names_of_namespaces_come_from_the_dump_and_old_exports_use_titles(tmp_path: Path) -> None:
    pages = [
        dump_page(1, "[[Fails:A.jpg|thumb|x]]Teksts [[Kategoreja:B]]", namespace=None),
        dump_page(2, "x y", title="Fails:A.jpg", namespace=None),
        dump_page(3, "Teksts", title="2001: A Space Odyssey", namespace=None),
    ]
    path = tmp_path / "d.xml"
    path.write_text(dump_head("ltg", "Fails", "Kategoreja") + "".join(pages) + END)
    documents, problems = read(path, "mediawiki")
    assert texts(documents) == ["Teksts", "Teksts"]
    assert problems.counts == {"skipped:namespace": 1}


def test_the_newest_of_several_revisions_counts(tmp_path: Path) -> None:
    def revision(n: int, stamp: str, text: str) -> str:
        return f"<revision><id>{n}</id><timestamp>{stamp}</timestamp><text>{text}</text></revision>"

    history = revision(1, "2020-01-01T00:00:00Z", "old") + revision(3, "2024-01-01T00:00:00Z", "new")
    path = tmp_path / "d.xml"
    path.write_text(
        f"{dump_head()}<page><title>T</title><ns>0</ns><id>9</id>{history}{revision(2, '2022', 'mid')}</page>{END}"
    )
    (document,), _ = read(path, "mediawiki")
    assert (document["id"], document["text"]) == ("enwiki:9:3", "new")


def test_a_dump_without_site_information_is_named_after_the_file(tmp_path: Path) -> None:
    path = tmp_path / "simplewiki.xml"
    path.write_text("<mediawiki>" + dump_page(1, article(1)) + END)
    (document,), _ = read(path, "mediawiki")
    assert document["id"] == "simplewiki:1:100"
    assert document["url"] is None


@pytest.mark.parametrize("name", ["d.xml", "d.xml.gz"])
def test_dumps_saved_as_utf16_are_read(tmp_path: Path, name: str) -> None:
    data = (dump_head("bg") + dump_page(1, "Текст", title="Заглавие") + dump_page(2, "Още") + END).encode("utf-16")
    path = tmp_path / name
    path.write_bytes(gzip.compress(data) if name.endswith("gz") else data)
    assert recognise(str(path), name) == "mediawiki"
    documents, problems = read(path, "mediawiki", 100)
    assert texts(documents) == ["Текст", "Още"]
    assert documents[0]["id"] == "bgwiki:1:100"
    assert not problems.counts


def test_pages_over_the_limit_are_set_aside_and_the_rest_is_read(tmp_path: Path) -> None:
    pages = [dump_page(1, article(1)), dump_page(2, "word " * 100_000), dump_page(3, article(3))]
    for name in PACKINGS:
        path = tmp_path / name
        path.write_bytes(PACKINGS[name]([dump_head(), *pages, END]))
        documents, problems = read(path, "mediawiki", max_record_bytes=50_000)
        assert [d["id"] for d in documents] == ["enwiki:1:100", "enwiki:3:300"]
        assert problems.counts == {"record_too_large": 1}


def test_entities_are_never_expanded(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("the secret")
    laughs = "".join(f'<!ENTITY l{n} "{f"&l{n - 1};" * 10}">' for n in range(1, 10))
    doctype = f'<!DOCTYPE mediawiki [<!ENTITY l0 "ha">{laughs}<!ENTITY file SYSTEM "file://{secret}">]>\n'
    pages = [
        dump_page(1, "LAUGH").replace("LAUGH", "&l9;"),
        dump_page(2, "FILE").replace("FILE", "&file;"),
        dump_page(3, article(3)),
    ]
    path = tmp_path / "d.xml"
    path.write_text(doctype + dump_head() + "".join(pages) + END)
    documents, problems = read(path, "mediawiki")
    assert [d["id"] for d in documents] == ["enwiki:3:300"]
    assert problems.counts == {"bad_xml": 2}


def test_bytes_that_xml_forbids_are_passed_over(tmp_path: Path) -> None:
    page = dump_page(1, "Some TEXT here").encode().replace(b"TEXT", b"\0\x01 text \xff\xfe")
    path = tmp_path / "d.xml"
    path.write_bytes(
        dump_head().encode() + page + dump_page(2, "Two").encode() + b"<page><title>broken</page>" + END.encode()
    )
    documents, problems = read(path, "mediawiki")
    assert texts(documents) == ["Some text �� here", "Two"]
    assert problems.counts == {"bad_xml": 1}


def test_very_deep_xml_is_set_aside(tmp_path: Path) -> None:
    path = tmp_path / "d.xml"
    path.write_text(dump_head() + "<page>" + "<a>" * 200_000 + "</a>" * 200_000 + "</page>" + dump_page(2, "Two") + END)
    documents, problems = read(path, "mediawiki")
    assert texts(documents) == ["Two"]
    assert sum(problems.counts.values()) == 1


@given(junk=st.binary(max_size=2000), at=st.integers(0, 3000), name=st.sampled_from(SPLITTABLE))
def test_arbitrary_bytes_end_in_counts_not_in_exceptions(
    tmp_path_factory: pytest.TempPathFactory, junk: bytes, at: int, name: str
) -> None:
    path = tmp_path_factory.getbasetemp() / f"fuzz-{name}"
    good = PACKINGS[name](dump(6))
    path.write_bytes(good[:at] + junk + good[at:])
    whole, problems = read(path, "mediawiki", 1 << 30)
    cut, cut_problems = read(path, "mediawiki", 700)
    assert cut == whole
    assert cut_problems.counts == problems.counts


def _some_of_each() -> str:
    pages = [
        dump_page(1, article(1)),
        dump_page(2, "#REDIRECT [[Page 1]]"),
        dump_page(3, "A may be:\n* [[A]]\n{{disambiguation}}"),
        dump_page(4, "How to use it.", title="Help:Use", namespace=12),
        dump_page(5, "A talk.", title="Talk:Page 1", namespace=1),
    ]
    return dump_head() + "".join(pages) + END


@pytest.mark.parametrize(
    ("options", "ids", "counts"),
    [
        ({}, [1], {"skipped:redirect": 1, "skipped:disambiguation": 1, "skipped:namespace": 2}),
        ({"redirects": "keep", "disambiguations": "keep"}, [1, 2, 3], {"skipped:namespace": 2}),
        (
            {"namespaces": (0, "Talk")},
            [1, 5],
            {"skipped:redirect": 1, "skipped:disambiguation": 1, "skipped:namespace": 1},
        ),
        ({"namespaces": ("help",)}, [4], {"skipped:namespace": 4}),
        ({"namespaces": (1, 12)}, [4, 5], {"skipped:namespace": 3}),
    ],
)
def test_namespaces_redirects_and_disambiguations_are_chosen(
    tmp_path: Path, options: dict[str, object], ids: list[int], counts: dict[str, int]
) -> None:
    path = tmp_path / "d.xml"
    path.write_text(_some_of_each())
    documents, problems = read(path, "mediawiki", **options)
    assert [d["id"] for d in documents] == [f"enwiki:{n}:{n}00" for n in ids]
    assert problems.counts == counts


def test_a_redirect_that_is_kept_names_its_target(tmp_path: Path) -> None:
    path = tmp_path / "d.xml"
    path.write_text(_some_of_each())
    documents, _ = read(path, "mediawiki", redirects="keep")
    assert documents[1]["text"] == "Page 1"
    assert '"redirect":"Page 1"' in documents[1]["metadata"]


def test_an_unknown_namespace_is_named_with_the_nearest(tmp_path: Path) -> None:
    path = tmp_path / "d.xml"
    path.write_text(_some_of_each())
    with pytest.raises(
        ConfigError, match=r"read\.namespaces: this dump has no namespace 'Tlak'; did you mean \"talk\"\?"
    ):
        read(path, "mediawiki", namespaces=("Tlak",))


OWN = """
patterns:
  '{1}, crowned {2}': [Monarch]
functions:
  date@de: [krönung]
prefixes:
  '[{1}]': [note-]
dropped: [convert]
disambiguations: [meanings]
files: [Bilding]
"""


def test_rules_of_a_users_file_come_before_the_table_that_ships(tmp_path: Path) -> None:
    rules = tmp_path / "rules.yaml"
    rules.write_text(OWN)
    body = "{{monarch|Ada|1815}} {{Krönung|1815|12|10}} {{note-x|y}}{{convert|5|km}} [[Bilding:A.x|thumb|b]]end"
    path = tmp_path / "d.xml"
    path.write_text(dump_head() + dump_page(1, body) + dump_page(2, "{{Meanings}}\n* [[A]]") + END)
    (document,), problems = read(path, "mediawiki", wiki_templates=str(rules))
    assert document["text"] == "Ada, crowned 1815 10. Dezember 1815 [y] end"
    assert problems.counts == {"skipped:disambiguation": 1}
    assert ReadOptions(wiki_templates=str(rules)) == ReadOptions(wiki_templates=yaml.safe_load(OWN))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("pattern: {}", r"unknown part 'pattern'; did you mean \"patterns\"\?"),
        ("patterns: {a: b}", r"\.patterns\.a: expected a list of names, found 'b'"),
        ("patterns: [a]", r"\.patterns: expected rules with lists of template names, found \['a'\]"),
        ("dropped: x", r"\.dropped: expected a list of names, found 'x'"),
        ("[1]", r"expected a mapping with patterns, .*, found list"),
        ("a: [", r"cannot be read: it is not YAML in UTF-8; name a YAML file of template rules"),
    ],
)
def test_a_file_of_template_rules_that_does_not_fit_is_refused(tmp_path: Path, text: str, message: str) -> None:
    rules = tmp_path / "rules.yaml"
    rules.write_text(text)
    with pytest.raises(ConfigError, match=message):
        ReadOptions(wiki_templates=str(rules))


def test_an_unknown_function_in_template_rules_is_named() -> None:
    with pytest.raises(
        ConfigError, match=r"read\.wiki_templates: unknown function 'dates'; expected one of accidental, "
    ):
        Wikitext(own={"functions": {"dates": ["x"]}})


def test_a_dump_as_7z_is_refused_with_what_to_do_whatever_its_name(tmp_path: Path) -> None:
    for name in ("enwiki.xml.7z", "enwiki.dump"):
        path = tmp_path / name
        path.write_bytes(b"7z\xbc\xaf\x27\x1c" + bytes(200))
        with pytest.raises(
            CorpusError, match=r"is a 7z archive, which megadata does not read; unpack it \(7z x FILE\)"
        ):
            expand([str(path)])

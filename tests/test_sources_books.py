"""Books: the frame of Project Gutenberg, broken lines, EPUB, TEI, and files that mean harm."""

from __future__ import annotations

import io
import textwrap
import time
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sources_support import epub_file, read, texts

from megadata.corpus.sources.bookcontents import without_contents
from megadata.corpus.sources.epub import EpubError, entry_path, read_epub
from megadata.corpus.sources.gutenberg import strip_frame
from megadata.corpus.sources.rewrap import rewrap
from megadata.corpus.sources.safexml import XmlError, parse
from megadata.documents.refused import Refused
from megadata.documents.registry import recognise

BOOK = """It was seven o'clock of a very warm evening in the Seeonee hills when
Father Wolf woke up from his day's rest, scratched himself, yawned, and
spread out his paws one after the other to get rid of the sleepy feeling
in their tips.

"Augrh!" said Father Wolf. "It is time to hunt again." He was going to
spring down hill when a little shadow with a bushy tail crossed the
threshold--
and whined.

     Now Rann the Kite brings home the night
        That Mang the Bat sets free--
     The herds are shut in byre and hut
        For loosed till dawn are we.

CHAPTER II
Kaa's Hunting

His spots are the joy of the Leopard: his horns are the well-
known pride, as everybody in the jungle will tell you with great care
and _at length_."""

PLAIN = """It was seven o'clock of a very warm evening in the Seeonee hills when Father Wolf woke up from his day's rest, \
scratched himself, yawned, and spread out his paws one after the other to get rid of the sleepy feeling in their tips.

"Augrh!" said Father Wolf. "It is time to hunt again." He was going to spring down hill when a little shadow with a bushy \
tail crossed the threshold--and whined.

Now Rann the Kite brings home the night
   That Mang the Bat sets free--
The herds are shut in byre and hut
   For loosed till dawn are we.

CHAPTER II
Kaa's Hunting

His spots are the joy of the Leopard: his horns are the well-known pride, as everybody in the jungle will tell you with \
great care and at length."""

FRAMES = {
    "2020s": (
        "The Project Gutenberg eBook of The Jungle Book\n\nTitle: The Jungle Book\n\n"
        "*** START OF THE PROJECT GUTENBERG EBOOK THE JUNGLE BOOK ***\n\n\n\n\nProduced by An Anonymous Volunteer\n\n\n",
        "\n\n\n*** END OF THE PROJECT GUTENBERG EBOOK THE JUNGLE BOOK ***\n\nUpdated editions will replace the previous one",
    ),
    "2000s": (
        "The Project Gutenberg EBook of The Jungle Book, by Rudyard Kipling\n\n"
        "*** START OF THIS PROJECT GUTENBERG EBOOK THE JUNGLE\nBOOK ***\n\n\nE-text prepared by Some One\n"
        "and the Online Distributed Proofreading Team (http://www.pgdp.net)\n\n\n"
        "[Transcriber's Note: Spelling is kept.\n\nSo are [sic] marks.]\n\n\n",
        "\n\nEnd of the Project Gutenberg EBook of The Jungle Book, by Rudyard Kipling\n\n"
        "*** END OF THIS PROJECT GUTENBERG EBOOK THE JUNGLE BOOK ***\n\n***** This file should be named 236.txt *****\n",
    ),
    "starless": (
        "Project Gutenberg's The Jungle Book, by Rudyard Kipling\n\n"
        "***START OF THE PROJECT GUTENBERG EBOOK THE JUNGLE BOOK***\n\nTranscribed from the 1894 edition by A. B.\n\n",
        "\n\n***END OF THE PROJECT GUTENBERG EBOOK THE JUNGLE BOOK***\n",
    ),
    "1990s": (
        "**The Project Gutenberg Etext of The Jungle Book, by Kipling**\n\n"
        + "Small print of many lines.\n" * 250
        + "\n"
        "*END*THE SMALL PRINT! FOR PUBLIC DOMAIN ETEXTS*Ver.04.29.93*END*\n\n\nThis etext was prepared by A. B.\n\n\n",
        "\n\n\nEnd of Project Gutenberg's The Jungle Book, by Rudyard Kipling\n\n",
    ),
    "copyrighted": (
        "*** START OF THE COPYRIGHTED PROJECT GUTENBERG EBOOK THE JUNGLE BOOK ***\n\n",
        "\n\n*** END OF THE COPYRIGHTED PROJECT GUTENBERG EBOOK THE JUNGLE BOOK ***\nmore",
    ),
    "german end": (
        "*** START OF THE PROJECT GUTENBERG EBOOK DAS BUCH ***\n\n",
        "\n\nEnde dieses Projekt Gutenberg Etextes Das Buch\n",
    ),
    "none": ("", ""),
}


@pytest.mark.parametrize("frame", FRAMES)
def test_the_frame_of_project_gutenberg_comes_off_and_paragraphs_are_joined(tmp_path: Path, frame: str) -> None:
    head, foot = FRAMES[frame]
    path = tmp_path / "pg236.txt"
    path.write_text(f"\ufeff{head}{BOOK}{foot}".replace("\n", "\r\n"), newline="")
    kind = recognise(str(path), path.name)
    assert kind == ("gutenberg" if head else "txt")
    (document,), problems = read(path, "gutenberg")
    assert document["text"] == PLAIN
    assert (document["id"], document["source"]) == ("pg236.txt", "books")
    assert not problems.counts


def test_plain_text_is_a_book_where_the_user_says_so(tmp_path: Path) -> None:
    path = tmp_path / "novel.txt"
    path.write_text(BOOK)
    assert recognise(str(path), path.name) == "txt"
    assert recognise(str(path), path.name, "books") == "gutenberg"
    assert texts(read(path, "gutenberg")[0]) == [PLAIN]


def test_a_file_of_any_ending_is_a_book_where_the_user_says_so_and_a_pdf_is_refused(tmp_path: Path) -> None:
    for name, data, kind in (
        ("novel.rst", b"ORCHARDS IN SPRING\n\nText.", "gutenberg"),
        ("novel.book", epub_file({"c1.xhtml": "<html/>"}), "epub"),
    ):
        (tmp_path / name).write_bytes(data)
        assert recognise(str(tmp_path / name), name, "books") == kind
    for name in ("a.pdf", "a.txt", "a.scan"):
        (tmp_path / name).write_bytes(b"%PDF-1.5\n%\xd0\xd4\n1 0 obj\0")
        refused = recognise(str(tmp_path / name), name, "books")
        assert isinstance(refused, Refused)
        assert "a PDF document" in refused.sentence
        assert "pdftotext" in refused.sentence


def test_a_sentence_that_quotes_the_marker_does_not_end_the_book() -> None:
    text = (
        "Chapter\n\nThe file said: End of the Project Gutenberg edition.\n\nEnd of Project Gutenberg is a phrase.\n\n"
        + "More text.\n" * 9
    )
    assert strip_frame(text).count("More text.") == 9


@pytest.mark.parametrize(
    "mark",
    [
        "[Illustration]",
        "[Illustration: A wolf\nin two lines]",
        "[Illustration: with [nested] marks]",
        "[Abbildung: ein Wolf]",
        "[Picture: A wolf]",
        "[Image of a wolf]",
        "[Gravure: un loup]",
        "[Ilustración]",
        "[Illustration: [See page 9\nA WOLF]",
        "[Transcriber's Note: the original has woolf]",
        "[Anmerkung des Bearbeiters: im Original Wolff]",
        "[S. 12]",
        "[blz. 12]",
        "[p. 12]",
        "[Pg 12]",
        "[Page 12]",
        "{12}",
    ],
)
def test_marks_of_pictures_and_pages_are_removed(mark: str) -> None:
    assert strip_frame(f"Before{mark} after").replace("  ", " ") == "Before after"


@pytest.mark.parametrize(
    "text",
    [
        "[Plate armour was worn]",
        "[Map-making is hard]",
        "[12]",
        "[Footnote 3: See above.]",
        "{a, b}",
        "Editor's Note. The author died before the last chapter.",
        "We produced by our labour what we ate, said he.",
    ],
)
def test_what_only_looks_like_a_mark_stays(text: str) -> None:
    body = "\n\n".join(["A paragraph."] * 50)
    assert strip_frame(f"{body}\n\n{text}\n\n{body}") == f"{body}\n\n{text}\n\n{body}"


@pytest.mark.parametrize(
    "title",
    [
        "Transcriber's Note:",
        "TRANSCRIBER’S NOTES",
        "Original Transcriber's Notes:",
        "Scanner's Notes",
        "Anmerkungen zur Transkription",
        "Note de transcription",
        "Notes du transcripteur",
        "Opmerkingen van de bewerker",
        "Nota del transcriptor",
    ],
)
def test_notes_of_transcribers_go_in_many_languages_with_the_paragraphs_that_speak_of_the_file(title: str) -> None:
    body = "\n\n".join(f"Paragraph {n} of a story that goes on for some time." for n in range(300))
    notes = "Obvious misprints were corrected.\n\nFootnotes were moved to the end.\n\nItalic words stand between _underscores_."
    assert strip_frame(f"{title}\n\n{notes}\n\n{body}") == body
    assert strip_frame(f"{body}\n\n{title}\n\n{notes}").strip() == body


@pytest.mark.parametrize(
    "end",
    [
        "End of the Project Gutenberg EBook of A Book, by Nobody",
        "*** END OF THIS PROJECT GUTENBERG EBOOK A BOOK ***",
        "***END OF THE PROJECT GUTENBERG EBOOK A BOOK***",
        "Ende dieses Projekt Gutenberg Etextes",
        "Ende von Projekt Gutenberg's Ein Buch",
        "Fin du Projet Gutenberg EBook",
        "Fine del Progetto Gutenberg",
        "Fim do Projecto Gutenberg",
        "Einde van het Project Gutenberg EBook",
        "Slutet av Project Gutenbergs bok",
    ],
)
def test_the_licence_goes_behind_an_end_in_any_language(end: str) -> None:
    body = "\n".join(["A line of the story."] * 90)
    assert strip_frame(f"{body}\n\n{end}\n\n" + "Licence.\n" * 60).strip() == body


def test_a_file_of_several_books_loses_none() -> None:
    one, other = ("\n".join(f"Line {n} of {name}." for n in range(900)) for name in ("one", "two"))
    licence, mark = "Licence.\n" * 350, "PROJECT GUTENBERG EBOOK"
    frames = [
        f"Header\n\n*** START OF THE {mark} {n} ***\n\n{book}\n\n*** END OF THE {mark} {n} ***\n{licence}"
        for n, book in enumerate((one, other))
    ]
    assert strip_frame("\n".join(frames)).split() == f"{one}\n{other}".split()


def test_a_quoted_end_with_a_whole_book_behind_it_ends_nothing() -> None:
    body = "A line.\n" * 50 + "*** END OF THE PROJECT GUTENBERG EBOOK X ***\n" + "Another line.\n" * 1000
    assert strip_frame(body).count("Another line.") == 1000


def test_marks_and_notes_take_no_large_part_of_a_book() -> None:
    text = "\n\n".join(f"[Illustration: {'picture ' * 30}{n}]\n\nWords of page {n}." for n in range(100))
    assert strip_frame(text) == text


def test_notes_of_transcribers_are_removed_at_both_ends() -> None:
    body = "\n\n".join(f"Paragraph {n}." for n in range(80))
    start = "Transcriber's Note\n\nObvious errors were corrected.\n\n"
    end = "\n\nTranscriber's Notes:\n\nPage 3: teh changed to the.\n\nPage 4: more."
    assert strip_frame(start + body + end).strip() == body


@pytest.mark.parametrize(
    "kept",
    [
        "Short line\nAnother short one\nA third",
        "Item              Price\nBread and butter    1/2\nTea with some milk  2/6",
        "O rose, thou art sick!\nThe invisible worm\nThat flies in the night,\nIn the howling storm",
        "    To be, or not to be, that is the question:\n    Whether 'tis nobler in the mind to suffer\n    The slings",
    ],
)
def test_verse_tables_and_titles_keep_their_lines(kept: str) -> None:
    around = "\n\n".join([BOOK.split("\n\n")[0]] * 3)
    lines = rewrap(f"{around}\n\n{kept}\n\n{around}").split("\n\n")[3].split("\n")
    assert [line.strip() for line in lines] == [line.strip() for line in kept.split("\n")]


def test_text_with_a_paragraph_a_line_is_left_as_it_is() -> None:
    text = "\n".join(f"{'Long words and many of them. ' * 12}{n}" for n in range(20))
    assert rewrap(text) == text


@given(st.lists(st.text("abcdefg ", min_size=1, max_size=300).map(str.strip).filter(bool), min_size=1, max_size=6))
def test_rewrapping_loses_no_word(paragraphs: list[str]) -> None:
    text = "\n\n".join(textwrap.fill(p, 60, break_long_words=False) for p in paragraphs)
    assert rewrap(text).split() == text.split()


@given(st.text(max_size=500))
def test_any_text_goes_through(text: str) -> None:
    rewrap(strip_frame(text))


def test_a_book_of_aozora_loses_ruby_notes_and_frame(tmp_path: Path) -> None:
    rule = "-" * 55
    text = (
        f"吾輩は猫である\n夏目漱石\n{rule}\n【テキスト中に現れる記号について】\n《》：ルビ\n（例）吾輩《わがはい》は猫である\n{rule}\n"
        "［＃８字下げ］一［＃「一」は中見出し］\n吾輩《わがはい》は猫である。名前はまだ｜無《な》い。\n"
        + "本文。\n" * 9
        + "底本：「全集1」筑摩書房\n入力：柴田卓治\n"
    )
    path = tmp_path / "neko.txt"
    path.write_bytes(text.encode("cp932"))
    (document,), _ = read(path, "gutenberg")
    assert document["text"] == "吾輩は猫である\n夏目漱石\n一\n吾輩は猫である。名前はまだ無い。" + "\n本文。" * 9


def chapter(number: int, body: str = "") -> str:
    body = body or f"<h2>Chapter {number}</h2><p>Text of chapter&nbsp;{number}.</p><p>More &amp; more.</p>"
    return (
        '<?xml version="1.0" encoding="utf-8"?>\n<!DOCTYPE html PUBLIC "-//W3C//DTD XHTML 1.1//EN" "xhtml11.dtd">\n'
        f'<html xmlns="http://www.w3.org/1999/xhtml" xmlns:epub="http://www.idpf.org/2007/ops"><head><title>x</title>'
        f"<script/></head>{body if body.startswith('<body') else f'<body>{body}</body>'}</html>"
    )


def test_an_epub_is_read_in_spine_order(tmp_path: Path) -> None:
    path = tmp_path / "b.epub"
    path.write_bytes(epub_file({"c1.xhtml": chapter(1), "c%202.xhtml".replace("%20", " "): chapter(2)}, ["i1", "i0"]))
    assert recognise(str(path), "b.epub") == "epub"
    assert recognise(str(path), "noending") == "epub"
    (document,), problems = read(path, "epub")
    assert (
        document["text"]
        == "Chapter 2\n\nText of chapter 2.\n\nMore & more.\n\nChapter 1\n\nText of chapter 1.\n\nMore & more."
    )
    assert document["metadata"] == '{"title":"The Book","authors":["A. B.","C. D."],"language":"en","path":"b.epub"}'
    assert (document["id"], document["source"]) == ("b.epub", "books")
    assert not problems.counts


def test_cover_contents_and_licence_pages_are_dropped(tmp_path: Path) -> None:
    links = "".join(f'<p><a href="c{n}.xhtml">Chapter {n}</a></p>' for n in range(9))
    pages = {
        "cover.xhtml": chapter(0, '<body epub:type="cover"><p>Cover</p></body>'),
        "nav.xhtml": chapter(0, "<nav><p>Navigation</p></nav>"),
        "toc.xhtml": chapter(0, f"<h1>Contents</h1>{links}"),
        "guide.xhtml": chapter(0, "<p>From the guide</p>"),
        "colophon.xhtml": chapter(0, '<body><section epub:type="colophon"><p>Colophon</p></section></body>'),
        "pg.xhtml": chapter(0, "<p>*** START OF THE PROJECT GUTENBERG EBOOK THE BOOK ***</p>"),
        "c1.xhtml": chapter(1),
        "end.xhtml": chapter(0, "<p>*** END OF THE PROJECT GUTENBERG EBOOK THE BOOK ***</p><p>Licence</p>"),
    }
    guide = (
        '<guide><reference type="toc" href="text/guide.xhtml"/><reference type="toc" href="text/c1.xhtml#toc"/></guide>'
    )
    path = tmp_path / "b.epub"
    path.write_bytes(epub_file(pages, guide=guide))
    assert texts(read(path, "epub")[0]) == ["Chapter 1\n\nText of chapter 1.\n\nMore & more."]


def test_pages_of_an_epub_in_other_charsets_and_with_quirks_are_read(tmp_path: Path) -> None:
    pages: dict[str, str | bytes] = {
        "a.xhtml": chapter(1, "<p>Grüße</p>").replace('encoding="utf-8"', 'encoding="iso-8859-1"').encode("latin-1"),
        "b.xhtml": chapter(2, "<p>Zwei</p>").encode("utf-16"),
        "c.xhtml": chapter(3, '<div class="figcenter"/><p>Three<span class="pagenum">[Pg 9]</span> words</p>'),
        "d.xhtml": chapter(4, "<div>D</div><p>rop caps</p><p>verse<br/>lines</p>"),
    }
    path = tmp_path / "b.epub"
    path.write_bytes(epub_file(pages))
    assert texts(read(path, "epub")[0]) == ["Grüße\n\nZwei\n\nThree words\n\nDrop caps\n\nverse\nlines"]


def test_entries_outside_the_book_are_refused() -> None:
    assert entry_path("OEBPS", "text/a%20b.xhtml#x") == "OEBPS/text/a b.xhtml"
    assert entry_path("OEBPS", "../images/a.xhtml") == "images/a.xhtml"
    for href in ("../../etc/passwd", "/etc/passwd", "..", "http://x/y", "file:///etc/passwd", "../../../x"):
        assert entry_path("OEBPS", href) is None
    more = '<item id="evil" href="../../../etc/passwd" media-type="application/xhtml+xml"/>'
    book = read_epub(io.BytesIO(epub_file({"c.xhtml": chapter(1)}, ["evil", "i0", "lost"], more)), 1 << 20)
    assert book.text.startswith("Chapter 1")
    assert book.missing == ["../../../etc/passwd: outside the book"]


def test_a_zip_bomb_is_set_aside_before_it_unpacks(tmp_path: Path) -> None:
    path = tmp_path / "b.epub"
    path.write_bytes(epub_file({"c.xhtml": chapter(1, "<p>" + " " * (64 << 20) + "</p>")}))
    assert path.stat().st_size < 100_000
    start = time.perf_counter()
    documents, problems = read(path, "epub", max_record_bytes=1 << 20)
    assert time.perf_counter() - start < 2
    assert not documents
    assert problems.counts == {"record_too_large": 1}


ENTITY = '<!DOCTYPE package [<!ENTITY a "x"><!ENTITY b "&a;&a;">]>'
ENCRYPTION = (
    '<encryption xmlns="urn:oasis:names:tc:opendocument:xmlns:container" xmlns:enc="http://www.w3.org/2001/04/xmlenc#">'
    '<enc:EncryptedData><enc:EncryptionMethod Algorithm="{algorithm}"/><enc:CipherData><enc:CipherReference URI="{entry}"/>'
    "</enc:CipherData></enc:EncryptedData></encryption>"
)


@pytest.mark.parametrize(
    ("data", "reason", "detail"),
    [
        (b"no zip at all", "bad_epub", "BadZipFile: File is not a zip file"),
        (epub_file({"c.xhtml": chapter(1)})[:-200], "bad_epub", "BadZipFile: File is not a zip file"),
        (
            epub_file({"c.xhtml": chapter(1)}).replace(b"OEBPS/book.opf", b"OEBPS/book.xxx"),
            "bad_epub",
            "CRC-32|no package",
        ),
        (epub_file({"c.xhtml": "<html/>"}, more=ENTITY), "bad_epub", "book.opf: "),
    ],
)
def test_damaged_epubs_are_set_aside(data: bytes, reason: str, detail: str) -> None:
    with pytest.raises(EpubError, match=detail) as caught:
        read_epub(io.BytesIO(data), 1 << 20)
    assert caught.value.reason == reason


def test_encrypted_books_are_set_aside_and_obfuscated_fonts_are_not(tmp_path: Path) -> None:
    drm = ENCRYPTION.format(algorithm="http://www.w3.org/2001/04/xmlenc#aes128-cbc", entry="OEBPS/text/c.xhtml")
    font = ENCRYPTION.format(algorithm="http://www.idpf.org/2008/embedding", entry="OEBPS/font.otf")
    path = tmp_path / "b.epub"
    path.write_bytes(epub_file({"c.xhtml": chapter(1)}, **{"META-INF/encryption.xml": drm}))
    documents, problems = read(path, "epub")
    assert not documents
    assert problems.items[0]["detail"] == "the pages are encrypted (DRM)"
    path.write_bytes(epub_file({"c.xhtml": chapter(1)}, **{"META-INF/encryption.xml": font}))
    assert len(read(path, "epub")[0]) == 1


@given(at=st.integers(0, 3000), junk=st.binary(min_size=1, max_size=50))
def test_arbitrary_bytes_in_an_epub_end_in_counts(at: int, junk: bytes) -> None:
    data = epub_file({"c1.xhtml": chapter(1), "c2.xhtml": chapter(2)})
    with suppress(EpubError):
        read_epub(io.BytesIO(data[:at] + junk + data[at + len(junk) :]), 1 << 20)


TEI = """<?xml version="1.0" encoding="UTF-8"?>
<TEI xmlns="http://www.tei-c.org/ns/1.0" xml:id="ENG1" xml:lang="en"><teiHeader><fileDesc><titleStmt>
<title>The Novel : ELTeC edition</title><author>B, A (1800-1900)</author></titleStmt></fileDesc></teiHeader>
<text><front><p>Front matter</p></front><body><div type="chapter"><head>Chapter
 One</head><p>First <hi>para</hi>graph,<pb n="2"/> with
<choice><sic>teh</sic><corr>the</corr></choice> note<ref target="#n1">1</ref><note>gone</note>.</p>
<quote><lg><l>A line</l><l>Another <emph>line</emph></l></lg></quote><p>Before <quote><p>Inner</p></quote> after<lb/>here.</p>
<p><l>Loose one</l><l>Loose two</l></p></div></body><back><p>Notes</p></back></text></TEI>
"""


def test_tei_gives_the_body_and_leaves_the_apparatus(tmp_path: Path) -> None:
    path = tmp_path / "b.xml"
    path.write_text(TEI)
    assert recognise(str(path), "b.xml") == "tei"
    (document,), problems = read(path, "tei")
    assert document["text"] == (
        "Chapter One\n\nFirst paragraph, with the note.\n\nA line\nAnother line\n\nBefore\n\nInner\n\n"
        "after\nhere.\n\nLoose one\nLoose two"
    )
    assert (
        document["metadata"]
        == '{"title":"The Novel : ELTeC edition","author":"B, A (1800-1900)","language":"en","path":"b.xml"}'
    )
    assert not problems.counts


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"<a><b></a>", "mismatched tag"),
        (b'<!DOCTYPE a [<!ENTITY b "c">]><a>&b;</a>', "declares the entity 'b'"),
        (b'<!DOCTYPE a [<!ENTITY b SYSTEM "file:///etc/passwd">]><a>&b;</a>', "declares the entity 'b'"),
        (b'<!DOCTYPE a SYSTEM "http://x/y.dtd"><a>&nbsp;</a>', "undefined entity|^$"),
        (b"<a>" * 600, "more than 500 elements inside one another"),
        (b"", "no element found"),
    ],
)
def test_xml_that_declares_entities_or_is_broken_is_refused(data: bytes, message: str) -> None:
    if b"y.dtd" in data:  # expat leaves unknown entities of unread document types out; nothing is fetched
        assert "".join(parse(data).itertext()) == ""
        return
    with pytest.raises(XmlError, match=message):
        parse(data)


def test_hostile_tei_is_set_aside(tmp_path: Path) -> None:
    path = tmp_path / "b.xml"
    path.write_text(TEI.replace("<TEI", '<!DOCTYPE TEI [<!ENTITY x "y">]><TEI'))
    documents, problems = read(path, "tei")
    assert not documents
    assert problems.items[0]["detail"] == "declares the entity 'x'"


@pytest.mark.parametrize("kind", ["gutenberg", "epub", "tei", "txt", "html"])
def test_empty_and_binary_files_are_set_aside(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "b.txt"
    path.write_bytes(b"")
    assert read(path, kind)[1].counts == {"empty_file": 1}
    path.write_bytes(bytes(range(256)) * 20)
    documents, problems = read(path, kind)
    assert not documents or kind == "html"
    assert len(documents) + sum(problems.counts.values()) == 1
    path.write_bytes(b" \n ")
    documents, problems = read(path, kind)
    assert not documents
    assert sum(problems.counts.values()) == 1


def test_files_over_the_limit_are_set_aside(tmp_path: Path) -> None:
    path = tmp_path / "b.txt"
    path.write_bytes(b"word " * 1000)
    for kind in ("gutenberg", "epub", "tei", "txt", "html"):
        documents, problems = read(path, kind, max_record_bytes=4999)
        assert not documents
        assert problems.counts == {"record_too_large": 1}


BODY = "Words of the chapter, which go on for long enough that nobody takes them for a heading of anything at all. " * 3


def chapters(*names: str) -> str:
    return "\n\n".join(f"{name}\n\n{BODY}" for name in names)


@pytest.mark.parametrize(
    "table",
    [
        "CONTENTS\n\nCHAPTER I. The Lamp 3\nCHAPTER II. The Stair . . . 17\nCHAPTER III. The Door 40",
        "Contents\n\n1.\t\tTHE LAMP\n2.\t\tTHE STAIR\n3.\t\tTHE DOOR",
        "Inhalt\n\n\tChapter I: The Lamp\n\n\tChapter II: The Stair\n\n\tChapter III: The Door",
        "I.\nII.\nIII.\nIV.\nV.",
    ],
)
def test_contents_inside_a_page_of_a_book_are_left_out(table):
    book = chapters("CHAPTER I\nThe Lamp", "CHAPTER II\nThe Stair", "CHAPTER III\nThe Door")
    assert without_contents(f"A Title\n\n{table}\n\n{book}") == f"A Title\n\n{book}"


@pytest.mark.parametrize(
    "text",
    [
        f"CONTENTS\n\nNothing here comes again.\nNor this.\nNor that.\n\n{BODY}",
        f"Contents\n\nThe Lamp\n\n{chapters('The Lamp')}",
        f"I.\n\n{BODY}\n\nII.\n\n{BODY}\n\nIII.\n\nIV.\n\n{BODY}",
        "Act\n\n1\n2\n3\n\nfour",
    ],
)
def test_what_is_no_table_of_contents_stays(text):
    assert without_contents(text) == text


def test_links_of_an_epub_keep_their_words_and_lose_their_marks(tmp_path):
    tag = 'tag="{http://www.w3.org/1999/xhtml}a"'
    body = (
        f'<div class="transcribernote"><h2>Kolophon</h2><p>Korrekturen</p></div><p>As <a href="#x" {tag}>the eighth note</a> '
        f'says<a href="#n1" {tag}>[1]</a>, it rains<a id="p12" {tag}><b>12</b></a>.</p><div class="figcenter"><a {tag}>Picture'
        f' of rain</a></div><p class="mynote">Druckfehler</p><p>Note: Images of the pages are elsewhere.</p><p>{BODY * 40}</p>'
    )
    path = tmp_path / "a.epub"
    path.write_bytes(epub_file({"a.xhtml": f"<html><body>{body}</body></html>"}))
    (book,), _ = read(path, "epub")
    assert book["text"].split("\n\n") == ["As the eighth note says, it rains.", (BODY * 40).strip()]

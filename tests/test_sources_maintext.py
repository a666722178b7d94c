"""The default extractor: what it keeps and drops of crafted pages, the shape of its text, and what hostile pages cost."""

from __future__ import annotations

import html as entities
import re
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from megadata.corpus.sources.evidence import evidence, kinds, meaning
from megadata.corpus.sources.extract import extractor, tidy
from megadata.corpus.sources.maintext import choose, main_blocks
from megadata.corpus.sources.page import NAMES, join, scan, tag_number
from megadata.corpus.sources.pagetext import block_texts, render
from megadata.kernels import html as kernels

PROSE = {
    "en": [
        "The river rose by two metres in a single night, and the bridge at the mill was closed before dawn.",
        "Nobody in the village could remember such a flood, although the older people spoke of one, long ago.",
        "By noon the water had reached the church, where the bells were rung until the last families had left.",
        "A week later the fields were still grey with mud, but the mill turned again, and the school was open.",
    ],
    "de": [
        "In einer einzigen Nacht stieg der Fluss um zwei Meter, und die Brücke an der Mühle wurde noch vor dem Morgen gesperrt.",
        "Niemand im Dorf konnte sich an eine solche Flut erinnern, auch wenn die Älteren von einer sprachen, die lange her war.",
        "Gegen Mittag stand das Wasser an der Kirche, deren Glocken läuteten, bis die letzten Familien gegangen waren.",
        "Eine Woche später lag noch Schlamm auf den Feldern, aber die Mühle drehte sich wieder, und die Schule war offen.",
    ],
    "zh": [
        "一夜之间，河水上涨了两米，磨坊旁的大桥在天亮之前就被封闭了，村里的人都站在岸边看着。",
        "村里没有人记得有过这样的洪水，虽然老人们说起过很久以前的一次，那一次连教堂也被淹了。",
        "到了中午，水已经到了教堂门口，钟声一直响着，直到最后几户人家离开，才慢慢停了下来。",
        "一个星期以后，田里仍然满是泥土，可是磨坊又转动起来，学校也重新开门，孩子们回来了。",
    ],
    "ru": [
        "За одну ночь река поднялась на два метра, и мост у мельницы закрыли ещё до рассвета, чтобы никто не пострадал.",
        "Никто в деревне не помнил такого паводка, хотя старики рассказывали об одном, который был очень давно.",
        "К полудню вода дошла до церкви, где звонили в колокола, пока не ушли последние семьи, а потом всё стихло.",
        "Через неделю поля всё ещё были серыми от грязи, но мельница снова работала, и школа была открыта.",
    ],
}
AROUND = {
    "en": ("Home About Contact", "We use cookies to improve this site. Accept all",
           "Anna wrote: great story, thanks!", "All rights reserved"),
    "de": ("Startseite Über uns", "Wir verwenden Cookies. Alle annehmen",
           "Anna schrieb: schöner Text, danke!", "Alle Rechte vorbehalten"),
    "zh": ("首页 关于我们 联系", "本网站使用饼干。全部接受", "小明：写得很好，谢谢！", "版权所有"),
    "ru": ("Главная О нас", "Мы используем файлы cookie. Принять все", "Анна: хороший рассказ, спасибо!", "Все права защищены"),
}  # fmt: skip


def main_text(html: str) -> str:
    page = scan(html)
    return tidy(render(page, main_blocks(page)))


def whole(html: str) -> str:
    page = scan(html)
    return tidy(render(page, np.ones(len(page.blocks), np.bool_)))


def article(body: str, language: str = "en") -> str:
    nav, cookies, comment, rights = AROUND[language]
    links = "".join(f'<li><a href="/{i}">{word}</a></li>' for i, word in enumerate(nav.split()))
    return (
        f"<html><head><title>Flood</title><style>p {{ color: red }}</style></head><body><nav><ul>{links}</ul></nav>"
        f'<div id="cookie-banner" class="cookie-consent"><p>{cookies}</p></div><main><article class="post-content">{body}'
        f'</article></main><div id="comments"><h3>2</h3><div class="comment"><p>{comment}</p></div></div>'
        f'<footer class="site-footer"><p>© 2020. {rights}. <a href="/privacy">Privacy</a></p></footer></body></html>'
    )


@pytest.mark.parametrize("language", PROSE)
def test_paragraphs_are_kept_and_what_is_around_them_is_not(language: str) -> None:
    text = main_text(article("".join(f"<p>{line}</p>" for line in PROSE[language]), language))
    assert text == "\n\n".join(PROSE[language])


def test_an_old_page_of_line_breaks_in_a_table_is_read() -> None:
    menu = "<br>".join(f'<a href="p{i}.htm">Page number {i}</a>' for i in range(12))
    body = "<br><br>".join(PROSE["en"])
    html = f"<TABLE width=700><TR><TD width=120>{menu}<TD><FONT size=2>{body}</FONT></TABLE>"
    assert main_text(html) == "\n\n".join(PROSE["en"])


def test_lists_headings_tables_and_code_keep_their_shape() -> None:
    a, b, c, d = PROSE["en"]
    html = article(
        f"<p>{a}</p><h2>What was lost</h2><ul><li>The bridge at the mill, built of oak.<li>Two barns, and the hay "
        f"in them.<ul><li>One of them was new.</li></ul></ul><p>{b}</p><ol><li>Close the bridge.</li><li>Ring the "
        f"bells.</li></ol><p>{c}</p><table><tr><th>Day</th><th>Level</th></tr><tr><td>Monday</td><td>2.1 m</td></tr>"
        f"<tr><td>Tuesday</td><td>3.4 m</td></tr></table><p>{d}</p><pre><code>for day in week:\n    print(day)\n</code></pre>"
    )
    assert whole(html).split("\n\n", 2)[2].split("\n\n2\n\n")[0] == (
        f"{a}\n\nWhat was lost\n\n- The bridge at the mill, built of oak.\n- Two barns, and the hay in them."
        f"\n  - One of them was new.\n\n{b}\n\n1. Close the bridge.\n2. Ring the bells.\n\n{c}"
        f"\n\nDay | Level\nMonday | 2.1 m\nTuesday | 3.4 m\n\n{d}"
        "\n\nfor day in week:\n    print(day)"
    )


def test_formulas_are_latex_whatever_wrote_them() -> None:
    mathml = '<math alttext="{\\displaystyle x^{2}}"><mi>x</mi></math>'
    noted = (
        '<math display="block"><semantics><annotation encoding="application/x-tex">y=1</annotation></semantics></math>'
    )
    katex = f'<span class="katex"><span>{mathml}</span><span class="katex-html" aria-hidden="true">x2</span></span>'
    wiki = f'<span style="display: none;">{mathml}</span><img class="mwe-math-image" alt="{{\\displaystyle x^{{2}}}}">'
    jax = '<script type="math/tex">a &lt; b</script>'
    picture = '<img class="latex" alt="\\pi r^2">'
    assert whole(f"<p>So {mathml} and {noted}.") == "So $x^{2}$ and $$y=1$$."
    assert whole(f"<p>So {katex}.") == "So $x^{2}$."
    assert whole(f"<p>So {wiki}.") == "So $x^{2}$."
    assert whole(f"<p>So {jax} or {picture}.") == "So $a &lt; b$ or $\\pi r^2$."
    assert whole(f"<p>So {assistive(mathml)}{jax}.") == "So $a &lt; b$."
    assert whole(f"<p>So {assistive(mathml)} is.") == "So $x^{2}$ is."
    assert whole("<p>So <math><mi>z</mi><mo>=</mo><mn>1</mn></math>.") == "So $z=1$."


def assistive(mathml: str) -> str:
    """A formula as MathJax 3 leaves it in a page: in elements of its own, with MathML for readers of screens."""
    drawn = (
        '<mjx-math class="MJX-TEX" aria-hidden="true"><mjx-mi><mjx-c class="mjx-c1D465"></mjx-c></mjx-mi>x</mjx-math>'
    )
    return f'<mjx-container jax="CHTML">{drawn}<mjx-assistive-mml>{mathml}</mjx-assistive-mml></mjx-container>'


def test_raised_and_lowered_letters_do_not_run_into_the_number_before_them() -> None:
    assert whole("<p>10<sup>6</sup> molecules of H<sub>2</sub>O, x<sup>k</sup>") == "10⁶ molecules of H₂O, x^k"
    assert whole("<p>the 19<sup>th</sup> century, m<sup>2 </sup>each") == "the 19th century, m² each"
    assert whole("<p>so it was<sup>[1]</sup>, and<sup><a href=#n2>2</a></sup>") == "so it was[1], and2"
    assert whole("<p>10<sup>6<p>10") == "10⁶\n\n10"


STANDINGS = "<tr><th>Rank</th><th>Name</th><th>Team</th><th>Points</th></tr>" + "".join(
    f"<tr><td>{n}</td><td>Player {n}</td><td>Team {n % 5}</td><td>{900 - n}</td></tr>" for n in range(1, 24)
)


def test_a_table_of_data_stays_whole_between_paragraphs() -> None:
    a, b, c, d = PROSE["en"]
    body = f"<p>{a}</p><p>{b}</p><h2>Standings</h2><table>{STANDINGS}</table><p>{c}</p><p>{d}</p>"
    rows = ["Rank | Name | Team | Points", *(f"{n} | Player {n} | Team {n % 5} | {900 - n}" for n in range(1, 24))]
    text = "\n\n".join([a, b, "Standings", "\n".join(rows), c, d])
    assert main_text(article(body)) == text
    assert main_text(f"<h1>The flood</h1>{body}") in (text, f"The flood\n\n{text}")


@pytest.mark.parametrize("cells", ["<td><a href=/{n}>Page number {n}</a></td>", "<td>{n}</td>"])
def test_a_table_outside_the_text_goes_whole(cells: str) -> None:
    rows = "".join(f"<tr>{cells.format(n=n) * 4}</tr>" for n in range(24))
    body = "".join(f"<p>{line}</p>" for line in PROSE["en"])
    html = article(body).replace("<nav>", f"<nav><table>{rows}</table>")
    assert main_text(html) == "\n\n".join(PROSE["en"])


@given(seed=st.integers(0, 9999), columns=st.integers(2, 5), rows=st.integers(2, 9))
def test_rows_of_a_table_of_data_go_or_stay_together_whatever_their_points(seed: int, columns: int, rows: int) -> None:
    body = "".join("<tr>" + "<td>Some words, here" * columns for _ in range(rows))
    page = scan("".join(f"<p>{line}</p>" for line in PROSE["en"]) + f"<table>{body}</table><p>end")
    points = np.random.default_rng(seed).normal(0, 2, len(page.blocks)).round(2)
    joined = join([page])
    kept = choose(joined, evidence(joined), points)
    assert len(set(kept[4 : 4 + rows * columns].tolist())) == 1


def test_markup_that_is_not_closed_or_not_markup() -> None:
    assert whole("<p>one<p>two<li>three<li>four") == "one\n\ntwo\n\n- three\n- four"
    assert whole("a < b and <b>c</b> &amp; d &lt;e>") == "a < b and c & d <e>"
    assert whole("x<!-- no --> y<!--> z<script>no</script><style>no") == "x y zno"
    assert whole("<p title='a > b'>text</p><p title=\"unclosed>lost") == "text"
    assert whole("<div>out<span hidden>no<span>no</span>no</span>side</div>") == "outside"
    assert whole("<td>cell outside</td>") == "cell outside"
    assert whole("<a href=x>link<p>para</a> tail") == "link\n\npara tail"


def test_code_and_headings_between_paragraphs_stay_and_line_numbers_go() -> None:
    a, b, c, d = PROSE["en"]
    numbers, lines = "<td class=gutter><pre>1\n2\n3\n</pre></td>", "<pre>flood = 2.1\n\n  rise(flood)\n</pre>"
    code = f"<table><tr>{numbers}<td class=code>{lines}</td></tr></table>"
    text = main_text(article(f"<p>{a}</p><h2>How it rose</h2><p>{b}</p><p>{c}</p>{code}<h3>After it</h3><p>{d}</p>"))
    assert text == f"{a}\n\nHow it rose\n\n{b}\n\n{c}\n\nflood = 2.1\n\n  rise(flood)\n\nAfter it\n\n{d}"


def test_menus_and_headings_over_nothing_are_not_text() -> None:
    menu = " ".join(f"<a href='/{i}'>Report of the year {i}</a>" for i in range(9))
    body = "".join(f"<p>{line}</p>" for line in PROSE["en"])
    assert main_text(article(f"<p>{menu}</p>{body}<h2>Related</h2>")) == "\n\n".join(PROSE["en"])


def test_what_says_that_it_is_the_body_of_the_article_is_that_whatever_else_it_is_called() -> None:
    body = "".join(f"<p>{line}</p>" for line in PROSE["en"])
    steps = "".join(f"<li>Click the icon of blocker {n}, then choose to allow this page.</li>" for n in range(9))
    notice = f"<aside class=adblock-notice><div class=instructions><ul>{steps}</ul></div></aside>"
    html = f"<body><article><div id=comments-share-box itemprop=articleBody>{body}</div></article>{notice}</body>"
    assert main_text(html) == "\n\n".join(PROSE["en"])


def test_numbered_lists_begin_where_they_say() -> None:
    assert whole("<ol start=5><li>five<li>six<li value='9'>nine<li>ten</ol>") == "5. five\n6. six\n9. nine\n10. ten"
    assert whole("<ol start=0><li>none</ol>") == "0. none"
    for start in ("-3", "x", "", "9" * 30):
        assert whole(f"<ol start='{start}'><li>one<li>two</ol>") == "1. one\n2. two"


def test_an_article_in_a_column_that_is_an_item_of_a_list_is_read() -> None:
    body = "".join(f"<p>{line}</p>" for line in PROSE["zh"])
    links = "".join(
        f"<div><h4><a href=/{i}>{AROUND['zh'][1]}{i}</a></h4><p>评论 {i} 赞 {i}</p></div>" for i in range(40)
    )
    html = f"<body><ul class=columns><li class=left><div class=content>{body}</div>{links}</li><li class=right>{links}</li></ul>"
    assert main_text(html) == "\n\n".join(PROSE["zh"])


def test_a_copy_for_small_screens_is_written_once() -> None:
    line = PROSE["en"][0]
    assert whole(f"<div><section><p>{line}</p></section></div><div><aside><p>{line}</p></aside></div>") == line
    assert whole(f"<div><p>{line}</p><p>{line}</p></div>") == f"{line}\n\n{line}"


def test_a_line_may_occur_twice_in_one_part_of_the_page() -> None:
    line = PROSE["en"][0]
    assert whole(f"<article><div><p>{line}</p></div><div><p>{line}</p></div></article>") == f"{line}\n\n{line}"


def test_a_short_page_with_nothing_around_its_text_is_all_text() -> None:
    lines = [*PROSE["en"][:2], "A mill", "River Road 3", "Open daily"]
    html = "".join(f"<p>{line}</p>" for line in lines)
    assert main_text(f"<body>{html}</body>") == "\n\n".join(lines)
    # Short lines beside paragraphs are no text where anything else says that the page has a frame.
    menu = "".join(f"<a href='/{i}'>Report of the year {i}</a> " for i in range(9))
    for frame in (f"<div>{menu}</div>", "<div class='footer'>The mill</div>", "<p>a</p>" * 30):
        assert main_text(f"<body>{html}{frame}</body>") == "\n\n".join(PROSE["en"][:2])


def test_headings_over_nothing_are_better_than_an_empty_text() -> None:
    assert main_text("<article><h2>The flood</h2><img><h2>The mill</h2><img></article>") == "The flood\n\nThe mill"


def test_hidden_paragraphs_are_no_text_unless_a_script_shows_the_page() -> None:
    a, b, c, d = PROSE["en"]
    shown, hidden = f"<p>{a}</p><p>{b}</p><p>{c}</p>", f"<div style='display: none'><p>{d}</p></div>"
    assert main_text(article(shown + hidden)) == f"{a}\n\n{b}\n\n{c}"
    assert main_text(article(f"<div style='visibility:hidden'>{shown}</div><p>{d}</p>")) == "\n\n".join(PROSE["en"])


def test_class_names_are_read_word_by_word() -> None:
    def found(value: str) -> set[str]:
        bits = meaning(value.encode())
        return {name for place, name in enumerate(kinds()) if bits >> place & 1}

    assert {"article", "comments"} <= found("post-comments")
    assert "nav" in found("mainNavigation")
    assert "ad" not in found("loading shadow header-load")
    assert found("twitter-tweet") == set()


def test_the_tree_is_that_of_the_standard_where_text_depends_on_it() -> None:
    page = scan("<ul><li>a<li>b<ul><li>c</ul>d</ul><table><tr><td>e<td>f<tr><td>g</table><dl><dt>h<dd>i</dl>")
    paths = []
    for node in page.blocks[:, kernels.NODE].tolist():
        path = []
        while node >= 0:
            path.append(NAMES[page.nodes[node, kernels.TAG]])
            node = page.nodes[node, kernels.PARENT]
        paths.append("/".join(reversed(path)))
    assert list(zip(block_texts(page), paths, strict=True)) == [
        ("a", "ul/li"), ("b", "ul/li"), ("c", "ul/li/ul/li"), ("d", "ul/li"),
        ("e", "table/tr/td"), ("f", "table/tr/td"), ("g", "table/tr/td"), ("h", "dl/dt"), ("i", "dl/dd"),
    ]  # fmt: skip
    with pytest.raises(KeyError):
        tag_number("nosuch")


MARKUP = st.lists(
    st.sampled_from([
        "<p>", "</p>", "<div class='content'>", "</div>", "<a href=x>", "</a>", "<li>", "<ul>", "</ul>", "<table>", "<tr>",
        "<td>",
        "</td>", "</table>", "<br>", "<pre>", "</pre>", "<span hidden>", "</span>", "<h2>", "</h2>", "<math>", "</math>", "<!--",
        "-->", "<script>", "</script>", "&amp;", "&", "<", ">", '"', "'", "=", "<p class=\"", "word ", "Some words, and more. ",
        "你好，世界。", "\u00a0", "\n", "  ", "<x-y>", "</x-y>", "</", "<!", "<?", "é", "\ud800", "\U0001f600", "<svg>", "</svg>",
    ]),
    max_size=60,
).map("".join)  # fmt: skip


@given(html=MARKUP)
def test_any_markup_gives_only_letters_of_the_page_and_the_same_each_time(html: str) -> None:
    extract = extractor("blocks").extract
    text = extract(html, None) or ""
    assert text == (extract(html, "http://x/") or "")
    letters = set(re.findall(r"\w", entities.unescape(html))) | set("0123456789")
    assert set(re.findall(r"\w", text)) <= letters
    page = scan(html)
    assert len("".join(block_texts(page))) <= len(html) * 2 + 2
    after = page.nodes[:, kernels.AFTER]
    assert np.all(after > np.arange(len(after)))
    assert np.all(page.nodes[:, kernels.BLOCK_AT] <= page.nodes[:, kernels.BLOCK_END])
    assert np.all(np.diff(page.blocks[:, kernels.FIRST_PIECE]) > 0)


@given(html=MARKUP, shift=st.integers(1, 130))
def test_blocks_are_the_same_wherever_they_lie_in_memory(html: str, shift: int) -> None:
    """Kernels look at sixty-four bytes at a time, and one by one at the end."""
    page, moved = scan(html), scan(" " * shift + html)
    assert block_texts(moved) == block_texts(page)
    assert np.array_equal(moved.nodes[:, kernels.TAG], page.nodes[:, kernels.TAG])
    assert np.array_equal(moved.blocks[:, kernels.CHARACTERS :], page.blocks[:, kernels.CHARACTERS :])


HOSTILE = {
    "deep": lambda n: "<div>" * n + "text",
    "deep, with text": lambda n: "<div><p>x" * n + "</div>" * n,
    "ends that match nothing": lambda n: "<section><table><td>" + "<div>" * n + "</section>" * n,
    "attributes": lambda n: "<p " + "a=1 " * n + ">text",
    "classes": lambda n: "<p " + "class=menu " * n + ">text",
    "cells": lambda n: "<table>" + "<tr><td>cell" * n,
    "items": lambda n: "<ul>" + "<li>item" * n,
    "headings": lambda n: "<h2>x</h2>" * n,
    "comments": lambda n: "<!--" * n,
    "scripts": lambda n: "<script>" * n,
    "formulas": lambda n: "<math>" * n,
    "titles": lambda n: "<title>" * n + "text",
    "less than": lambda n: "<" * n,
    "ampersands": lambda n: "&" * n,
    "a long style": lambda n: "<p style='" + "display " * n + "'>text",
    "paragraphs": lambda n: "<p>word</p>" * n,
    "words in classes": lambda n: "".join(f"<p class=c{i}x>a" for i in range(n)),
}


@pytest.mark.timeout(120)
@pytest.mark.parametrize("of", HOSTILE.values(), ids=HOSTILE)
def test_hostile_pages_end_with_little_more_than_they_hold(of: Callable[[int], str]) -> None:
    html = of(20_000)  # what is quadratic takes minutes here
    page = scan(html)
    assert len(page.nodes) <= html.count("<")
    assert max(len(page.blocks), len(page.pieces)) <= 2 * html.count("<") + 2
    assert len(main_text(html)) <= 2 * len(html)


def test_open_elements_are_bounded_however_deep_the_page() -> None:
    page = scan("<div><p>x" * 5_000)
    depth = np.zeros(len(page.nodes), np.int64)
    for node, parent in enumerate(page.nodes[:, kernels.PARENT].tolist()):
        depth[node] = depth[parent] + 1 if parent >= 0 else 1
    assert depth.max() == kernels.DEEPEST
    assert len(page.blocks) == 5_000

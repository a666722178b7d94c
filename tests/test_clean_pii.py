"""Personal data: what is found and what only looks like it, what it becomes, and documents that hold too much of it."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from megadata.corpus.pii import KINDS, Pii
from megadata.corpus.pii_patterns import IBAN_LENGTHS, luhn
from megadata.corpus.rules import load_rules
from megadata.documents.batch import DocBatch
from megadata.errors import ConfigError

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "benchmarks"))
import pii_spans

VALUES = [
    "a.b@c.de",
    "请发邮件至x@qq.com谢谢",
    "è@b.fr",
    "8.8.4.4",
    "+1 202-456-1111",
    "+41\u00a044\u00a0360\u00a052\u00a062",
    "Tel. 030 – 901820",
]
KEY = "-----BEGIN RSA PRIVATE KEY-----\n" + "MIIEowIBAAKCAQEA\n" * 20 + "-----END RSA PRIVATE KEY-----"


def batch(*texts: str) -> DocBatch:
    return DocBatch.of([str(i) for i in range(len(texts))], list(texts))


def spans(text: str, **options) -> list[tuple[str, str]]:
    found = Pii(**options).find(batch(text)).get(0, [])
    return [(kind, text.encode()[a:b].decode()) for a, b, kind in found]


@pytest.mark.parametrize(
    ("text", "kind", "value"),
    [
        ("Write to jane.o'hara+news@mail.foo.co.uk, please.", "email", "jane.o'hara+news@mail.foo.co.uk"),
        ("(mailto:info@büro.de)", "email", "info@büro.de"),
        ("at jim@uni.edu.Thank you", "email", "jim@uni.edu"),
        ("举报邮箱：2802327246@qq.com举报", "email", "2802327246@qq.com"),
        ("an redaktion (at) wakenews.net, oder", "email", "redaktion (at) wakenews.net"),
        ("info[AT]foo.de", "email", "info[AT]foo.de"),
        ("Jane Doe, jane @ cs.foo.edu", "email", "jane @ cs.foo.edu"),
        ("почта иван@пример.рф,", "email", "иван@пример.рф"),
        ("from 8.8.8.8.", "ip", "8.8.8.8"),
        ("host 2001:4860:4860::8888 answers", "ip", "2001:4860:4860::8888"),
        ("see http://203.0.112.9/x", "ip", "203.0.112.9"),
        ("Tel: 030 901820 Berlin", "phone", "030 901820"),
        ("Telefon: +49 (30) 9018-20", "phone", "+49 (30) 9018-20"),
        ("电话：+86 10 6552 9988。", "phone", "+86 10 6552 9988"),
        ("or (202) 456-1111 on 2011-12-21", "phone", "(202) 456-1111"),
        ("1-800-935-2620", "phone", "1-800-935-2620"),
        ("Call Ms Smith at 458-0900.", "phone", "458-0900"),
        ("☎ 01 40 20 50 50", "phone", "01 40 20 50 50"),
        ("Zürich, +41\u00a044\u00a0360\u00a052\u00a062", "phone", "+41\u00a044\u00a0360\u00a052\u00a062"),
        ("Tel. 0228 – 6845 7350", "phone", "0228 – 6845 7350"),
        ("Kiev. Fax: +38(44) 274-10-49", "phone", "+38(44) 274-10-49"),
        ("telephone us on 08 8204 9870.", "phone", "08 8204 9870"),
        ("Benjamin Romano: 206-652-6593", "phone", "206-652-6593"),
        ("举报电话：027-66668888", "phone", "027-66668888"),
        ("card 4111 1111 1111 1111 exp", "card", "4111 1111 1111 1111"),
        ("5500-0000-0000-0004", "card", "5500-0000-0000-0004"),
        ("IBAN DE89 3704 0044 0532 0130 00 bei", "iban", "DE89 3704 0044 0532 0130 00"),
        ("GB82WEST12345698765432", "iban", "GB82WEST12345698765432"),
        ("id AKIAIOSFODNN7EXAMPLE", "secret", "AKIAIOSFODNN7EXAMPLE"),
        ("token=ghp_" + "a1B2" * 9, "secret", "ghp_" + "a1B2" * 9),
        (f"x\n{KEY}\ny", "secret", KEY),
    ],
)
def test_personal_data_is_found_from_its_first_to_its_last_character(text: str, kind: str, value: str) -> None:
    assert spans(text) == [(kind, value)]


@pytest.mark.parametrize(
    "text",
    [
        "me@example.com, logo@2x.png, @handle, user@server, a @ b.com, @user@mastodon.social",
        "192.168.0.1 10.0.0.1 127.0.0.1 version 1.2.3.4 1.2.3 999.1.1.1 1.2.3.4.5",
        "10:30:22 std::vector 12:45 a:b",
        "Section 5.1.4.2, Sección\u00a06.3.1.1, 参阅第\u00a06.3.4.2\u00a0节 and EC number 2.6.1.12",
        "\n5.1.4.1. Network cards\n17.4.1.2.\u00a0Features",
        "2001:db8::1, 2002::/16, 64:ff9b:1::, ::abc:7:def",
        "git@salsa.debian.org:ddp-team/faq.git",
        "Contact us. Last updated 09/26/2002. Info: /text/shared/01/05250400.xhp",
        "2011-12-21 21.12.2011 1914-1918 1.234.567.890 3,000,000 3 000 000 ISBN 978-3-16-148410-0",
        "about 1 500 000 people, page 458-0900, Posted 10/18/2012 at 2:57",
        "4111 1111 1111 1112 1234567890123456 0000 0000 0000 0000",
        "DE89 3704 0044 0532 0130 01 GB12 ABCD",
        "AKIA123 ghp_short -----BEGIN PUBLIC KEY-----",
    ],
)
def test_what_only_looks_like_it_stays(text: str) -> None:
    assert spans(text) == []


def test_masks_name_the_kind_and_pseudonyms_are_the_same_for_the_same_value() -> None:
    docs = batch("Ask Jim@Foo.com or jim@foo.com, not joe@foo.com. From 8.8.8.8 ☎ +1 202-456-1111.")
    assert Pii().map(docs).texts == ["Ask <email> or <email>, not <email>. From <ip> ☎ <phone>."]
    assert Pii(placeholder="[{kind}]", kinds=("ip",)).map(docs).texts[0].endswith("From [ip] ☎ +1 202-456-1111.")
    (text,) = Pii(action="pseudonym").map(docs).texts
    first, second, third = (word.strip(",.") for word in text.split() if "@example.com" in word)
    assert first == second != third
    assert Pii(action="pseudonym", salt="s").map(docs).texts != [text]


@given(st.text(max_size=40), st.sampled_from(["a.b@c.de", "8.8.4.4", "+1 202-456-1111", "GB82WEST12345698765432", ""]))
def test_what_was_replaced_is_not_found_again(around: str, value: str) -> None:
    docs = batch(f"{around} {value} {around}")
    for action in ("mask", "pseudonym"):
        once = Pii(action=action).map(docs)
        assert Pii(action=action).map(once).texts == once.texts


@given(st.lists(st.text(max_size=30), min_size=2, max_size=2), st.sampled_from(VALUES))
def test_spans_are_whole_characters_whatever_stands_beside_them(around: list[str], value: str) -> None:
    text = value.join(around)
    for start, stop, _ in (span for spans in Pii().find(batch(text)).values() for span in spans):
        assert text.encode()[start:stop].decode()
    Pii().map(batch(text))


def test_documents_with_too_much_are_dropped_and_all_kinds_are_counted() -> None:
    docs = batch("a@b.com c@d.com 8.8.8.8", "a@b.com", "nothing")
    verdict, mapped = Pii(drop_above=2).judge_and_map(docs)
    assert list(verdict) == [*KINDS, "too_much"]
    assert verdict["email"].values.tolist() == [2, 1, 0]
    assert not verdict["email"].mask.any()
    assert verdict["too_much"].mask.tolist() == [True, False, False]
    assert mapped.texts[2] == "nothing"
    assert Pii().map(batch("x", "y")).texts == ["x", "y"]


@pytest.mark.long
def test_spans_marked_in_real_pages_are_found(real_data: Path) -> None:
    """The figures of docs/rules.md, with room for a changed rule, none for a broken one."""
    texts = pii_spans.sample(real_data)
    marked = pii_spans.labels({text.name: text.text for text in texts})
    count, _ = pii_spans.compare(texts, marked, pii_spans.ours(texts))
    least = {"email": (0.95, 0.95), "ip": (1, 0.7), "phone": (0.88, 0.97), "iban": (1, 1)}
    for kind, (recall, precision) in least.items():
        assert count[kind]["recalled"] >= recall * count[kind]["marked"] > 0, kind
        assert count[kind]["right"] >= precision * count[kind]["found"], kind
    assert count["card"]["found"] == count["secret"]["found"] == 0


def test_numbers_of_cards_and_accounts_are_checked() -> None:
    assert luhn("4111111111111111")
    assert not luhn("4111111111111112")
    assert (IBAN_LENGTHS["DE"], IBAN_LENGTHS["NO"], IBAN_LENGTHS["MT"], len(IBAN_LENGTHS)) == (22, 15, 31, 79)


def test_it_is_a_step_of_rule_lists(tmp_path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("rules: 1\nabout: x\nsteps:\n- pii: {drop_above: 3, kinds: [email]}\n")
    outcome = load_rules(str(path)).apply(batch("a@b.com " * 4, "to a@b.com"))
    assert (outcome.reasons, outcome.values, outcome.kept.texts) == (["pii.too_much"], [4.0], ["to <email>"])
    with pytest.raises(ConfigError, match="drop_above: expected 0 or more, found -1"):
        Pii(drop_above=-1)

"""What personal data looks like: exact checks of the candidates that a kernel finds.

Each function gets bytes of a document and a place, and gives (start, stop) of a span or None. Sources: RFC 5321 and 5322 (mail),
RFC 6890 (addresses that are not public, through `ipaddress`), ISO 13616 (IBAN), ISO/IEC 7812 (Luhn), libphonenumber, and the
providers' descriptions of their keys.
"""

from __future__ import annotations

import functools
import ipaddress
import re

Span = tuple[int, int]

_LETTERS = "\u00c0-\u00d6\u00d8-\u00f6\u00f8-\u024f\u0370-\u0373\u0376-\u037d\u0386-\u0481\u048a-\u0556\u0561-\u0587"
"""Letters beyond ASCII in addresses: of scripts that put spaces around words, so that an address does not grow into the text."""
_LOCAL = re.compile(rf"[A-Za-z0-9.!#$%&'*+/=?^_`{{|}}~{_LETTERS}-]{{1,64}}\Z")
_DOMAIN = re.compile(
    rf"(?:[A-Za-z0-9{_LETTERS}](?:[A-Za-z0-9{_LETTERS}-]{{0,61}}[A-Za-z0-9{_LETTERS}])?\.){{1,8}}"
    rf"(?:[A-Za-z][A-Za-z0-9-]{{0,22}}[A-Za-z0-9]|[{_LETTERS}]{{2,24}})(?![A-Za-z0-9{_LETTERS}])"
)
_NO_DOMAIN = ("png", "jpg", "jpeg", "gif", "svg", "webp", "css", "js", "php", "html", "local", "localhost")
_RESERVED = re.compile(r"(?:^|\.)example\.(?:com|org|net)$|\.(?:example|invalid|test)$", re.IGNORECASE)
"""Domains for documentation (RFC 2606), which nobody has; pseudonyms use them."""

_IPV4 = re.compile(rb"(?<![\d.])(?:\d{1,3}\.){3}\d{1,3}(?![\d]|\.\d)")
_IPV6 = re.compile(rb"(?<![0-9A-Za-z:.])[0-9A-Fa-f:]{4,39}(?![0-9A-Za-z:]|\.\d)")
_VERSION = re.compile(
    r"(?:(?<!\w)(?:version|ver|v|release|rev|build|firmware|kernel|os|ec(?:[ _-]?n(?:umber|o|r))?|sec(?:t|tion|ció|ción|țiunea)?|"
    r"sezione|seção|secção|abschnitt|afsnit|avsnitt|kap(?:itel|itola|itolo)?|chapter|chapitre|cap(?:ítulo|ítol)?|hoofdstuk|"
    r"paragraaf|oddíl|rozdział|раздел|розділ|τμήμα|ενότητα|bölüm)|第|章|节|節|절|§)[\s.:=|]{0,4}$",
    re.IGNORECASE,
)
_HEADING = re.compile(r"(?:^|\n)[ \t\u3000]*$")
_BEHIND_HEADING = re.compile(rb"\.(?:[ \n]|\xc2\xa0)|\.in-addr")

_CARD = re.compile(rb"(?<![\d.])(?:\d[ -]?){12,18}\d(?![\d]|[.-]\d)")
_ISSUED = re.compile(
    rb"(?:4(?:\d{12}|\d{15}|\d{18})|(?:5[1-5]|2[2-7])\d{14}|3[47]\d{13}|3(?:0[0-5]|[68]\d)\d{11}"
    rb"|(?:6011|64[4-9]\d|65\d\d|35[2-8]\d|62\d\d)\d{12,15})\Z"
)
"""Beginnings and lengths of the numbers of Visa, Mastercard, American Express, Diners Club, Discover, JCB and UnionPay."""

_PHONE = re.compile(rb"(?:\+|00|\(\+)?[\d(][\d ()./-]{5,22}\d")
_DIGITS = re.compile(rb"\d+")
_AMERICAN = re.compile(
    rb"(?<![\d.])(?:\+?1[ .-]{0,3})?(?:\( ?\d{3} ?\) {0,2}|\d{3}[ .-]{1,3})\d{3}[ .-]{1,3}\d{4}(?![\d]|[.-]\d)"
)
_CALL = re.compile(
    r"(?:(?<!\w)(?:tele?(?:(?:ph|f)on[eo]?)?|tél(?:éphone)?|phone|fone|fax|telefax|mobile?|cell|call|whatsapp|hotline|helpline|"
    r"freephone|handy|ph|t|f|тел(?:ефон)?|факс)|(?:电话|電話|行動|手机|热线|熱線|报料|전화|☎|✆|📞))"
    r"\s{0,8}(?:no|nr|number|us|at|on|:|\.|\)|：|#|-){0,8}\s{0,8}$",
    re.IGNORECASE,
)
_LOCAL_NUMBER = re.compile(rb"[2-9]\d\d-\d{4}(?![\d]|[.-]\d)")
_ASK = re.compile(
    rb"\b(?:call|phone|telephone|tel|fax|kontakt|contact|reach|dial|info(?:rmation)?|helpline|hotline|telesales|freephone)\b"
    rb"|\d{3}-\d{4},? or ",
    re.IGNORECASE,
)
_DATES = re.compile(
    rb"(?:19|20)\d\d[-./ ](?:0?[1-9]|1[0-2])[-./ ](?:0?[1-9]|[12]\d|3[01])"
    rb"|(?:0?[1-9]|[12]\d|3[01])[-./](?:0?[1-9]|1[0-2])[-./](?:19|20)\d\d"
    rb"|(?:0?[1-9]|1[0-2])[-./](?:0?[1-9]|[12]\d|3[01])[-./](?:19|20)\d\d"
)
_BOOKS = re.compile(
    rb"(?<![A-Za-z\x80-\xff])(?:isbn|issn|doi|oclc|id|no|nr|pp?|art)[\s.:-]{0,8}(?:1[03])?[\s:.-]{0,8}$", re.IGNORECASE
)

_IBAN = re.compile(rb"[A-Z]{2}\d{2}(?: ?[0-9A-Z]{4}){2,7}(?: ?[0-9A-Z]{1,3})?(?![0-9A-Za-z])")
_LENGTHS = (
    "AD24 AE23 AL28 AT20 AZ28 BA20 BE16 BG22 BH22 BR29 BY28 CH21 CR22 CY28 CZ24 DE22 DK18 DO28 EE20 EG29 "
    "ES24 FI18 FO18 FR27 GB22 GE22 GI23 GL18 GR27 GT28 HR21 HU28 IE22 IL23 IQ23 IS26 IT27 JO30 KW30 KZ20 "
    "LB28 LC32 LI21 LT20 LU20 LV21 LY25 MC27 MD24 ME22 MK19 MR27 MT31 MU30 NL18 NO15 PK24 PL28 PS29 PT25 "
    "QA29 RO24 RS22 SA24 SC31 SD18 SE24 SI19 SK24 SM27 ST25 SV28 TL23 TN24 TR26 UA29 VA22 VG24 XK20 "
)
IBAN_LENGTHS = {code[:2]: int(code[2:]) for code in _LENGTHS.split()}
"""Characters of an IBAN by country (ISO 13616 registry)."""

SECRETS: dict[bytes, re.Pattern[bytes]] = {
    b"AKIA": re.compile(rb"AKIA[0-9A-Z]{16}(?![0-9A-Za-z])"),
    b"ASIA": re.compile(rb"ASIA[0-9A-Z]{16}(?![0-9A-Za-z])"),
    b"ghp_": re.compile(rb"ghp_[0-9A-Za-z]{36,}"),
    b"gho_": re.compile(rb"gho_[0-9A-Za-z]{36,}"),
    b"ghs_": re.compile(rb"ghs_[0-9A-Za-z]{36,}"),
    b"ghu_": re.compile(rb"ghu_[0-9A-Za-z]{36,}"),
    b"github_pat_": re.compile(rb"github_pat_[0-9A-Za-z_]{60,}"),
    b"glpat-": re.compile(rb"glpat-[0-9A-Za-z_-]{20,}"),
    b"xoxb-": re.compile(rb"xoxb-[0-9A-Za-z-]{20,}"),
    b"xoxp-": re.compile(rb"xoxp-[0-9A-Za-z-]{20,}"),
    b"sk_live_": re.compile(rb"sk_live_[0-9A-Za-z]{16,}"),
    b"rk_live_": re.compile(rb"rk_live_[0-9A-Za-z]{16,}"),
    b"AIza": re.compile(rb"AIza[0-9A-Za-z_-]{35}(?![0-9A-Za-z_-])"),
    b"sk-": re.compile(rb"sk-(?:proj-|ant-[a-z0-9]+-)?[0-9A-Za-z_-]{32,}"),
    b"hf_": re.compile(rb"hf_[0-9A-Za-z]{34,}"),
    b"npm_": re.compile(rb"npm_[0-9A-Za-z]{36}(?![0-9A-Za-z])"),
    b"pypi-AgEI": re.compile(rb"pypi-AgEI[0-9A-Za-z_-]{50,}"),
    b"SG.": re.compile(rb"SG\.[0-9A-Za-z_-]{22}\.[0-9A-Za-z_-]{43}"),
    b"eyJ": re.compile(rb"eyJ[0-9A-Za-z_-]{8,}\.eyJ[0-9A-Za-z_-]{8,}\.[0-9A-Za-z_-]{16,}"),
    b"-----BEGIN ": re.compile(
        rb"-----BEGIN (?:[A-Z]{2,10} ){0,2}PRIVATE KEY-----[^-]{40,8000}-----END (?:[A-Z]{2,10} ){0,2}PRIVATE KEY-----"
    ),
}
"""Prefix -> what follows it in a key or token."""


_AT = re.compile(rb"@|[(\[] ?at ?[)\]]", re.IGNORECASE)


def email(text: bytes, at: int) -> Span | None:
    """The address around an ``@``, also with spaces on both sides of it, or around ``(at)``."""
    sign = _AT.match(text, at)
    if sign is None:
        return None
    start, stop = sign.span()
    if text[start - 1 : start] == b" " and text[stop : stop + 1] == b" ":
        start, stop = start - 1, stop + 1
    before = text[max(start - 128, 0) : start].decode("utf-8", "ignore")
    after = text[stop : stop + 256].decode("utf-8", "ignore")
    found = _LOCAL.search(before, max(len(before) - 64, 0))
    domain = _DOMAIN.match(after)
    if found is None or domain is None:
        return None
    local, name = found[0].lstrip(".'/=-|*`"), domain[0]
    local = local[7:] if local.lower().startswith("mailto:") else local
    if (
        len(local) < (3 if stop - start > 1 else 1)
        or local.endswith(".")
        or before[: len(before) - len(local)].endswith("@")
    ):
        return None
    if name.lower().rpartition(".")[2] in _NO_DOMAIN or _RESERVED.search(name):
        return None
    if local == "git" and after[len(name) : len(name) + 1] == ":":  # a repository's address
        return None
    last = name.rpartition(".")[2]
    if last.istitle() and name.count(".") > 1:  # "org.Thank you": the next sentence without its space
        name = name[: -len(last) - 1]
    return start - len(local.encode()), stop + len(name.encode())


def ipv4(text: bytes, at: int, stop: int) -> Span | None:
    """A public IPv4 address that begins at `at`; not a version, nor the number of a section."""
    found = _IPV4.match(text, at, min(len(text), stop + 3))
    if found is None or not _public(found[0].decode()):
        return None
    before = text[max(at - 40, 0) : at].decode("utf-8", "ignore")
    if _VERSION.search(before):
        return None
    behind = _BEHIND_HEADING.match(text, found.end())
    if behind is not None and (_HEADING.search(before) or behind[0] == b".in-addr"):
        return None
    return found.span()


def ipv6(text: bytes, at: int) -> Span | None:
    """A global unicast IPv6 address (RFC 4291: 2000::/3) around a colon; not a network with the length of its prefix."""
    start = at
    while start > max(at - 39, 0) and text[start - 1 : start] in _HEX:
        start -= 1
    found = _IPV6.match(text, start)
    if found is None or found[0].count(b":") < 2 or not _public(found[0].decode()):
        return None
    if ipaddress.ip_address(found[0].decode()) not in _UNICAST or text[found.end() : found.end() + 1] == b"/":
        return None
    return found.span()


_UNICAST = ipaddress.ip_network("2000::/3")
_HEX = frozenset(bytes([b]) for b in b"0123456789abcdefABCDEF:")


def _public(address: str) -> bool:
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return False
    return parsed.is_global and not parsed.is_multicast


def card(text: bytes, at: int, stop: int) -> Span | None:
    """The number of a payment card that begins at `at`: a known issuer, a right length and check digit."""
    found = _CARD.match(text, at, min(len(text), stop + 2))
    if found is None:
        return None
    digits = re.sub(rb"\D", b"", found[0])
    right = _ISSUED.match(digits) is not None and len(set(digits)) > 1 and luhn(digits.decode())
    return found.span() if right else None


def luhn(digits: str) -> bool:
    """Whether the last digit is the check digit of the others (ISO/IEC 7812-1)."""
    doubled = (sum(divmod(2 * int(d), 10)) for d in digits[-2::-2])
    return (sum(map(int, digits[-1::-2])) + sum(doubled)) % 10 == 0


def iban(text: bytes, at: int) -> Span | None:
    """An account number of the right length for its country, with right check digits (ISO 7064, mod 97-10)."""
    found = _IBAN.match(text, at)
    if found is None:
        return None
    length = IBAN_LENGTHS.get(found[0][:2].decode())
    stop = at
    count = 0
    while length is not None and count < length and stop < found.end():
        count += text[stop : stop + 1] != b" "
        stop += 1
    if length is None or count < length or text[stop : stop + 1].isalnum():
        return None
    plain = text[at:stop].replace(b" ", b"").decode()
    value = int("".join(str(int(c, 36)) for c in plain[4:] + plain[:4]))
    return (at, stop) if value % 97 == 1 else None


def secret(text: bytes, at: int) -> Span | None:
    """A key or token of a known provider, or a private key."""
    for prefix, pattern in SECRETS.items():
        if text.startswith(prefix, at) and (found := pattern.match(text, at)) is not None:
            return found.span()
    return None


def phone(text: bytes, at: int, stop: int, regions: tuple[str, ...]) -> Span | None:
    """A telephone number that libphonenumber takes for a valid one.

    With a country code it stands for itself; in American form it must be valid there; in any other form it must be valid in one
    of `regions`, and a word such as `Tel.` or `Fax` must stand right before it, or, before a trunk prefix and groups of digits, a
    word such as `call` or `information` not far before it. American numbers without an area code need such a word as well. Right
    behind `Tel.` even a wrong country code will do.
    """
    found = _PHONE.match(text, at, min(len(text), stop + 1))
    if found is None or _DATES.match(text, at):
        return None
    american = _AMERICAN.match(text, at)
    before = text[max(at - 40, 0) : at].decode("utf-8", "ignore")[-24:]
    called = _CALL.search(before) is not None
    if not called and _BOOKS.search(before.encode()):
        return None
    asked = _ASK.search(text, max(at - 60, 0), at) is not None
    for group in reversed(list(_DIGITS.finditer(text, at, found.end()))):  # a date or another number may follow
        number = text[at : group.end()].decode()
        digits = sum(c.isdigit() for c in number)
        if not 7 <= digits <= 15:
            continue
        if number.startswith(("+", "(+")):
            right = _valid(number, None) or (called and digits >= 9)
        else:
            trunk = number.lstrip("(").startswith("0") and not number.isdigit() and text[at - 1 : at] != b"/"
            near = called or (asked and trunk)
            right = (number.startswith("00") and _valid("+" + number[2:], None)) or (
                near and any(_valid(number, region) for region in regions)
            )
        if right:
            opens = number.startswith("(") and ")" not in number
            return at + opens, group.end()
    if american is not None and _valid(american[0].decode(), "US"):
        return american.span()
    local = _LOCAL_NUMBER.match(text, at)
    if local is not None and "US" in regions and asked:
        return local.span()
    return None


@functools.lru_cache(maxsize=4096)
def _valid(number: str, region: str | None) -> bool:
    import phonenumbers

    try:
        return bool(phonenumbers.is_valid_number(phonenumbers.parse(number, region)))
    except phonenumbers.NumberParseException:
        return False

"""Web addresses: their parts, and the form in which two addresses of one page are equal."""

from __future__ import annotations

import contextlib
import re
from dataclasses import dataclass

_URL = re.compile(
    r"(?:([A-Za-z][A-Za-z0-9+.\-]*):)?//(?:[^/?]*@)?(\[[^\]/?]*\]|[^:/?]*)(?::(\d*))?[^/?]*([^?]*)(\?.*)?",
    re.DOTALL,
)
_ESCAPE = re.compile(r"%([0-9A-Fa-f]{2})")
_UNRESERVED = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")
_DEFAULT_PORTS = {"http": "80", "https": "443", "ftp": "21", "": ""}


@dataclass(frozen=True, slots=True)
class Address:
    """The parts of a URL that say where it leads."""

    scheme: str
    """Lower case; empty where the URL has none."""
    host: str
    """Lower case, without a dot at its end, in ASCII where it is an internationalised name (Punycode)."""
    port: str
    """Empty where it is the scheme's own."""
    path: str
    query: str
    """With its question mark; empty where there is nothing behind it."""


def address(url: str) -> Address | None:
    """The parts of a URL; None where it names no host."""
    found = _URL.match(url.partition("#")[0].strip())
    if found is None:
        return None
    scheme, host, port, path, query = (part or "" for part in found.groups())
    scheme, host = scheme.lower(), host.lower().strip().rstrip(".")
    if not host:
        return None
    if not host.isascii():
        with contextlib.suppress(UnicodeError):
            host = host.encode("idna").decode("ascii").lower()
    port = "" if port.lstrip("0") == _DEFAULT_PORTS.get(scheme) else port.lstrip("0")
    return Address(scheme, host, port, path, query if len(query) > 1 else "")


def canonical(url: str) -> str | None:
    """The form in which addresses of one page are equal; None for what is no address.

    Not looked at: whether it is http or https, the case of the host, the scheme's own port, user names, the fragment, one or more
    slashes at the end of the path, a question mark without a query, and how characters that need no escape are escaped.
    Everything else, ``www.`` and the order of the query's parts included, tells pages apart.
    """
    parts = address(url)
    if parts is None:
        return None
    scheme = "" if parts.scheme in ("", "http", "https") else f"{parts.scheme}:"
    port = f":{parts.port}" if parts.port else ""
    rest = parts.path.rstrip("/") + parts.query
    return f"{scheme}//{parts.host}{port}{_ESCAPE.sub(_escape, rest) if '%' in rest else rest}"


def _escape(found: re.Match[str]) -> str:
    character = chr(int(found[1], 16))
    return character if character in _UNRESERVED else found[0].upper()

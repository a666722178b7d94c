"""Character references of HTML, also those whose numbers no parser should try to read."""

from __future__ import annotations

import html
import re

_ENDLESS = re.compile(r"&#(?:[0-9]{1000,}+|[xX][0-9a-fA-F]{1000,}+);?")


def unescape(text: str) -> str:
    """Text with character references decoded; numbers of a thousand digits stand for no character (U+FFFD)."""
    if "&" not in text:
        return text
    return html.unescape(_ENDLESS.sub("\ufffd", text) if "&#" in text else text)

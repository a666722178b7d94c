"""Spans that datatrove's PIIFormatter replaces, for comparison: run by the Python of an environment that holds datatrove.

``python datatrove_pii.py TEXTS.json SPANS.json``: a list of texts, and for each a list of [kind, first character, one behind].
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from datatrove.pipeline.formatters.pii import PIIFormatter


def spans(replacer, kind, text):
    """What a replacer matches and its validator lets through."""
    return [
        [kind, *found.span()]
        for found in replacer.regex.finditer(text)
        if replacer.validator is None or replacer.validator(found.group(0))
    ]


def main(source, target):
    """All spans of all texts."""
    formatter = PIIFormatter()
    texts = json.loads(Path(source).read_text("utf-8"))
    answers = [
        spans(formatter.emails_replacer, "email", text) + spans(formatter.ip_replacer, "ip", text) for text in texts
    ]
    Path(target).write_text(json.dumps(answers), "utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])

"""Decisions of datatrove's own filters, for comparison: run by the Python of an environment that holds datatrove and spaCy.

``python datatrove_filters.py DOCUMENTS.jsonl DECISIONS.jsonl [RULES.json]``: one line ``{"id", "gopher", "c4", "fineweb"}`` a
document, each a list: the reason the filters drop it for, or null, and for c4 the text it leaves. Documents are decided by every
filter for itself. RULES.json, if given, is FineWeb-2's setting of a language: then the one column is ``fineweb2``.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from datatrove.data import Document
from datatrove.pipeline.filters import (
    C4QualityFilter,
    FineWebQualityFilter,
    GopherQualityFilter,
    GopherRepetitionFilter,
)


def reason(filters, text):
    """The first filter's reason for dropping the text, and the text as they leave it."""
    document = Document(text=text, id="")
    for one in filters:
        answer = one.filter(document)
        if isinstance(answer, tuple):
            return answer[1], document.text
        if not answer:
            return "dropped", document.text
    return None, document.text


def main(source, target, rules=None):
    """Decide about all documents of a file."""
    if rules is None:
        pipelines = {
            "gopher": [GopherRepetitionFilter(), GopherQualityFilter()],
            "c4": [C4QualityFilter()],
            "fineweb": [FineWebQualityFilter()],
        }
    else:
        values = json.loads(Path(rules).read_text("utf-8"))
        pipelines = {
            "fineweb2": [
                GopherRepetitionFilter(**values["repetition"]),
                FineWebQualityFilter(**values["fineweb"]),
                GopherQualityFilter(**values["quality"]),
            ]
        }
    with Path(source).open(encoding="utf-8") as lines, Path(target).open("w", encoding="utf-8") as out:
        for line in lines:
            record = json.loads(line)
            answers = {"id": record["id"]}
            for name, filters in pipelines.items():
                try:
                    answers[name] = reason(filters, record["text"])
                except Exception as error:
                    answers[name] = (f"crash: {type(error).__name__}: {error}", "")
            if "c4" not in answers:
                answers = {k: v[:1] if k != "id" else v for k, v in answers.items()}
            else:
                answers["gopher"], answers["fineweb"] = answers["gopher"][:1], answers["fineweb"][:1]
            out.write(json.dumps(answers) + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:])

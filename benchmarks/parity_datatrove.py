"""Whether `gopher@datatrove`, `c4@datatrove` and `fineweb@datatrove` decide as datatrove's own filters do, document by document.

Run from the repository, with datatrove and spaCy in an environment of their own (`make peers`)::

    MEGADATA_REAL_DATA=DIR python benchmarks/parity_datatrove.py --peer .peers/datatrove/bin/python

Both sides read the same JSON lines. With ``words: spacy`` and ``sentences: spacy`` every decision, its reason and the text that
C4's rules leave must be the same; with kernel words the differences are counted. The exit
status is the number of unexplained ones.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

from real_documents import real_documents

from megadata.corpus.filter import Filter, parse_condition
from megadata.corpus.rulefiles import RULE_SETS
from megadata.corpus.rules import load_rules
from megadata.documents.batch import DocBatch

PEER = Path(__file__).parent / "peers" / "datatrove_filters.py"
EXACT = {
    "gopher": ["gopher.words=spacy"],
    "c4": ["c4.sentences=spacy"],
    "fineweb": ["fineweb.words=spacy"],
}
"""Column of the peer's file -> overrides with which `COLUMN@datatrove` cuts as datatrove does."""

REASONS = {
    "dup_para_frac": "repeated_paragraphs",
    "dup_para_char_frac": "repeated_paragraph_characters",
    "dup_line_frac": "repeated_lines",
    "dup_line_char_frac": "repeated_line_characters",
    **{f"top_{n}_gram": f"top_{n}gram" for n in (2, 3, 4)},
    **{f"duplicated_{n}_n_grams": f"repeated_{n}grams" for n in range(5, 11)},
    "gopher_short_doc": "too_few_words",
    "gopher_long_doc": "too_many_words",
    "gopher_below_avg_threshold": "short_words",
    "gopher_above_avg_threshold": "long_words",
    "gopher_too_many_hashes": "too_many_hashes",
    "gopher_too_many_ellipsis": "too_many_ellipses",
    "gopher_too_many_bullets": "bulleted_lines",
    "gopher_too_many_end_ellipsis": "elliptic_lines",
    "gopher_below_alpha_threshold": "too_few_letters",
    "gopher_enough_stop_words": "too_few_stop_words",
    "line_punct_ratio": "open_lines",
    "short_line_ratio": "short_lines",
    "char_dup_ratio": "repeated_line_characters",
    "list_ratio": "newlines",
    **{name: name for name in ("lorem_ipsum", "curly_bracket", "too_few_sentences")},
}
"""datatrove's reasons -> ours."""

EMPTY = {"gopher": "too_few_words", "fineweb": "no_lines"}
"""What we call datatrove's reason "empty"."""

BATCH = 500

REPETITION = {"repeated_lines": "dup_line_frac"}
FINEWEB = {"open_lines": "line_punct_thr", "newlines": "new_line_ratio"}
QUALITY = {
    "short_words": "min_avg_word_length",
    "long_words": "max_avg_word_length",
    "too_few_letters": "max_non_alpha_words_ratio",
}
"""Our reasons in `fineweb2@LANGUAGE` -> the arguments of datatrove's three filters."""


def ours(name: str, overrides: list[str], documents: list[tuple[str, str]]) -> dict[str, tuple[str | None, str | None]]:
    """id -> (reason without its label, text if kept)."""
    rules = load_rules(name, overrides)
    answers: dict[str, tuple[str | None, str | None]] = {}
    for at in range(0, len(documents), BATCH):
        part = documents[at : at + BATCH]
        outcome = rules.apply(DocBatch.of([i for i, _ in part], [text for _, text in part]))
        answers |= {i: (None, text) for i, text in zip(outcome.kept.ids, outcome.kept.texts, strict=True)}
        reasons = (reason.partition(".")[2] for reason in outcome.reasons)
        answers |= {i: (reason, None) for i, reason in zip(outcome.removed.ids, reasons, strict=True)}
    return answers


def peers(python: str, documents: list[tuple[str, str]], processes: int = 2) -> dict[str, dict[str, list[str | None]]]:
    """id -> column -> reason (and text) of datatrove, through files."""
    with tempfile.TemporaryDirectory() as folder:
        running = []
        for k in range(processes):
            source, target = Path(folder) / f"documents{k}.jsonl", Path(folder) / f"decisions{k}.jsonl"
            with source.open("w", encoding="utf-8") as out:
                out.writelines(json.dumps({"id": i, "text": text}) + "\n" for i, text in documents[k::processes])
            command = [python, str(PEER), str(source), str(target)]
            running.append((target, subprocess.Popen(command, stdout=subprocess.DEVNULL)))
        answers = {}
        for target, process in running:
            if process.wait():
                raise SystemExit(f"{python}: datatrove's side ended with status {process.returncode}")
            answers |= read_decisions(target)
    return answers


def fineweb2_settings(code: str) -> dict[str, dict[str, object]]:
    """Arguments with which fineweb-2-pipeline.py calls datatrove's filters, from the thresholds of our rule-set.

    They compare formulas, not thresholds: those are data on both sides.
    """
    (_, repetition), (_, fineweb), (_, quality) = load_rules(f"fineweb2@{code}").steps

    def thresholds(step: Filter, names: dict[str, str]) -> dict[str, object]:
        return {
            theirs: parse_condition(step.drop[ours]).threshold if ours in step.drop else 0
            for ours, theirs in names.items()
        }

    def grams(step: Filter, name: str) -> list[tuple[int, float]]:
        found = [
            (int(r.partition("_")[2].partition("gram")[0]), r)
            for r in step.drop
            if r.startswith(f"{name}_") and "gram" in r
        ]
        return [(n, parse_condition(step.drop[r]).threshold) for n, r in sorted(found)]

    assert isinstance(repetition, Filter)
    assert isinstance(fineweb, Filter)
    assert isinstance(quality, Filter)
    off = {"dup_para_frac": 0, "dup_line_char_frac": 0, "dup_para_char_frac": 0}
    source = re.search(r"configs/(\w+)\.yml", (RULE_SETS / f"fineweb2@{code}.yaml").read_text("utf-8"))
    assert source
    common = {"language": source[1]}
    top, repeated = grams(repetition, "top"), grams(repetition, "repeated")
    return {
        "repetition": {
            **common,
            **off,
            **thresholds(repetition, REPETITION),
            "top_n_grams": top,
            "dup_n_grams": repeated,
        },
        "fineweb": {**common, "short_line_thr": 999, "char_duplicates_ratio": 0.1, **thresholds(fineweb, FINEWEB)},
        "quality": {
            **common,
            **thresholds(quality, QUALITY),
            "stop_words": list(quality.stop_words),
            "min_stop_words": 2,
        },
    }


def compare_fineweb2(python: str, code: str, documents: list[tuple[str, str]]) -> list[tuple[str, str, str]]:
    """(id, datatrove's reason, ours) of each document on which `fineweb2@CODE` and datatrove differ."""
    with tempfile.TemporaryDirectory() as folder:
        source, target, rules = (Path(folder) / name for name in ("documents.jsonl", "decisions.jsonl", "rules.json"))
        source.write_text(
            "".join(json.dumps({"id": i, "text": text}) + "\n" for i, text in documents), encoding="utf-8"
        )
        rules.write_text(json.dumps(fineweb2_settings(code)), encoding="utf-8")
        subprocess.run([python, str(PEER), str(source), str(target), str(rules)], check=True, stdout=subprocess.DEVNULL)
        theirs = read_decisions(target)
    mine = ours(f"fineweb2@{code}", ["fineweb2.words=spacy"], documents)
    found = []
    for i, _ in documents:
        reason = theirs[i]["fineweb2"][0]
        wanted = "no_lines" if reason == "empty" else REASONS.get(str(reason), reason)
        if wanted != mine[i][0]:
            found.append((i, str(wanted), str(mine[i][0])))
    return found


def read_decisions(path: Path) -> dict[str, dict[str, list[str | None]]]:
    """The peer's file by id."""
    with path.open(encoding="utf-8") as lines:
        return {record["id"]: record for record in map(json.loads, lines)}


def read_documents(path: Path) -> list[tuple[str, str]]:
    """(id, text) of JSON lines."""
    with path.open(encoding="utf-8") as lines:
        return [(record["id"], record["text"]) for record in map(json.loads, lines)]


def expected(column: str, answer: list[str | None]) -> tuple[str | None, str | None]:
    """The peer's answer in our words."""
    reason = answer[0]
    if reason is None:
        return None, answer[1] if column == "c4" else None
    return (EMPTY[column] if reason == "empty" else REASONS.get(reason, reason)), None


def compare(
    documents: list[tuple[str, str]], theirs: dict[str, dict[str, list[str | None]]], exact: bool
) -> dict[str, list[tuple[str, str, str]]]:
    """Column -> (id, the peer's reason, ours) of each document on which they differ; "text" where only the texts do."""
    found: dict[str, list[tuple[str, str, str]]] = {}
    for column, overrides in EXACT.items():
        mine = ours(f"{column}@datatrove", overrides if exact else [], documents)
        found[column] = []
        for i, _ in documents:
            reason, text = mine[i]
            wanted, wanted_text = expected(column, theirs[i][column])
            if reason != wanted:
                found[column].append((i, str(wanted), str(reason)))
            elif wanted_text is not None and text != wanted_text:
                found[column].append((i, "text", "text"))
    return found


def main() -> None:
    """Compare, print one line a column and difference, and end with their number."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--peer", required=True, help="python of an environment with datatrove and spaCy")
    parser.add_argument("--decisions", type=Path, nargs="*", help="files the peer wrote before, instead of running it")
    parser.add_argument("--documents", type=Path, nargs="*", help="files of the documents that --decisions are about")
    parser.add_argument(
        "--limit", type=int, default=0, help="look at every n-th document only, so that at most this many are"
    )
    parser.add_argument(
        "--fineweb2",
        default="",
        help="codes of languages, deu,fra,...: compare fineweb2@CODE on their documents instead",
    )
    arguments = parser.parse_args()
    documents = [one for path in arguments.documents or () for one in read_documents(path)] or real_documents()
    if arguments.limit:
        documents = documents[:: max(1, -(-len(documents) // arguments.limit))]
    for code in filter(None, arguments.fineweb2.split(",")):
        language = next(step.language for _, step in load_rules(f"fineweb2@{code}").steps if isinstance(step, Filter))
        named = [
            (i, text)
            for i, text in documents
            if f"/{code}_" in i or f"/{language}.txt" in i or f"extracted-{language}" in i
        ]
        differences = compare_fineweb2(arguments.peer, code, named)
        print(
            json.dumps(
                {"rules": f"fineweb2@{code}", "cuts": "spacy", "documents": len(named), "differ": len(differences)}
            )
        )
    if arguments.fineweb2:
        return
    theirs: dict[str, dict[str, list[str | None]]] = {}
    for path in arguments.decisions or ():
        theirs |= read_decisions(path)
    if not theirs:
        theirs = peers(arguments.peer, documents)
    unexplained = 0
    for exact in (True, False):
        for column, differences in compare(documents, theirs, exact).items():
            kept = sum(theirs[i][column][0] is None for i, _ in documents)
            flipped = sum("None" in (wanted, got) and wanted != got for _, wanted, got in differences)
            line = {
                "rules": f"{column}@datatrove", "cuts": "spacy" if exact else "kernels", "documents": len(documents),
                "kept by datatrove": kept, "decisions that differ": flipped, "reasons or texts only": len(differences) - flipped,
            }  # fmt: skip
            print(json.dumps(line))
            if exact:
                unexplained += len(differences)
                for i, wanted, got in differences[:40]:
                    print(json.dumps({"document": i, "datatrove": wanted, "megadata": got}))
            else:
                top = Counter((wanted, got) for _, wanted, got in differences).most_common(5)
                print(json.dumps({"most": [{"datatrove": w, "megadata": g, "documents": n} for (w, g), n in top]}))
    sys.exit(min(unexplained, 100))


if __name__ == "__main__":
    main()

"""Rule lists and rule-sets over text in memory, one thread: what a document costs after it is read and before it is written.

Run from the repository: ``MEGADATA_REAL_DATA=DIR python benchmarks/bench_rules.py`` (without it: a smaller text).
"""

from __future__ import annotations

from harness import measure
from real_text import pieces, texts

from megadata.corpus.rules import RuleList, load_rules, rule_list
from megadata.documents.batch import DocBatch

FINEWEB = ("gopher@datatrove", "c4@jmlr", "fineweb@datatrove")
"""Together about what FineWeb's pipeline applies after extraction."""


def reasons(rules: RuleList, docs: DocBatch) -> list[str]:
    """The work: the list applied, and why documents went."""
    return rules.apply(DocBatch(docs.records)).reasons  # a new batch, of which nothing is known yet


def main() -> None:
    """Measure shipped lists, rule-sets, and the rules of FineWeb one after another over all documents."""
    docs = pieces(texts())
    megabytes = docs.text.size / 1e6
    for name in ("web", "books", "wikipedia", "text", *FINEWEB, "gopher@paper", "fineweb@paper"):
        rules = load_rules(name)
        measure(f"rules/{name}", lambda rules=rules: reasons(rules, docs), items=megabytes, unit="MB")
    all_of_them = rule_list([pair for name in FINEWEB for pair in load_rules(name).steps])
    measure("rules/fineweb-in-all", lambda: reasons(all_of_them, docs), items=megabytes, unit="MB")


if __name__ == "__main__":
    main()

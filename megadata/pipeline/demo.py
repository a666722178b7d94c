"""`megadata demo`: the main job on text that this machine has."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from megadata.pipeline.demo_corpus import build
from megadata.pipeline.recipe import load_recipe
from megadata.pipeline.run import Listen, Pipeline, RunReport, Show
from megadata.runtime.files import atomic_write
from megadata.runtime.progress import human
from megadata.runtime.settings import RunSettings

RECIPE = """\
recipe: 1
output: out
sources:
  web:
    input: [input/web.warc.gz]       # the documentation of this Python and its packages, as web pages
    kind: web
  books:
    input: [input/books]             # the language reference, as a book
    kind: books
  wikipedia:
    input: [input/articles.xml]      # some twenty articles written for this demo
    kind: wikipedia
dedup:
  threshold: 0.8
  prefer: [wikipedia, books, web]
tokenizer:
  vocab_size: 4096
tokenize:
  split: {train: 0.95, validation: 0.05}
blend:
  weights: {web: 8, books: 1, wikipedia: 1}
train:
  gpt:
    config: gpt-tiny
    set: {trainer.steps: 450}
"""
PROMPT = "This function returns"
NEXT = (
    "megadata init YOUR_FILES... -o recipe.yaml",
    "megadata run recipe.yaml",
    'megadata generate out/runs/gpt --prompt "..."',
)


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the demo's table: what went into a stage and what came out."""

    stage: str
    documents_in: int
    documents_out: int
    bytes_in: int
    bytes_out: int


def rows_of(report: RunReport) -> list[Row]:
    """Documents and bytes in and out of each stage."""
    rows = [
        Row(
            f"clean {name}",
            one.total("documents_in"),
            one.total("documents_kept"),
            one.total("bytes_in"),
            one.total("bytes_kept"),
        )
        for name, one in report.cleaned.items()
    ]
    if report.unique is not None:
        for one in report.unique.rows():
            rows.append(Row(f"dedup {one.source}", one.documents, one.kept, one.bytes_in, one.bytes_kept))
    return rows


def demo(
    output: Path,
    settings: RunSettings,
    overrides: tuple[str, ...] = (),
    show: Show | None = None,
    listen: Listen | None = None,
    say: Callable[[str], None] = print,
) -> RunReport:
    """Build the corpus, run the recipe with `overrides`, and say what came of it.

    Everything lies in `output`: the raw input, the recipe and the results.
    """
    began = time.monotonic()
    settings.progress.note("building the demo's input from this Python's own documentation")
    corpus = build(output / "input")
    recipe_path = output / "recipe.yaml"
    with atomic_write(recipe_path) as file:
        file.write(RECIPE.encode())
    for name, size in corpus.sizes.items():
        settings.progress.note(f"  {name}: {human(size)}")
    report = Pipeline(load_recipe(recipe_path, overrides), output, settings).run(show, listen)
    say("")
    say(summary(report))
    say("")
    if "gpt" in report.trained:
        say(f"A sample of the model, which has trained for {report.trained['gpt'].steps} steps:")
        say("")
        say(sample(report.output / "runs" / "gpt"))
        say("")
    say(f"Done in {time.monotonic() - began:.0f} s. Everything is in {output}. Next, on your own data:")
    for line in NEXT:
        say(f"  {line}")
    return report


def summary(report: RunReport) -> str:
    """The demo's closing table."""
    lines = [f"{'stage':<18}{'documents':>20}{'text':>22}"]
    for row in rows_of(report):
        documents = f"{row.documents_in:,} -> {row.documents_out:,}"
        lines.append(f"{row.stage:<18}{documents:>20}{human(row.bytes_in) + ' -> ' + human(row.bytes_out):>22}")
    tokens = sum(one.tokens for level in report.tokenized.values() for one in level.values())
    lines.append(f"{'tokenize':<18}{f'{tokens:,} tokens':>20}")
    for name, run in report.trained.items():
        held_out = ", ".join(f"{source} {loss:.2f}" for source, loss in run.validation.items())
        lines.append(
            f"{'train ' + name:<18}{f'loss {run.first_loss:.2f} -> {run.last_loss:.2f}':>20}"
            f"{f'{run.tokens_per_s:,.0f} tokens/s':>22}  (held out: {held_out})"
        )
    return "\n".join(lines)


def sample(run: Path, tokens: int = 80) -> str:
    """Text that the trained model adds to the prompt."""
    from megadata.tasks.generate import load_run

    texts = load_run(run).generate([PROMPT], max_tokens=tokens, temperature=0.8, top_k=50, seed=0)
    return f"{PROMPT}{texts[0]}"

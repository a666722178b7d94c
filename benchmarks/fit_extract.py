"""Make the points of ``megadata/corpus/sources/maintext.yaml``: a logistic regression over the blocks of labelled pages.

Run from the repository: ``MEGADATA_REAL_DATA=DIR python benchmarks/fit_extract.py``; it rewrites the ``points`` of that
file. Only pages that `labelled_pages` does not hold out are used: half of each set, and none of article-extraction-
benchmark. A block is main text where most of its shingles are in the marked text; where pieces are marked, the blocks
that hold them say yes or no. Sets differ on what comes before the first paragraph, so one convention is taught: the
page's title, and short lines before the first paragraph that do not end like a sentence (author, date), are not main
text.
"""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path
from typing import Any

import numpy as np
from labelled_pages import Page as Labelled
from labelled_pages import labelled_pages, words

from megadata.corpus.sources.charset import decode
from megadata.corpus.sources.evidence import Evidence, evidence, kinds
from megadata.corpus.sources.page import join, scan
from megadata.corpus.sources.pagetext import block_texts

TABLE = Path(__file__).parent.parent / "megadata/corpus/sources/maintext.yaml"
QUANTILES = (0.1, 0.2, 0.35, 0.5, 0.65, 0.8, 0.9, 0.97)
RIDGE = 30.0
SMALLEST_EFFECT = 0.03
"""Evidence that moves no more than this (standard deviation of its points over blocks) is left out."""
OF_SET = {"trafilatura": 2.0, "cleaneval": 0.7}
"""Weight of a set beside its size; others have 1."""


def labels(page: Labelled, texts: list[str], found: Evidence) -> tuple[np.ndarray, np.ndarray]:
    """For each block whether it is main text, and how much that is worth: about the same sum for each page."""
    size = 2 ** found.columns["words"] - 1
    if page.kind == "segments":
        flat = [" ".join(text.split()) for text in texts]
        no = np.array([any(piece in text for piece in page.unwanted) for text in flat])
        yes = np.array([any(piece in text for piece in page.wanted) for text in flat]) & ~no
        return yes, (yes | no) * np.minimum(size, 60) / 200
    gold, flat_gold = page.gold_shingles, f" {' '.join(words(page.gold))} "
    share = []
    for text in texts:
        mine = words(text)
        if len(mine) >= 4:
            share.append(np.mean([tuple(mine[i : i + 4]) in gold for i in range(len(mine) - 3)]))
        else:
            share.append(float(bool(mine) and f" {' '.join(mine)} " in flat_gold))
    columns = found.columns
    preface = (columns["before_first"] > 0) & (size < 12) & (columns["page_words"] > 7) & ~columns["full_stop"]
    yes = (np.array(share) > 0.5) & ~preface & ~columns["page_title"]
    worth = np.minimum(size, 300) * [len(words(text)) > 0 for text in texts]
    return yes, worth / max(worth.sum(), 1) * np.sqrt(len(texts)) / 2


def matrix(
    found: Evidence, steps: dict[str, np.ndarray], flags: list[str], near: list[int], inside: list[int]
) -> np.ndarray:
    """One row a block: bits, flags, and for each step whether the number has reached it."""
    parts = [(found.near_K[:, None] >> np.array(near)) & 1, (found.inside_K[:, None] >> np.array(inside)) & 1]
    parts.append(np.column_stack([found.columns[name] for name in flags]))
    parts += [found.columns[name][:, None] >= at[None] for name, at in steps.items()]
    parts.append(np.ones((len(found.near_K), 1)))
    return np.concatenate(parts, axis=1, dtype=np.float32, casting="unsafe")


def fit(rows: np.ndarray, yes: np.ndarray, worth: np.ndarray) -> np.ndarray:
    """Ridge logistic regression by Newton's method; the last column is free of the ridge."""
    weights = np.zeros(rows.shape[1])
    ridge = np.full(rows.shape[1], RIDGE)
    ridge[-1] = 1e-3
    for _ in range(12):
        odds = 1 / (1 + np.exp(-np.clip(rows @ weights.astype(np.float32), -12, 12)))
        slope = rows.T @ (worth * (odds - yes)).astype(np.float32) + ridge * weights
        curve = (rows * (worth * np.maximum(odds * (1 - odds), 0.02)).astype(np.float32)[:, None]).T @ rows
        step = np.linalg.solve(curve.astype(np.float64) + np.diag(ridge), slope)
        weights -= step
        if np.abs(step).max() < 0.01:
            break
    return weights


def points(
    weights: np.ndarray,
    rows: np.ndarray,
    steps: dict[str, np.ndarray],
    flags: list[str],
    near: list[int],
    inside: list[int],
) -> dict[str, Any]:
    """The fitted weights as ``maintext.yaml`` writes them."""
    names, at = kinds(), 0
    card: dict[str, Any] = {"start": round(float(weights[-1]), 2), "near": {}, "inside": {}, "flags": {}, "steps": {}}
    spread = rows.std(axis=0)
    for part, bits in (("near", near), ("inside", inside)):
        for bit in bits:
            if abs(weights[at]) * spread[at] > SMALLEST_EFFECT:
                card[part][names[bit]] = round(float(weights[at]), 2)
            at += 1
    for name in flags:
        if abs(weights[at]) * spread[at] > SMALLEST_EFFECT:
            card["flags"][name] = round(float(weights[at]), 2)
        at += 1
    for name, edges in steps.items():
        mine = weights[at : at + len(edges)]
        if (rows[:, at : at + len(edges)] @ mine).std() > SMALLEST_EFFECT:
            reached = np.cumsum(mine)
            card["steps"][name] = [
                [round(float(e), 3), round(float(p), 2)] for e, p in zip(edges, reached, strict=True)
            ]
        at += len(edges)
    return card


def write(card: dict[str, Any]) -> None:
    """Put the points in place of those in the file."""
    lines = ["points:", f"  start: {card['start']}"]
    for part in ("near", "inside", "flags"):
        lines.append(f"  {part}:")
        lines += [f"    {name}: {value}" for name, value in card[part].items()]
    lines.append("  steps:")
    lines += [f"    {name if '@' not in name else repr(name)}: {rows}" for name, rows in card["steps"].items()]
    text = TABLE.read_text("utf-8")
    TABLE.write_text(re.split(r"(?m)^points:", text)[0].rstrip("\n") + "\n" + "\n".join(lines) + "\n", "utf-8")


def main() -> None:
    """Fit and write."""
    place = os.environ.get("MEGADATA_REAL_DATA")
    if not place:
        sys.exit("fit_extract: set MEGADATA_REAL_DATA to the folder of real data; its web/ holds the marked pages")
    evidences, yes, worth = [], [], []
    for name, pages in labelled_pages(Path(place)).items():
        ours = [page for page in pages if not page.held_out and page.kind != "opening"]
        for page in ours:
            scanned = scan(decode(page.data))
            if not len(scanned.blocks):
                continue
            found = evidence(join([scanned]))
            is_text, weight = labels(page, block_texts(scanned), found)
            keep = weight > 0
            columns = {key: np.asarray(column)[keep] for key, column in found.columns.items()}
            evidences.append(Evidence(found.near_K[keep], found.inside_K[keep], columns, found.nodes_commented))
            yes.append(is_text[keep])
            worth.append(weight[keep] * OF_SET.get(name, 1.0) / np.sqrt(len(ours)))
    whole = Evidence(
        np.concatenate([one.near_K for one in evidences]),
        np.concatenate([one.inside_K for one in evidences]),
        {key: np.concatenate([one.columns[key] for one in evidences]) for key in evidences[0].columns},
        evidences[0].nodes_commented,
    )
    target, value = np.concatenate(yes).astype(np.float32), np.concatenate(worth)
    value = (value / value.mean()).astype(np.float32)
    flags = [key for key, column in whole.columns.items() if len(np.unique(column)) <= 2]
    steps = {}
    for key, column in whole.columns.items():
        if key not in flags:
            edges = np.unique(np.quantile(column, QUANTILES).round(3))
            steps[key] = edges[edges > column.min()]
    bits = list(range(len(kinds())))
    rows = matrix(whole, steps, flags, bits, bits)
    print(f"{len(rows)} blocks, {rows.shape[1]} columns")
    write(points(fit(rows, target, value), rows, steps, flags, bits, bits))


if __name__ == "__main__":
    main()

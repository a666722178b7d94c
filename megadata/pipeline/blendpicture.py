"""A picture of a blend's schedule: the share of each source over the tokens of a run, and how often it has been seen."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from megadata.errors import ConfigError
from megadata.indexed.plan import MANY_EPOCHS
from megadata.indexed.samples import Samples
from megadata.runtime.files import atomic_write

MOST = 10
"""Sources with a colour of their own; the smallest of more are drawn as one."""
POINTS = 240
"""Places at which epochs are counted, besides where weights change."""
COLOURS = (
    *("#2a6f97", "#e07a3f", "#6a994e", "#8d5a97", "#c9a227"),
    *("#b23a48", "#4aa3a2", "#7f7f7f", "#a4693d", "#5b6ee1"),
)
UNITS = ((10**12, "trillion"), (10**9, "billion"), (10**6, "million"), (10**3, "thousand"))


def draw_schedule(samples: Samples, tokens: int, path: Path) -> None:
    """Draw the shares and epochs of a run of `tokens` tokens; the ending of `path` says the format.

    Raises
    ------
    ConfigError
        If matplotlib is not installed, or does not write this format.
    """
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ConfigError("a picture needs matplotlib; install it with `pip install 'megadata[report]'`") from error
    length = samples.sequence_length
    end = -(-tokens // length) if samples.total is None else min(-(-tokens // length), samples.total)
    scale, unit = next(((size, name) for size, name in UNITS if end * length >= size), (1, ""))
    borders, shares = _shares(samples, end)
    moments = np.unique(np.concatenate((np.linspace(0, end, POINTS).astype(np.int64), borders)))
    counts = np.array([list(samples.counts(int(moment)).values()) for moment in moments], np.float64)
    epochs = counts / np.array(list(samples.windows_per_epoch().values()))
    names, groups = _named(samples.names, counts[-1])
    figure = Figure(figsize=(9, 6.2), layout="constrained")
    FigureCanvasAgg(figure)
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=(3, 2))
    at = np.repeat(borders, 2)[1:-1] * length / scale
    stacked = np.stack([shares[:, group].sum(axis=1) for group in groups])
    above.stackplot(at, np.repeat(stacked, 2, axis=1) * 100, labels=names, colors=COLOURS[: len(names)], linewidth=0)
    for number, group in enumerate(groups):
        seen = epochs[:, group].max(axis=1)
        below.plot(moments * length / scale, seen, color=COLOURS[number], linewidth=1.8)
    if epochs.max() > MANY_EPOCHS:
        below.axhline(MANY_EPOCHS, color="#b23a48", linewidth=0.9, linestyle=(0, (4, 3)))
        below.annotate(
            f"{MANY_EPOCHS} epochs: repeats teach little beyond",
            (0, MANY_EPOCHS),
            (4, 3),
            textcoords="offset points",
            fontsize=8,
            color="#b23a48",
        )
    above.set(ylabel="share of samples (%)", ylim=(0, 100), xlim=(0, end * length / scale))
    below.set(
        ylabel="epochs seen", xlabel=f"tokens of the run ({unit})" if unit else "tokens of the run", ylim=(0, None)
    )
    for axes in (above, below):
        axes.spines[["top", "right"]].set_visible(False)
    below.grid(axis="y", color="#e6e6e6", linewidth=0.8)
    below.set_axisbelow(True)
    handles, labels = above.get_legend_handles_labels()
    figure.legend(handles[::-1], labels[::-1], loc="outside right upper", frameon=False, fontsize=9)
    kind = path.suffix[1:].lower()
    if kind not in figure.canvas.get_supported_filetypes():
        raise ConfigError(
            f"{path}: a picture is written as .png, .svg or .pdf, not as {path.suffix or 'a file of no kind'}"
        )
    content = io.BytesIO()
    figure.savefig(content, format=kind, dpi=150)
    with atomic_write(path) as file:
        file.write(content.getvalue())


def _shares(samples: Samples, end: int) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Samples at which weights change, 0 and `end` among them, and the share of each source between them."""
    parts = [segment for segment in samples.segments if segment.start < end]
    borders = np.array([*(segment.start for segment in parts), end], np.int64)
    weights = np.array([segment.weights for segment in parts], np.float64)
    return borders, weights / weights.sum(axis=1, keepdims=True)


def _named(names: tuple[str, ...], drawn: NDArray[np.float64]) -> tuple[list[str], list[list[int]]]:
    """Names to draw, and the sources that each stands for, those that give most first."""
    order = np.argsort(-drawn, kind="stable").tolist()
    if len(order) <= MOST:
        return [names[i] for i in order], [[i] for i in order]
    own, rest = order[: MOST - 1], order[MOST - 1 :]
    return [*(names[i] for i in own), f"{len(rest)} others"], [*([i] for i in own), rest]

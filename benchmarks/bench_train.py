"""Tokens per second of training steps: shipped configurations on random tokens, one process, all cores.

Every measured run starts from the same weights and takes the same steps, so the hash is of the losses. Making the weights is
inside the clock; it is a small part of the steps.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import numpy as np
import torch
from harness import measure

from megadata.indexed.blend import Blend
from megadata.indexed.meta import Meta
from megadata.indexed.writer import IndexedWriter
from megadata.runtime.executor import default_workers
from megadata.trainer import load_config
from megadata.trainer.config import TrainConfig, replaced
from megadata.trainer.data import RunData, open_data
from megadata.trainer.loop import Training
from megadata.trainer.parallel.layout import Layout
from megadata.trainer.precision import resolve_precision

VOCABULARY = 8192
SPECIALS = {"eod": 0, "pad": 1, "cls": 2, "sep": 3, "mask": 4}
STEPS = 4


def write_blend(folder: Path) -> Blend:
    rng = np.random.default_rng(0)
    meta = Meta(vocabulary_size=VOCABULARY, eod=0, appended_eod=True, special_tokens=SPECIALS, shuffled=True)
    with IndexedWriter(folder / "random", np.uint16, meta) as writer:
        for _ in range(2000):
            writer.add_document(np.append(rng.integers(5, VOCABULARY, 500), 0))
    return Blend.of({"random": folder / "random"})


def train_steps(config: TrainConfig, data: RunData, folder: Path) -> list[float]:
    layout = Layout(device=torch.device("cpu"))
    training = Training(config, data, folder, layout, lambda event: None)
    losses = [training.update()["loss"] for _ in range(STEPS)]
    training.loader.close()
    return losses


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("configs", nargs="*", default=["gpt-tiny", "llama-tiny", "bert-tiny", "gpt-mini", "bert-mini"])
    parser.add_argument("--precision", default="auto")
    chosen = parser.parse_args()
    torch.set_num_threads(default_workers())
    torch.set_flush_denormal(True)
    with tempfile.TemporaryDirectory() as name:
        blend = write_blend(Path(name))
        for preset in chosen.configs:
            config = load_config(preset, [f"model.vocab_size={VOCABULARY}"])
            precision = resolve_precision(chosen.precision, torch.device("cpu"))
            config = replaced(config, "trainer", precision=precision)
            data = open_data(config, blend)
            tokens = STEPS * config.data.batch_size * config.data.sequence_length
            measure(
                f"train/{preset}/{precision}",
                lambda config=config, data=data: train_steps(config, data, Path(name)),
                items=tokens,
                unit="tokens",
                repeats=3,
                threads=torch.get_num_threads(),
            )


if __name__ == "__main__":
    main()

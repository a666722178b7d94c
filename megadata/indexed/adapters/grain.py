"""Samples as a Grain `RandomAccessDataSource`."""

from __future__ import annotations

from dataclasses import dataclass

from megadata.indexed.adapters.mapped import MappedSamples, Windows
from megadata.indexed.order import I64


@dataclass(frozen=True, slots=True)
class GrainSource:
    """Records ``{"input_ids": (L,), "labels": (L,)}`` of int64; Grain needs the two methods and that it is picklable."""

    mapped: MappedSamples

    def __len__(self) -> int:
        return len(self.mapped)

    def __getitem__(self, k: int) -> dict[str, I64]:
        inputs, labels = self.mapped.one(int(k))
        return {"input_ids": inputs, "labels": labels}

    def __repr__(self) -> str:
        # Grain keeps this in its checkpoints and compares it when one is restored.
        samples = self.mapped.samples
        data = "-".join(sorted(source.fingerprint[:16] for source in samples.sources))
        seed = getattr(samples, "seed", None)
        return f"GrainSource(length={len(self)}, sequence_length={samples.sequence_length}, seed={seed}, data={data})"


def grain_source(samples: Windows, length: int | None = None, *, shifted: bool = True) -> GrainSource:
    """A source for `grain.MapDataset.source` and `grain.DataLoader`; shuffle nothing, the blend's order is the order.

    Parameters
    ----------
    samples, length, shifted
        As of `torch_dataset`.
    """
    return GrainSource(MappedSamples.of(samples, length, shifted))

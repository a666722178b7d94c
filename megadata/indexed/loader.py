"""`Loader`: batches of samples for one rank of a run, with a state that fits in a line.

The global batch is the `batch_size` samples from `position` on; rank r of R takes [r * G // R, (r + 1) * G // R) of its G. What a
rank gets is a pure function of (blend, position, rank), so a run may go on with other ranks, micro-batches or hosts.
"""

from __future__ import annotations

import copy
import os
import queue
import threading
from collections.abc import Callable, Iterator
from typing import Any, Protocol, TypeVar, cast

from megadata.errors import ConfigError
from megadata.indexed.batch import Batch
from megadata.indexed.gpt import GptSamples, Tokens
from megadata.indexed.megatronsamples import MegatronSamples
from megadata.indexed.samples import Numbered, Origin, Samples
from megadata.indexed.state import blend_state, check_state, rebase_origin, state_origin


class Sampled(Numbered, Protocol):
    """What makes batches of windows, its `samples`: `GptSamples`, `MaskedSamples`."""

    def batch(self, start: int, stop: int) -> Batch:
        """Samples start, ..., stop - 1."""


class Loader:
    """An endless iterator of one rank's part of each global batch, prefetching in a thread.

    Parameters
    ----------
    samples : Samples, SequentialSamples, GptSamples or MaskedSamples
        What to draw from. Plain windows become batches as `GptSamples` make them.
    batch_size : int
        Samples of the global batch, over all ranks.
    rank, world_size : int
        Which of how many data-parallel ranks this is. Ranks may differ in size by one sample.
    start : int
        Sample to begin with; a run at step s of batches of G begins at s * G.
    document_aware, mask_eod_loss, eod
        As of `GptSamples`, for plain windows.
    prefetch : int
        Batches computed ahead; 0: none, and no thread.
    prepare : function of Batch to Batch, optional
        What is done with each batch in the prefetching thread: moving it into pinned memory, for example.

    Raises
    ------
    ConfigError
        If a rank would get no sample, or an option needs an EOD that is not known.
    """

    def __init__(
        self,
        samples: Tokens | Sampled,
        batch_size: int,
        rank: int = 0,
        world_size: int = 1,
        start: int = 0,
        *,
        document_aware: bool = False,
        mask_eod_loss: bool = False,
        eod: int | None = None,
        prefetch: int = 2,
        prepare: Callable[[Batch], Batch] | None = None,
    ) -> None:
        if not 0 <= rank < world_size:
            raise ConfigError(f"loader: rank must lie in 0 to {world_size - 1}, got {rank}")
        if batch_size < world_size:
            raise ConfigError(f"loader: a global batch of {batch_size} samples cannot feed {world_size} ranks")
        if start < 0:
            raise ConfigError(f"loader: start must not be negative, got {start}")
        self.samples = samples
        self.batch_size = batch_size
        self.rank = rank
        self.world_size = world_size
        self.position = start
        """Global number of the first sample of the next batch."""
        self.step = start // batch_size
        """Batches given, counted from the first of the run."""
        self.prefetch = prefetch
        self.prepare = prepare
        self._ahead: _Ahead | None = None
        self._batches: Sampled
        if not hasattr(samples, "samples"):
            windows = cast(Tokens, samples)
            self._batches = GptSamples(windows, document_aware=document_aware, mask_eod_loss=mask_eod_loss, eod=eod)
        elif document_aware or mask_eod_loss or eod is not None:
            raise ConfigError(
                f"loader: {type(samples).__name__} make whole batches; give document_aware, mask_eod_loss and eod to them"
            )
        else:
            self._batches = cast(Sampled, samples)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_ahead": None}

    def __iter__(self) -> Iterator[Batch]:
        return self

    def __next__(self) -> Batch:
        """This rank's part of the next global batch; ends where a whole global batch is no longer to be had."""
        if self.samples.total is not None and self.position + self.batch_size > self.samples.total:
            self.close()
            raise StopIteration
        if self.prefetch <= 0:
            batch = self.batch_at(self.position)
        else:
            if self._ahead is not None and self._ahead.process != os.getpid():
                self._ahead = None  # a fork has no threads of its parent
            if self._ahead is None or self._ahead.position != self.position:
                self.close()
                self._ahead = _Ahead(self, self.position, self.prefetch)
            batch = self._ahead.take()
        self.position += self.batch_size
        self.step += 1
        return batch

    def batch_at(self, position: int) -> Batch:
        """This rank's part of the global batch whose first sample is `position`."""
        first = position + self.rank * self.batch_size // self.world_size
        last = position + (self.rank + 1) * self.batch_size // self.world_size
        batch = self._batches.batch(first, last)
        return batch if self.prepare is None else self.prepare(batch)

    def state_dict(self) -> dict[str, Any]:
        """What it takes to go on: plain values for JSON, the same on every rank.

        Batches that were prefetched but not taken do not count.
        """
        state: dict[str, Any] = {
            "step": self.step,
            "position": self.position,
            "batch_size": self.batch_size,
            "sequence_length": self.samples.sequence_length,
        }
        blend = _blend_samples(self.samples)
        if blend is not None:
            state["blend"] = blend_state(blend, self.position)
        return state

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a state; ranks, prefetching and batch size may be others than when it was taken.

        With another batch size the next batch starts at the same sample.

        Raises
        ------
        ConfigError
            If the data, the seed, the sample length or the weights before the state's position changed; it says which.
        """
        if state["sequence_length"] != self.samples.sequence_length:
            raise ConfigError(
                f"loader: the state was taken with samples of {state['sequence_length']} tokens, this run has "
                f"{self.samples.sequence_length}; sample numbers mean other tokens, `rebase` goes on with new epochs"
            )
        if (origin := state_origin(state)) is not None:
            self._rebase(origin)
        blend = _blend_samples(self.samples)
        if blend is not None and "blend" in state:
            check_state(blend, state["blend"], state["position"])
        self.close()
        self.position = state["position"]
        self.step = state["step"]

    def rebase(self, state: dict[str, Any]) -> list[str]:
        """Go on from a state that `load_state_dict` refuses: another sample length, or another seed, data or weights before it.

        The next batch begins at the same number of tokens of the run. Each source whose data, order and sample length are as they
        were goes on where it was; others begin their next epoch. States taken from then on know of it.

        Returns
        -------
        list of str
            What is not read because of it, a sentence for each source.

        Raises
        ------
        ConfigError
            If the samples are not those of a blend in our order, or every source has reached its max_epochs.
        """
        samples = _blend_samples(self.samples)
        if not isinstance(samples, Samples) or "cursors" not in state.get("blend", {}):
            raise ConfigError(
                "loader: only a blend in our order can go on from other samples; start at a position instead"
            )
        origin, notes = rebase_origin(samples, state)
        self._rebase(origin)
        self.position, self.step = origin.start, state["step"]
        return notes

    def _rebase(self, origin: Origin) -> None:
        self.close()
        wraps = self._batches is not self.samples
        self._batches = rebased(self._batches, origin)
        self.samples = cast(GptSamples, self._batches).samples if wraps else self._batches

    def close(self) -> None:
        """End the prefetching thread; the next batch starts it again."""
        if self._ahead is not None:
            self._ahead.close()
            self._ahead = None

    def __del__(self) -> None:
        if getattr(self, "_ahead", None) is not None:
            self.close()


S = TypeVar("S")


def rebased(samples: S, origin: Origin) -> S:
    """Samples, or batches of samples, that go on from `origin`."""
    if isinstance(samples, Samples):
        return cast(S, samples.rebased(origin))
    made = copy.copy(samples)
    made.samples = rebased(made.samples, origin)  # type: ignore[attr-defined]
    return made


def _blend_samples(samples: object) -> Samples | MegatronSamples | None:
    """The blend's samples under whatever masks them."""
    inner: object = samples
    while not isinstance(inner, (Samples, MegatronSamples)) and hasattr(inner, "samples"):
        inner = inner.samples
    return inner if isinstance(inner, (Samples, MegatronSamples)) else None


class _Ahead:
    """A thread that computes batches before they are asked for."""

    def __init__(self, loader: Loader, position: int, depth: int) -> None:
        self.position = position
        """First sample of the batch that `take` gives next; -1 after an error."""
        self.process = os.getpid()
        self._step = loader.batch_size
        self._total = loader.samples.total
        self._ready: queue.Queue[Batch | BaseException] = queue.Queue(maxsize=depth)
        self._stop = threading.Event()
        # The thread works on a copy, so that it does not keep the loader alive.
        worker = Loader.__new__(Loader)
        worker.__dict__.update(loader.__getstate__())
        self._thread = threading.Thread(target=self._run, args=(worker,), name="megadata-prefetch", daemon=True)
        self._thread.start()

    def take(self) -> Batch:
        """The next batch, waiting for it; an error of the thread is raised here."""
        found = self._ready.get()
        if isinstance(found, BaseException):
            self.position = -1
            raise found
        self.position += self._step
        return found

    def close(self) -> None:
        """End the thread."""
        self._stop.set()
        if self._thread is not threading.current_thread():
            self._thread.join()

    def _run(self, worker: Loader) -> None:
        position = self.position
        while not self._stop.is_set() and (self._total is None or position + self._step <= self._total):
            try:
                found: Batch | BaseException = worker.batch_at(position)
            except BaseException as error:
                found = error
            while not self._stop.is_set():
                try:
                    self._ready.put(found, timeout=0.05)
                    break
                except queue.Full:
                    continue
            if isinstance(found, BaseException):
                return
            position += self._step

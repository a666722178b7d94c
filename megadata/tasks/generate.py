"""Text from a trained run: a GPT goes on from prompts, a BERT fills in what is masked."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from megadata.errors import ConfigError, TrainingError
from megadata.tasks.sampling import Sampling, choose
from megadata.tokenize.load import load_tokenizer
from megadata.tokenize.tokenizer import Tokenizer
from megadata.trainer.checkpoint import load_weights
from megadata.trainer.checkpointfiles import checkpoints_folder, find_checkpoint
from megadata.trainer.models.bert import BERT
from megadata.trainer.models.build import bare_model
from megadata.trainer.models.gpt import GPT
from megadata.trainer.models.layers import KeyValues
from megadata.trainer.randomness import hash64
from megadata.trainer.runfolder import read_run_config

MASK_WORDS = ("[MASK]", "<mask>", "<|mask|>")
"""What stands for the masked word in the text given to `fill_mask`, whatever the tokenizer calls it."""

Stream = Callable[[str], None]


@dataclass(frozen=True, eq=False)
class LoadedRun:
    """A trained model and its tokenizer, ready to use; made by `load_run`."""

    run: Path
    model: GPT | BERT
    tokenizer: Tokenizer
    step: int
    """Training step of the weights."""

    @property
    def kind(self) -> str:
        """``gpt`` or ``bert``."""
        return self.model.config.kind

    def generate(
        self,
        prompts: Sequence[str],
        *,
        max_tokens: int = 100,
        temperature: float = 0.8,
        top_k: int | None = None,
        top_p: float | None = None,
        seed: int = 0,
        stream: Stream | None = None,
    ) -> list[str]:
        """Go on from prompts, together; what is returned does not repeat them.

        Parameters
        ----------
        prompts
            Texts; an empty one begins a new document.
        max_tokens
            Most tokens added to each; a prompt ends earlier where the model ends the document.
        temperature, top_k, top_p
            See `Sampling`; temperature 0 is greedy.
        seed
            With the prompt's position in `prompts`, decides all choices.
        stream
            Called with each new piece of text as it appears; for a single prompt.

        Raises
        ------
        ConfigError
            If the run is no GPT, there is no prompt, or a number is out of its range.
        """
        model = self.model
        if not isinstance(model, GPT):
            raise ConfigError(f"{self.run}: holds a BERT, which cannot go on from a prompt; give a text with [MASK]")
        if not prompts or (stream is not None and len(prompts) != 1):
            raise ConfigError(f"generate takes at least one prompt, and exactly one to stream; got {len(prompts)}")
        if max_tokens < 1:
            raise ConfigError(f"max_tokens must be at least 1, got {max_tokens}")
        rows = [self._context(prompt) for prompt in prompts]
        sampling = Sampling(temperature=temperature, top_k=top_k, top_p=top_p)
        generators = [torch.Generator().manual_seed(hash64(seed, i) & (2**63 - 1)) for i in range(len(rows))]
        starts = [len(row) for row in rows]
        emitted, eod = "", self.tokenizer.eod
        decoding = Decoding(model)
        going = set(range(len(rows)))
        for _ in range(max_tokens):
            logits = decoding.next_logits(rows)
            for i in range(len(rows)):
                token = choose(logits[i], sampling, generators[i])
                rows[i].append(token)
                if token == eod:
                    going.discard(i)
            if stream is not None and 0 in going:
                emitted = self._emit(rows[0][starts[0] :], emitted, stream)
            if not going:
                break
        texts = [self._text(row[start:]) for row, start in zip(rows, starts, strict=True)]
        if stream is not None and texts[0][len(emitted) :]:
            stream(texts[0][len(emitted) :])
        return texts

    def fill_mask(self, text: str, *, k: int = 5) -> list[list[tuple[str, float]]]:
        """The `k` likeliest tokens for each [MASK] of a text, with their probabilities, likeliest first.

        Raises
        ------
        ConfigError
            If the run is no BERT, or the text holds no mask or is too long.
        """
        if not isinstance(self.model, BERT):
            raise ConfigError(f"{self.run}: holds a GPT, which goes on from a prompt; filling in [MASK] needs a BERT")
        special = self.tokenizer.special
        pieces = _split_at_masks(text)
        if len(pieces) < 2:
            raise ConfigError(f"the text holds no {MASK_WORDS[0]}; write it where a word is to be filled in")
        ids = [special["cls"]]
        for number, piece in enumerate(pieces):
            ids += [special["mask"]] if number else []
            ids += self.tokenizer.encode(piece).tolist()
        ids.append(special["sep"])
        longest = self.model.config.max_position_embeddings
        if len(ids) > longest:
            raise ConfigError(f"the text has {len(ids)} tokens, the model reads {longest}; shorten it")
        tokens = torch.tensor([ids], device=self.model.tokens.weight.device)
        with torch.inference_mode():
            logits = self.model(tokens)[0].float()
        places = [i for i, token in enumerate(ids) if token == special["mask"]]
        shares, words = torch.softmax(logits[places], dim=-1).topk(min(k, logits.shape[-1]))
        return [
            [(self.tokenizer.decode([word]), share) for word, share in zip(row.tolist(), chance.tolist(), strict=True)]
            for row, chance in zip(words, shares, strict=True)
        ]

    def _context(self, prompt: str) -> list[int]:
        ids: list[int] = self.tokenizer.encode(prompt).tolist()
        if ids:
            return ids
        if self.tokenizer.eod is None:
            raise ConfigError("an empty prompt needs a tokenizer with an end-of-document token; give some text")
        return [self.tokenizer.eod]

    def _text(self, ids: list[int]) -> str:
        eod = self.tokenizer.eod
        return self.tokenizer.decode(ids[: ids.index(eod)] if eod in ids else ids)

    def _emit(self, ids: list[int], emitted: str, stream: Stream) -> str:
        """Stream what is certain by now: a character may need several tokens."""
        text = self._text(ids)
        if text.endswith("\ufffd") or not text.startswith(emitted):
            return emitted
        if len(text) > len(emitted):
            stream(text[len(emitted) :])
        return text


class Decoding:
    """Logits of the next token for rows that grow together, with keys and values kept from call to call.

    Rows of different lengths are padded on the left; padding is never seen. When the longest row reaches the model's limit, each
    row goes on from its last half.
    """

    def __init__(self, model: GPT) -> None:
        self.model = model
        self.limit = model.config.max_position_embeddings
        self.device = model.tokens.weight.device
        self._cache: list[KeyValues] = []
        self._padding = torch.zeros(0, dtype=torch.int64)

    @torch.inference_mode()
    def next_logits(self, rows: Sequence[Sequence[int]]) -> Tensor:
        """Float32 logits on the CPU, shape (rows, V); every row is one token longer than in the call before."""
        if not self._cache or self._cache[0].used >= self.limit:
            logits = self._start(rows)
        else:
            newest = torch.tensor([[row[-1]] for row in rows], device=self.device)
            used = self._cache[0].used
            seen = torch.arange(used + 1, device=self.device)
            visible = seen >= self._padding[:, None, None]
            positions = (used - self._padding)[:, None]
            logits = self.model(newest, positions=positions, visible=visible, cache=self._cache)
        return logits[:, -1].float().cpu()

    def _start(self, rows: Sequence[Sequence[int]]) -> Tensor:
        kept = [row[-(self.limit // 2) :] if len(row) >= self.limit else row for row in rows]
        longest = max(map(len, kept))
        padding = [longest - len(row) for row in kept]
        self._padding = torch.tensor(padding, device=self.device)
        tokens = torch.tensor(
            [[0] * gap + list(row) for gap, row in zip(padding, kept, strict=True)], device=self.device
        )
        place = torch.arange(longest, device=self.device)
        positions = (place - self._padding[:, None]).clamp_(min=0)
        causal = place[None, :, None] >= place[None, None, :]
        visible = causal & (place >= self._padding[:, None, None]) | torch.eye(
            longest, dtype=torch.bool, device=self.device
        )
        self._cache = self.model.new_cache(len(kept), self.limit)
        out: Tensor = self.model(tokens, positions=positions, visible=visible, cache=self._cache)
        return out


def load_run(run: Path | str, *, device: str = "auto", precision: str = "fp32") -> LoadedRun:
    """Load the newest checkpoint of a run with its tokenizer.

    Raises
    ------
    ConfigError
        If the folder holds no run.
    TrainingError
        If the run has no checkpoint yet.
    TokenizerError
        If the run has no tokenizer.
    """
    run = Path(run)
    config = read_run_config(run)
    tokenizer = load_tokenizer(run / "tokenizer.json")
    found, _ = find_checkpoint(checkpoints_folder(run))
    if found is None:
        raise TrainingError(f"{run}: has no checkpoint to load; train it further with `megadata train`")
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    model = bare_model(config.model, precision).to_empty(device=device)
    load_weights(found, model)
    return LoadedRun(run, model.eval(), tokenizer, found.step)


def generate(
    run: Path | str,
    prompts: Sequence[str],
    *,
    max_tokens: int = 100,
    temperature: float = 0.8,
    top_k: int | None = None,
    top_p: float | None = None,
    seed: int = 0,
    stream: Stream | None = None,
) -> list[str]:
    """Load a run and let its GPT go on from prompts; see `LoadedRun.generate`."""
    return load_run(run).generate(
        prompts, max_tokens=max_tokens, temperature=temperature, top_k=top_k, top_p=top_p, seed=seed, stream=stream
    )


def fill_mask(run: Path | str, text: str, k: int = 5) -> list[list[tuple[str, float]]]:
    """Load a run and let its BERT fill in each [MASK] of `text`; see `LoadedRun.fill_mask`."""
    return load_run(run).fill_mask(text, k=k)


def _split_at_masks(text: str) -> list[str]:
    for word in MASK_WORDS[1:]:
        text = text.replace(word, MASK_WORDS[0])
    return text.split(MASK_WORDS[0])

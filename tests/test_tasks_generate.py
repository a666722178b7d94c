"""Text from a trained run."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")

from hypothesis import given  # noqa: E402
from hypothesis import strategies as st  # noqa: E402
from training_data import make_blend, tiny_config  # noqa: E402

from megadata.errors import ConfigError, TokenizerError, TrainingError  # noqa: E402
from megadata.tasks.generate import Decoding, fill_mask, generate, load_run  # noqa: E402
from megadata.tasks.sampling import Sampling, choose  # noqa: E402
from megadata.trainer import build_model, train  # noqa: E402

pytestmark = pytest.mark.train

MODERN = {
    "normalization": "rmsnorm",
    "positions": "rope",
    "activation": "swiglu",
    "bias": False,
    "qk_norm": True,
    "tied": False,
    "num_key_value_heads": 1,
}


@pytest.fixture(scope="session")
def runs(tmp_path_factory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("runs")
    blend = make_blend(folder)
    settings = {"dropout": 0.0, "attention_dropout": 0.0}
    for kind, extra, steps in (("gpt", {}, 100), ("bert", {"positions": "rope"}, 150)):
        config = tiny_config(
            kind,
            model={**settings, **extra},
            trainer={"steps": steps, "validate_every": None},
            optimizer={"lr": 1e-2},
            checkpoint={"every": None},
        )
        train(config, blend, folder / kind)
    return {kind: folder / kind for kind in ("gpt", "bert")}


@pytest.mark.parametrize("fields", [{}, MODERN], ids=["gpt2", "modern"])
def test_logits_with_a_cache_equal_those_without(fields):
    size = {"vocab_size": 50, "num_layers": 2, "hidden_size": 16, "num_attention_heads": 2, "init_std": 0.3}
    model = build_model({**size, "max_position_embeddings": 20, **fields}, precision="fp64")
    model.compute_dtype = torch.float64
    rows = [[3, 1, 4, 1, 5, 9], [2, 7], [1, 8, 2, 8]]
    decoding = Decoding(model)
    for step in range(12):
        got = decoding.next_logits(rows)
        for row, logits in zip(rows, got, strict=True):
            whole = model(torch.tensor([row]))[0, -1]
            torch.testing.assert_close(logits, whole.float(), rtol=1e-6, atol=1e-6)
        rows = [[*row, (7 * step + 11 * i) % 50] for i, row in enumerate(rows)]


def test_a_row_longer_than_the_model_goes_on_from_its_last_half():
    model = build_model({"vocab_size": 50, "hidden_size": 16, "max_position_embeddings": 8, "init_std": 0.3})
    decoding = Decoding(model)
    rows = [[3, 1, 4, 1, 5, 9, 2]]
    for step in range(20):
        logits = decoding.next_logits(rows)
        assert torch.isfinite(logits).all()
        rows = [[*rows[0], step]]
    fresh = Decoding(model).next_logits([rows[0][-4:]])
    torch.testing.assert_close(Decoding(model).next_logits(rows), fresh)


def test_greedy_text_is_the_likeliest_and_always_the_same(runs):
    loaded = load_run(runs["gpt"])
    prompt = "the cat sat on"
    first = loaded.generate([prompt], max_tokens=20, temperature=0)
    assert first == loaded.generate([prompt], max_tokens=20, temperature=0, seed=9)
    ids = loaded.tokenizer.encode(prompt).tolist()
    for _ in range(20):
        ids.append(int(loaded.model(torch.tensor([ids[-32:]]))[0, -1].argmax()))
        if ids[-1] == loaded.tokenizer.eod:
            ids.pop()
            break
    assert prompt + first[0] == loaded.tokenizer.decode(ids)
    assert first[0].startswith(" the ")


def test_a_prompt_gets_the_same_text_alone_and_among_others(runs):
    loaded = load_run(runs["gpt"])
    prompts = ["the cat sat", "the", "the horse sat on the field today. the bird"]
    together = loaded.generate(prompts, max_tokens=25, temperature=0)
    assert together == [loaded.generate([prompt], max_tokens=25, temperature=0)[0] for prompt in prompts]


def test_sampled_text_depends_on_the_seed_only(runs):
    def text(seed):
        return generate(runs["gpt"], ["the "], max_tokens=30, temperature=1.0, top_k=20, top_p=0.95, seed=seed)

    assert text(1) == text(1)
    assert len({text(seed)[0] for seed in range(4)}) > 1


def test_streamed_pieces_make_the_text(runs):
    pieces: list[str] = []
    (whole,) = generate(runs["gpt"], ["the dog"], max_tokens=30, seed=2, stream=pieces.append)
    assert "".join(pieces) == whole
    assert len(pieces) > 5


def test_text_ends_where_the_model_ends_the_document(runs):
    loaded = load_run(runs["gpt"])
    (text,) = loaded.generate(["the cat"], max_tokens=400, temperature=1.0, seed=0)
    assert "<|endoftext|>" not in text
    assert len(loaded.tokenizer.encode(text)) < 400


def test_an_empty_prompt_begins_a_document(runs):
    (text,) = generate(runs["gpt"], [""], max_tokens=5, temperature=0)
    assert text.startswith("the")


def test_a_bert_fills_in_each_mask(runs):
    rows = fill_mask(runs["bert"], "the cat sat on[MASK] mat today. the dog[MASK] on the roof today.", k=3)
    assert len(rows) == 2
    assert all(len(row) == 3 for row in rows)
    for row in rows:
        chances = [chance for _, chance in row]
        assert chances == sorted(chances, reverse=True)
        assert 0 < sum(chances) <= 1
    assert rows[0][0][0] == " the"


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda runs: generate(runs["bert"], ["x"]),
            "holds a BERT, which cannot go on from a prompt; give a text with",
        ),
        (
            lambda runs: fill_mask(runs["gpt"], "a [MASK]"),
            r"holds a GPT, which goes on from a prompt; filling in \[MASK\]",
        ),
        (lambda runs: fill_mask(runs["bert"], "no mask"), r"the text holds no \[MASK\]; write it where"),
        (lambda runs: fill_mask(runs["bert"], "[MASK] " * 60), "tokens, the model reads 32; shorten it"),
        (lambda runs: generate(runs["gpt"], []), "generate takes at least one prompt"),
        (lambda runs: generate(runs["gpt"], ["a"], max_tokens=0), "max_tokens must be at least 1, got 0"),
        (lambda runs: generate(runs["gpt"], ["a"], temperature=-1), "temperature must be at least 0, got -1"),
        (lambda runs: generate(runs["gpt"], ["a"], top_p=1.5), "top_p must be above 0 and at most 1, got 1.5"),
        (lambda runs: generate(runs["gpt"], ["a"], top_k=0), "top_k must be at least 1, got 0"),
    ],
)
def test_what_cannot_be_generated_is_refused_with_a_sentence(runs, call, message):
    with pytest.raises(ConfigError, match=message):
        call(runs)


def test_a_folder_without_a_run_is_refused(tmp_path):
    with pytest.raises(ConfigError, match=r"expected a training run with its config.yaml, found none"):
        load_run(tmp_path)


def test_a_run_without_tokenizer_or_checkpoint_is_refused(runs, tmp_path):
    (tmp_path / "config.yaml").write_bytes((runs["gpt"] / "config.yaml").read_bytes())
    with pytest.raises(TokenizerError, match=r"tokenizer.json: expected a tokenizer"):
        load_run(tmp_path)
    (tmp_path / "tokenizer.json").write_bytes((runs["gpt"] / "tokenizer.json").read_bytes())
    with pytest.raises(TrainingError, match="has no checkpoint to load; train it further"):
        load_run(tmp_path)


@given(
    logits=st.lists(st.floats(-8, 8), min_size=2, max_size=12),
    top_k=st.none() | st.integers(1, 14),
    top_p=st.none() | st.floats(0.05, 1.0),
    seed=st.integers(0, 1000),
)
def test_only_tokens_that_may_be_chosen_are(logits, top_k, top_p, seed):
    sampling = Sampling(temperature=1.0, top_k=top_k, top_p=top_p)
    token = choose(torch.tensor(logits), sampling, torch.Generator().manual_seed(seed))
    order = sorted(range(len(logits)), key=lambda i: (-torch.tensor(logits)[i].item(), i))[:top_k]
    chances = [math.exp(torch.tensor(logits)[i].item()) for i in order]
    total, before = sum(chances), 0.0
    allowed = []
    for i, chance in zip(order, chances, strict=True):
        if top_p is None or before / total < top_p + 1e-9:
            allowed.append(i)
        before += chance
    assert token in allowed


def test_choices_follow_the_probabilities():
    logits = torch.tensor([0.5, 0.2, 0.3]).log() * 2
    generator = torch.Generator().manual_seed(0)
    drawn = [choose(logits, Sampling(temperature=2.0), generator) for _ in range(20_000)]
    for token, chance in enumerate((0.5, 0.2, 0.3)):
        # three standard deviations of a binomial share
        assert abs(drawn.count(token) / 20_000 - chance) < 3 * (chance * (1 - chance) / 20_000) ** 0.5

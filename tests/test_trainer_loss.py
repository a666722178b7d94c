"""The chunked cross-entropy equals torch's own on whole logits, gradients included."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from hypothesis import given  # noqa: E402
from hypothesis import strategies as st  # noqa: E402

from megadata.trainer import loss as module  # noqa: E402
from megadata.trainer.loss import linear_cross_entropy  # noqa: E402

pytestmark = pytest.mark.train


def plain(hidden, table, labels, weights, vocabulary, bias, softcap):
    logits = hidden @ table[:vocabulary].T
    if bias is not None:
        logits = logits + bias[:vocabulary]
    if softcap is not None:
        logits = softcap * torch.tanh(logits / softcap)
    return (torch.nn.functional.cross_entropy(logits, labels, reduction="none") * weights).sum()


@given(
    seed=st.integers(0, 2**31),
    rows=st.integers(1, 9),
    padding=st.integers(0, 3),
    chunk=st.sampled_from([8, 40, 1 << 22]),
    has_bias=st.booleans(),
    softcap=st.sampled_from([None, 2.0]),
    scale=st.sampled_from([0.1, 1.0, 30.0]),
)
def test_loss_and_gradients_equal_torch(seed, rows, padding, chunk, has_bias, softcap, scale):
    generator = torch.Generator().manual_seed(seed)
    vocabulary, width = 11, 6

    def normal(*shape):
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    hidden, table = normal(rows, width) * scale, normal(vocabulary + padding, width)
    bias = normal(vocabulary + padding) if has_bias else None
    labels = torch.randint(0, vocabulary, (rows,), generator=generator)
    weights = torch.rand(rows, generator=generator).round(decimals=1)
    leaves = [hidden, table, *([bias] if bias is not None else [])]
    results = []
    for ours in (True, False):
        inputs = [leaf.clone().requires_grad_() for leaf in leaves]
        b = inputs[2] if bias is not None else None
        if ours:
            before, module.CHUNK_ELEMENTS = module.CHUNK_ELEMENTS, chunk
            try:
                out = linear_cross_entropy(
                    inputs[0], inputs[1], labels, weights, vocabulary=vocabulary, bias=b, softcap=softcap
                )
            finally:
                module.CHUNK_ELEMENTS = before
        else:
            out = plain(inputs[0], inputs[1], labels, weights, vocabulary, b, softcap)
        (out * 0.7).backward()
        results.append([out.detach(), *(leaf.grad for leaf in inputs)])
    for got, wanted in zip(*results, strict=True):
        torch.testing.assert_close(got, wanted, rtol=1e-9, atol=1e-9)


def test_bfloat16_is_as_exact_as_its_logits():
    generator = torch.Generator().manual_seed(0)
    hidden = torch.randn(64, 32, generator=generator).bfloat16()
    table = (torch.randn(128, 32, generator=generator) * 0.2).bfloat16()
    labels = torch.randint(0, 100, (64,), generator=generator)
    got = linear_cross_entropy(hidden, table, labels, torch.ones(64), vocabulary=100)
    wanted = plain(hidden.double(), table.double(), labels, torch.ones(64), 100, None, None)
    # each logit is rounded to 8 bits once: relative 2**-9 of values of order 1, averaging out over rows
    assert float(got) == pytest.approx(float(wanted), rel=2**-9)
    assert got.dtype == torch.float32


def test_a_certain_and_wrong_answer_costs_its_whole_logit():
    hidden = torch.tensor([[200.0]])
    table = torch.tensor([[1.0], [-1.0]])
    got = linear_cross_entropy(hidden, table, torch.tensor([1]), torch.ones(1), vocabulary=2)
    assert float(got) == 400.0

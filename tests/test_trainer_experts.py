"""A mixture of experts does what its papers say, token by token."""

from __future__ import annotations

import math

import pytest

torch = pytest.importorskip("torch")

from hypothesis import given, settings  # noqa: E402
from hypothesis import strategies as st  # noqa: E402
from torch.nn import functional  # noqa: E402

from megadata.config import build  # noqa: E402
from megadata.errors import ConfigError  # noqa: E402
from megadata.trainer.config import load_config, replaced  # noqa: E402
from megadata.trainer.layouts import resolve_layout  # noqa: E402
from megadata.trainer.models.config import ModelConfig  # noqa: E402
from megadata.trainer.models.context import Context  # noqa: E402
from megadata.trainer.models.layers import activate  # noqa: E402
from megadata.trainer.models.moe import MixtureOfExperts  # noqa: E402

pytestmark = pytest.mark.train

SCALE = 0.37


def made(**fields):
    config = build(
        ModelConfig,
        {"vocab_size": 9, "hidden_size": 8, "num_attention_heads": 2, "intermediate_size": 12, **fields},
        "test",
    )
    layer = MixtureOfExperts(config, activate).double()
    generator = torch.Generator().manual_seed(fields["experts"])
    for parameter in layer.parameters():
        torch.nn.init.normal_(parameter, generator=generator)
    return layer, config


def one_by_one(layer, config, hidden):
    """Output and the two losses, from loops over samples, choices and tokens; GShard's algorithm 1 and Switch's equation 4."""
    batch, length, _ = hidden.shape
    room = math.inf
    if config.capacity_factor is not None:
        room = math.ceil(config.experts_per_token * length * config.capacity_factor / config.experts)
    out, balance, flat = torch.zeros_like(hidden), hidden.new_zeros(()), hidden.new_zeros(())
    for b in range(batch):
        logits = hidden[b] @ layer.router.weight.T
        shares = torch.softmax(logits, -1)
        ranked = shares.argsort(-1, descending=True)[:, : config.experts_per_token]
        taken = [0] * config.experts
        for choice in range(config.experts_per_token):
            for t in range(length):
                expert = int(ranked[t, choice])
                taken[expert] += 1
                if taken[expert] > room:
                    continue
                gate = shares[t, expert]
                if config.experts_per_token > 1:
                    gate = gate / shares[t, ranked[t]].sum()
                inner = hidden[b, t] @ layer.experts.up[expert].T
                if layer.experts.gate is None:
                    inner = activate(inner, config.activation)
                else:
                    inner = functional.silu(hidden[b, t] @ layer.experts.gate[expert].T) * inner
                out[b, t] += gate * (inner @ layer.experts.output[expert].T)
        for expert in range(config.experts):
            part = (ranked[:, 0] == expert).double().mean()
            balance = balance + config.experts * part * shares[:, expert].mean()
        flat = flat + torch.logsumexp(logits, -1).square().mean()
    return out, balance, flat


@pytest.mark.parametrize(
    "fields",
    [
        {"experts": 4, "experts_per_token": 2, "capacity_factor": 1.0},
        {"experts": 3, "experts_per_token": 1, "capacity_factor": 0.6},
        {"experts": 5, "experts_per_token": 2, "activation": "swiglu"},
        {"experts": 2, "experts_per_token": 1, "activation": "relu"},
    ],
    ids=["gshard", "switch", "dropless", "dropless top-1"],
)
def test_a_layer_and_its_gradients_equal_the_loops(fields):
    layer, config = made(**fields, balance_loss=0.3, router_loss=0.07)
    hidden = torch.randn(3, 7, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    weighting = torch.randn(hidden.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    gradients = []
    for reference in (False, True):
        layer.zero_grad(set_to_none=True)
        read = hidden.clone().requires_grad_()
        if reference:
            out, balance, flat = one_by_one(layer, config, read)
            wanted = out, balance, flat
            ((out * weighting).sum() + SCALE * (0.3 * balance + 0.07 * flat)).backward()
        else:
            context = Context(auxiliary_scale=SCALE)
            got = layer(read, context)
            (got * weighting).sum().backward()
        gradients.append([read.grad, *(parameter.grad for parameter in layer.parameters())])
    torch.testing.assert_close(got, wanted[0], rtol=1e-12, atol=1e-12)
    (losses,) = context.auxiliary
    torch.testing.assert_close(losses, torch.stack(wanted[1:]).detach(), rtol=1e-12, atol=1e-12)
    for ours, theirs in zip(*gradients, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-11, atol=1e-11)


@settings(max_examples=40)
@given(seed=st.integers(0, 1000), factor=st.floats(0.2, 3.0), chosen=st.sampled_from([1, 2]), length=st.integers(1, 20))
def test_no_expert_takes_more_of_a_sequence_than_it_has_room_for(seed, factor, chosen, length):
    layer, _ = made(experts=4, experts_per_token=chosen, capacity_factor=factor)
    scores = torch.rand(2, length, 4, generator=torch.Generator().manual_seed(seed))
    experts = scores.topk(chosen, -1).indices
    kept = layer._within_capacity(experts)
    room = math.ceil(chosen * length * factor / 4)
    for row, keep in zip(experts, kept, strict=True):
        wanted = torch.bincount(row.flatten(), minlength=4).clamp(max=room)
        assert torch.equal(torch.bincount(row[keep], minlength=4), wanted)


def test_a_sequence_is_routed_alike_in_any_batch():
    layer, _ = made(experts=4, capacity_factor=1.0)
    hidden = torch.randn(4, 6, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(3))
    together = layer(hidden, Context())
    apart = torch.cat([layer(part, Context()) for part in hidden.split([1, 3])])
    torch.testing.assert_close(together, apart, rtol=1e-13, atol=1e-13)


@pytest.mark.parametrize(
    ("experts", "expert", "shard", "message"),
    [
        (6, 4, None, "parallel.expert (4) must divide model.experts (6); the nearest that does is 3"),
        (6, 3, None, "parallel.expert (3) must divide parallel.shard x context (4); the nearest that does is 2"),
        (4, 4, 2, "parallel.expert (4) must divide parallel.shard x context (2); the nearest that does is 2"),
    ],
)
def test_experts_that_cannot_be_shared_are_refused(experts, expert, shard, message):
    config = replaced(load_config("gpt-tiny"), "model", experts=experts)
    with pytest.raises(ConfigError) as caught:
        resolve_layout(replaced(config, "parallel", expert=expert, shard=shard), 4)
    assert message in str(caught.value)


def test_the_reported_losses_are_what_the_router_learns_from(tmp_path):
    """Finite differences of loss + factors * routers' losses, in float64, against the gradient of the router."""
    from layouts import Watched
    from training_data import make_blend, tiny_config

    from megadata.indexed.blend import Blend
    from megadata.trainer.data import open_data
    from megadata.trainer.parallel.layout import Layout

    experts = {"experts": 4, "balance_loss": 0.5, "router_loss": 0.2, "init_std": 0.2, "vocab_size": 300}
    config = tiny_config(model=experts, trainer={"precision": "fp64", "micro_batch": 3})
    data = open_data(config, Blend.load(make_blend(tmp_path)))
    name = "layers.0.feed_forward.router.weight"

    def step(change: float, direction=None):
        training = Watched(config, data, tmp_path, Layout(device=torch.device("cpu")), lambda event: None)
        if direction is not None:
            with torch.no_grad():
                dict(training.model.named_parameters())[name].add_(direction, alpha=change)
        line = training.update()
        training.loader.close()
        return line["loss"] + 0.5 * line["loss_balance"] + 0.2 * line["loss_router"], training.seen[name][0]

    _, gradient = step(0.0)
    direction = torch.from_numpy(gradient / (gradient**2).sum() ** 0.5)
    tiny = 1e-6
    slope = (step(tiny, direction)[0] - step(-tiny, direction)[0]) / (2 * tiny)
    # the difference of two losses of order 10 is exact to 1e-15 / 1e-6; the gradient's length is of order 1
    assert slope == pytest.approx(float((gradient**2).sum() ** 0.5), rel=1e-7)

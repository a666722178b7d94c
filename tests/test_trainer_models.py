"""GPT and BERT compute what their papers say: checked against plain NumPy, in float64."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

import oracles_models as oracle  # noqa: E402

from megadata.config import build  # noqa: E402
from megadata.errors import ConfigError  # noqa: E402
from megadata.trainer import build_model, load_config, presets  # noqa: E402
from megadata.trainer.models.build import bare_model, initialize  # noqa: E402
from megadata.trainer.models.config import ModelConfig  # noqa: E402
from megadata.trainer.parallel.sharding import Part  # noqa: E402

pytestmark = pytest.mark.train

SMALL = {"vocab_size": 150, "num_layers": 2, "hidden_size": 24, "num_attention_heads": 4, "max_position_embeddings": 16}
GPT2 = {**SMALL, "init_std": 0.3}
MODERN = {
    **SMALL,
    "init_std": 0.3,
    "num_key_value_heads": 2,
    "normalization": "rmsnorm",
    "positions": "rope",
    "activation": "swiglu",
    "bias": False,
    "qk_norm": True,
    "tied": False,
    "logit_softcap": 5.0,
}
PRE_BERT = {**SMALL, "init_std": 0.3, "kind": "bert", "type_vocab_size": 2, "activation": "gelu"}
POST_BERT = {**PRE_BERT, "norm_position": "post", "norm_epsilon": 1e-12}

# Float64 sums of at most a few hundred products, a few layers deep, values of order 10: 1e-10 leaves two digits of room.
CLOSE = {"rtol": 1e-10, "atol": 1e-10}


def made(fields):
    """A float64 model whose biases and norms are not trivial, and its weights as arrays."""
    model = build_model(fields, precision="fp64", seed=3)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() == 1:
                parameter += torch.randn(parameter.shape, generator=generator, dtype=torch.float64) * 0.2
    return model, {name: parameter.detach().numpy() for name, parameter in model.named_parameters()}


def tokens_of(seed, shape=(3, 16)):
    return torch.from_numpy(np.random.default_rng(seed).integers(0, 150, shape))


@pytest.mark.parametrize("fields", [GPT2, MODERN, {**GPT2, "activation": "relu"}], ids=["gpt2", "modern", "relu"])
def test_a_gpt_equals_the_plain_reference(fields):
    model, weights = made(fields)
    tokens = tokens_of(0)
    logits = model(tokens).detach().numpy()
    for row, got in zip(tokens.numpy(), logits, strict=True):
        np.testing.assert_allclose(got, oracle.gpt_logits(row, weights, model.config), **CLOSE)


@pytest.mark.parametrize("fields", [PRE_BERT, POST_BERT], ids=["pre-norm", "post-norm"])
def test_a_bert_equals_the_plain_reference(fields):
    model, weights = made(fields)
    tokens, segments = tokens_of(1), tokens_of(2) % 2
    logits = model(tokens, segments=segments).detach().numpy()
    for i, got in enumerate(logits):
        masked, _ = oracle.bert_logits(tokens[i].numpy(), weights, model.config, segments=segments[i].numpy())
        np.testing.assert_allclose(got, masked, **CLOSE)


@pytest.mark.parametrize("fields", [GPT2, MODERN], ids=["gpt2", "modern"])
def test_the_summed_loss_of_a_gpt_equals_the_reference(fields):
    model, weights = made(fields)
    tokens, labels = tokens_of(0), tokens_of(5)
    mask = torch.from_numpy(np.random.default_rng(6).integers(0, 2, (3, 16)).astype(np.float32))
    (got,) = model(tokens, labels=labels, weights=mask).tolist()
    wanted = 0.0
    for i in range(3):
        logits = oracle.gpt_logits(tokens[i].numpy(), weights, model.config)
        wanted += sum(oracle.cross_entropy(logits[t], labels[i, t]) for t in range(16) if mask[i, t])
    assert got == pytest.approx(wanted, rel=1e-10)


def test_the_summed_losses_of_a_bert_equal_the_reference():
    model, weights = made(POST_BERT)
    tokens, labels = tokens_of(0), tokens_of(5)
    mask = torch.from_numpy((np.random.default_rng(6).random((3, 16)) < 0.2).astype(np.float32))
    order = torch.tensor([0, -1, 1])
    got = model(tokens, labels=labels, weights=mask, order=order).tolist()
    masked, ordered = 0.0, 0.0
    for i in range(3):
        logits, pair = oracle.bert_logits(tokens[i].numpy(), weights, model.config)
        masked += sum(oracle.cross_entropy(logits[t], labels[i, t]) for t in range(16) if mask[i, t])
        ordered += oracle.cross_entropy(pair, order[i]) if order[i] >= 0 else 0.0
    assert got == pytest.approx([masked, ordered], rel=1e-10)


@pytest.mark.parametrize("fields", [GPT2, PRE_BERT], ids=["gpt", "bert"])
def test_a_batch_without_labels_gives_no_loss_and_no_gradient(fields):
    model, _ = made(fields)
    tokens = tokens_of(0)
    losses = model(tokens, labels=tokens, weights=torch.zeros(3, 16))
    losses.sum().backward()
    assert losses.tolist() == [0.0] * len(model.losses)
    assert all(float(p.grad.abs().max()) == 0 for p in model.parameters())


@pytest.mark.parametrize("fields", [GPT2, MODERN, PRE_BERT], ids=["gpt2", "modern", "bert"])
def test_documents_do_not_see_each_other(fields):
    model, _ = made(fields)
    tokens = tokens_of(0)
    documents = torch.tensor([[0] * 5 + [1] * 8 + [2] * 3] * 3)
    positions = torch.tensor([[*range(5), *range(8), *range(3)]] * 3)
    together = model(tokens, documents=documents, positions=positions)
    apart = torch.cat([model(part) for part in tokens.split([5, 8, 3], dim=1)], dim=1)
    torch.testing.assert_close(together, apart, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("fields", [GPT2, MODERN], ids=["gpt2", "modern"])
def test_attention_is_the_same_through_either_kernel(fields, monkeypatch):
    from megadata.trainer.models import layers

    model, _ = made(fields)
    tokens, documents = tokens_of(0), torch.tensor([[0] * 7 + [1] * 9] * 3)
    explicit = [model(tokens), model(tokens, documents=documents)]
    monkeypatch.setattr(layers, "EXPLICIT_LENGTH", {})
    fused = [model(tokens), model(tokens, documents=documents)]
    for one, other in zip(explicit, fused, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-10)


def test_the_rows_that_pad_the_vocabulary_change_nothing_and_learn_nothing():
    model, _ = made(GPT2)
    tokens = tokens_of(0)
    assert model.tokens.weight.shape[0] == 256
    assert model(tokens).shape == (3, 16, 150)
    before = model(tokens, labels=tokens)
    with torch.no_grad():
        model.tokens.weight[150:] = 9.0
    after = model(tokens, labels=tokens)
    assert torch.equal(before, after)
    after.sum().backward()
    assert model.tokens.weight.grad[150:].abs().max() == 0
    assert model.tokens.weight.grad[:150].abs().min() > 0


@pytest.mark.parametrize(
    ("name", "vocabulary", "published"),
    [("gpt2-124m", None, 124_439_808), ("gpt2-355m", None, 354_823_168), ("bert-110m", None, 110_106_428)],
)
def test_parameter_counts_are_the_published_ones(name, vocabulary, published):
    assert load_config(name).model.parameters == published


@pytest.mark.parametrize("name", presets())
def test_the_parameter_count_of_every_preset_is_that_of_the_model(name):
    config = load_config(name).model
    if config.vocab_size is None:
        config = load_config(name, ["model.vocab_size=1000"]).model
    model = bare_model(config)
    padding = config.padded_vocabulary - config.vocabulary
    per_row = config.hidden_size * (1 if config.tied else 2) + (1 if config.kind == "bert" else 0)
    assert sum(p.numel() for p in model.parameters()) - padding * per_row == config.parameters


def test_a_mixtral_shape_has_mixtrals_parameter_count():
    mixtral = {
        "vocab_size": 32000,
        "num_layers": 32,
        "hidden_size": 4096,
        "num_attention_heads": 32,
        "num_key_value_heads": 8,
        "intermediate_size": 14336,
        "normalization": "rmsnorm",
        "positions": "rope",
        "activation": "swiglu",
        "bias": False,
        "tied": False,
        "experts": 8,
    }
    config = build(ModelConfig, mixtral, "test")
    assert config.parameters == 46_702_792_704
    assert sum(p.numel() for p in bare_model(config).parameters()) == config.parameters
    # two of eight experts work on a token, and the input embedding does not multiply
    assert config.flops_per_token(1) == 6 * (12_879_925_248 - 32000 * 4096) + 12 * 32 * 4096


def test_a_llama_shape_has_llamas_parameter_count():
    llama = {"vocab_size": 32000, "num_layers": 32, "hidden_size": 4096, "num_attention_heads": 32}
    modern = {"normalization": "rmsnorm", "positions": "rope", "activation": "swiglu", "bias": False, "tied": False}
    config = build(
        ModelConfig, {**llama, **modern, "intermediate_size": 11008, "max_position_embeddings": 2048}, "test"
    )
    assert config.parameters == 6_738_415_616
    assert sum(p.numel() for p in bare_model(config).parameters()) == config.parameters


def test_initial_weights_depend_on_the_seed_and_the_name_only():
    small = build_model(GPT2, seed=1)
    deeper = build_model({**GPT2, "num_layers": 4, "init_std": 0.3}, seed=1)
    other = build_model(GPT2, seed=2)
    query = "layers.1.attention.query.weight"
    weights = [dict(model.named_parameters())[query] for model in (small, deeper, other)]
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])
    assert not torch.equal(weights[0], small.layers["0"].attention.query.weight)


def test_initial_weights_have_the_published_spread():
    model = build_model({**SMALL, "num_layers": 3, "hidden_size": 256, "max_position_embeddings": 64})
    scale = 0.02 / (2 * 3) ** 0.5
    for name, parameter in model.named_parameters():
        if parameter.dim() > 1:
            wanted = scale if name.endswith("output.weight") else 0.02
            values = parameter.detach()[:150] if name == "tokens.weight" else parameter.detach()
            # the standard deviation of n normal numbers is known to 1 / sqrt(2 n): four times that
            assert float(values.std()) == pytest.approx(wanted, rel=4 / (2 * values.numel()) ** 0.5), name
    assert float(model.tokens.weight.detach()[150:].abs().max()) == 0


def test_a_slice_of_the_weights_can_be_made_without_the_whole():
    whole = build_model(GPT2, seed=4)
    parts = build_model(GPT2, seed=4)
    for rank in range(3):

        def place(parameter, rank=rank):
            rows = -(-parameter.shape[0] // 3)
            first = min(rank * rows, parameter.shape[0])
            part = parameter.detach()[first : first + rows]
            return part, Part((first, *[0] * (parameter.dim() - 1)), tuple(parameter.shape))

        initialize(parts, 4, place)
    for (name, one), other in zip(whole.named_parameters(), parts.parameters(), strict=True):
        assert torch.equal(one, other), name


def test_a_mapping_with_segments_means_a_bert():
    model = build_model(
        {
            "num_layers": 2,
            "hidden_size": 32,
            "num_attention_heads": 4,
            "max_position_embeddings": 512,
            "type_vocab_size": 2,
            "vocab_size": 1000,
        },
        precision="fp16",
    )
    logits = model(torch.zeros(1, 512, dtype=torch.int64))
    assert type(model).__name__ == "BERT"
    assert logits.shape == (1, 512, 1000)
    assert logits.dtype == torch.float16
    assert torch.isfinite(logits).all()


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"hidden_size": 30}, r"model.hidden_size \(30\) must be a multiple of model.num_attention_heads \(4\)"),
        ({"num_key_value_heads": 3}, r"must be a multiple of model.num_key_value_heads \(3\)"),
        ({"hidden_size": 12, "positions": "rope"}, "rope turns pairs of features, but a head has 3"),
        ({"dropout": 1.0}, "model.dropout must be at least 0 and below 1, got 1.0"),
        ({"kind": "bert", "tied": False}, "a BERT predicts with its token embedding"),
        ({"experts": 1}, "model.experts must be 0 or at least 2, got 1"),
        ({"num_layers": 0}, "model.num_layers must be at least 1, got 0"),
        ({"hiden_size": 3}, "unknown key 'hiden_size'; did you mean \"hidden_size\"?"),
    ],
)
def test_impossible_shapes_are_refused_with_a_sentence(fields, message):
    with pytest.raises(ConfigError, match=message):
        build_model({**SMALL, **fields})


def test_a_model_needs_a_vocabulary():
    with pytest.raises(ConfigError, match=r"model.vocab_size is not set"):
        build_model("gpt-tiny")


def test_an_unknown_preset_names_the_nearest():
    with pytest.raises(ConfigError, match="'gpt-tyni' is neither a file nor a shipped configuration; did you mean"):
        build_model("gpt-tyni")

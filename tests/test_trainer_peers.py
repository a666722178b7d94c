"""Our GPT and BERT beside those of `transformers`, with the same weights, in float64."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from megadata.trainer import build_model  # noqa: E402

pytestmark = [pytest.mark.train, pytest.mark.peers, pytest.mark.filterwarnings("default")]

SHAPE = {"vocab_size": 256, "num_layers": 3, "hidden_size": 48, "num_attention_heads": 4, "init_std": 0.2}
PARTS = ("query", "key", "value")


def made(**fields):
    """One of our models, its biases and norms not trivial."""
    model = build_model({**SHAPE, "max_position_embeddings": 20, **fields}, precision="fp64", seed=1)
    generator = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() == 1:
                parameter += torch.randn(parameter.shape, generator=generator, dtype=torch.float64) * 0.1
    return model


def gpt2(transformers):
    ours = made()
    config = transformers.GPT2Config(
        vocab_size=256, n_positions=20, n_embd=48, n_layer=3, n_head=4, resid_pdrop=0, embd_pdrop=0, attn_pdrop=0
    )
    theirs = transformers.GPT2LMHeadModel(config).double()
    w = dict(ours.named_parameters())
    state = {"transformer.wte.weight": w["tokens.weight"], "transformer.wpe.weight": w["positions.weight"]}
    state |= {"lm_head.weight": w["tokens.weight"]}
    state |= {f"transformer.ln_f.{p}": w[f"norm.{p}"] for p in ("weight", "bias")}
    for i in range(3):
        a, b = f"layers.{i}", f"transformer.h.{i}"
        for p in ("weight", "bias"):
            state[f"{b}.ln_1.{p}"] = w[f"{a}.attention_norm.{p}"]
            state[f"{b}.ln_2.{p}"] = w[f"{a}.feed_forward_norm.{p}"]
            joined = torch.cat([w[f"{a}.attention.{part}.{p}"] for part in PARTS])
            state[f"{b}.attn.c_attn.{p}"] = joined.T if p == "weight" else joined
            for theirs_name, ours_name in (
                ("attn.c_proj", "attention.output"),
                ("mlp.c_fc", "feed_forward.up"),
                ("mlp.c_proj", "feed_forward.output"),
            ):
                value = w[f"{a}.{ours_name}.{p}"]
                state[f"{b}.{theirs_name}.{p}"] = value.T if p == "weight" else value
    return ours, theirs, state


def llama(transformers):
    fields = {"num_key_value_heads": 2, "normalization": "rmsnorm", "positions": "rope", "activation": "swiglu"}
    ours = made(**fields, bias=False, tied=False, norm_epsilon=1e-6)
    config = transformers.LlamaConfig(
        vocab_size=256,
        hidden_size=48,
        intermediate_size=ours.config.ffn_size,
        num_hidden_layers=3,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=20,
        rms_norm_eps=1e-6,
        tie_word_embeddings=False,
    )
    theirs = transformers.LlamaForCausalLM(config).double()
    w = dict(ours.named_parameters())
    state = {"model.embed_tokens.weight": w["tokens.weight"], "model.norm.weight": w["norm.weight"]}
    state |= {"lm_head.weight": w["head.weight"]}
    names = {"q_proj": "query", "k_proj": "key", "v_proj": "value", "o_proj": "output"}
    for i in range(3):
        a, b = f"layers.{i}", f"model.layers.{i}"
        state |= {f"{b}.self_attn.{t}.weight": w[f"{a}.attention.{o}.weight"] for t, o in names.items()}
        for t, o in (("gate_proj", "gate"), ("up_proj", "up"), ("down_proj", "output")):
            state[f"{b}.mlp.{t}.weight"] = w[f"{a}.feed_forward.{o}.weight"]
        state[f"{b}.input_layernorm.weight"] = w[f"{a}.attention_norm.weight"]
        state[f"{b}.post_attention_layernorm.weight"] = w[f"{a}.feed_forward_norm.weight"]
    return ours, theirs, state


def bert(transformers):
    ours = made(kind="bert", type_vocab_size=2, norm_position="post", activation="gelu", norm_epsilon=1e-12)
    config = transformers.BertConfig(
        vocab_size=256,
        hidden_size=48,
        num_hidden_layers=3,
        num_attention_heads=4,
        intermediate_size=192,
        max_position_embeddings=20,
        hidden_dropout_prob=0,
        attention_probs_dropout_prob=0,
    )
    theirs = transformers.BertForPreTraining(config).double()
    w = dict(ours.named_parameters())
    state = {}
    for t, o in (("word", "tokens"), ("position", "positions"), ("token_type", "segments")):
        state[f"bert.embeddings.{t}_embeddings.weight"] = w[f"{o}.weight"]
    pairs = [
        ("bert.embeddings.LayerNorm", "norm"),
        ("bert.pooler.dense", "sentence_order.pooler"),
        ("cls.seq_relationship", "sentence_order.classifier"),
        ("cls.predictions.transform.dense", "masked_token.dense"),
        ("cls.predictions.transform.LayerNorm", "masked_token.norm"),
    ]
    for i in range(3):
        a, b = f"layers.{i}", f"bert.encoder.layer.{i}"
        pairs += [(f"{b}.attention.self.{part}", f"{a}.attention.{part}") for part in PARTS]
        pairs += [
            (f"{b}.attention.output.dense", f"{a}.attention.output"),
            (f"{b}.attention.output.LayerNorm", f"{a}.attention_norm"),
            (f"{b}.intermediate.dense", f"{a}.feed_forward.up"),
            (f"{b}.output.dense", f"{a}.feed_forward.output"),
            (f"{b}.output.LayerNorm", f"{a}.feed_forward_norm"),
        ]
    state |= {f"{t}.{p}": w[f"{o}.{p}"] for t, o in pairs for p in ("weight", "bias")}
    state |= {"cls.predictions.bias": w["masked_token.bias"], "cls.predictions.decoder.bias": w["masked_token.bias"]}
    state["cls.predictions.decoder.weight"] = w["tokens.weight"]
    return ours, theirs, state


@pytest.fixture(params=[gpt2, llama, bert], ids=["gpt2", "llama", "bert"])
def pair(request):
    """A model of ours and its peer with equal weights."""
    ours, theirs, state = request.param(pytest.importorskip("transformers"))
    missing, unexpected = theirs.load_state_dict({name: value.detach() for name, value in state.items()}, strict=False)
    assert not unexpected
    assert all("position_ids" in name or "inv_freq" in name for name in missing)
    return ours, theirs.eval()


def logits_of(theirs, tokens):
    out = theirs(tokens)
    return out.prediction_logits if hasattr(out, "prediction_logits") else out.logits


def test_logits_are_equal(pair):
    ours, theirs = pair
    tokens = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (2, 20)))
    # their rotations are computed in float32, ours in float64
    torch.testing.assert_close(ours(tokens), logits_of(theirs, tokens), rtol=1e-5, atol=1e-5)


def test_ten_steps_of_adamw_are_equal(pair):
    ours, theirs = pair
    rng = np.random.default_rng(1)
    optimizers = [torch.optim.AdamW(m.parameters(), lr=1e-3, weight_decay=0.1) for m in pair]
    for _ in range(10):
        tokens, labels = (torch.from_numpy(rng.integers(0, 256, (2, 20))) for _ in range(2))
        mine = ours(tokens, labels=labels)[0] / labels.numel()
        peers = torch.nn.functional.cross_entropy(logits_of(theirs, tokens).flatten(0, 1), labels.flatten())
        assert float(mine.detach()) == pytest.approx(float(peers.detach()), rel=1e-6)
        for loss, optimizer in zip((mine, peers), optimizers, strict=True):
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()

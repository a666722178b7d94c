"""GPT and BERT in plain NumPy, float64, one sample, head by head: what the torch models must compute."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

Weights = dict[str, np.ndarray]


def layer_norm(x, weight, bias, epsilon):
    mean, variance = x.mean(-1, keepdims=True), x.var(-1, keepdims=True)
    out = (x - mean) / np.sqrt(variance + epsilon) * weight
    return out if bias is None else out + bias


def rms_norm(x, weight, epsilon):
    return x / np.sqrt((x**2).mean(-1, keepdims=True) + epsilon) * weight


def softmax(x):
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


_erf = np.vectorize(math.erf)


def activate(x, name):
    if name == "relu":
        return np.maximum(x, 0)
    if name == "gelu":
        return 0.5 * x * (1 + _erf(x / math.sqrt(2)))
    return 0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))


def silu(x):
    return x / (1 + np.exp(-x))


def rope(x, positions, base):
    """x: (T, D); pairs feature d with d + D/2."""
    size = x.shape[1]
    out = np.empty_like(x)
    for t, position in enumerate(positions):
        for d in range(size // 2):
            angle = position * base ** (-2 * d / size)
            a, b = x[t, d], x[t, d + size // 2]
            out[t, d] = a * math.cos(angle) - b * math.sin(angle)
            out[t, d + size // 2] = b * math.cos(angle) + a * math.sin(angle)
    return out


def norm(x, w: Weights, name: str, c: Any):
    if c.normalization == "rmsnorm":
        return rms_norm(x, w[f"{name}.weight"], c.norm_epsilon)
    return layer_norm(x, w[f"{name}.weight"], w.get(f"{name}.bias"), c.norm_epsilon)


def linear(x, w: Weights, name: str):
    out = x @ w[f"{name}.weight"].T
    return out + w[f"{name}.bias"] if f"{name}.bias" in w else out


def attention(x, w: Weights, name: str, c: Any, visible, positions):
    size = c.hidden_size // c.num_attention_heads
    q, k, v = (linear(x, w, f"{name}.{part}") for part in ("query", "key", "value"))
    heads = []
    for h in range(c.num_attention_heads):
        shared = h * c.kv_heads // c.num_attention_heads
        qh, kh = q[:, h * size : (h + 1) * size], k[:, shared * size : (shared + 1) * size]
        vh = v[:, shared * size : (shared + 1) * size]
        if c.qk_norm:
            qh = rms_norm(qh, w[f"{name}.query_norm.weight"], c.norm_epsilon)
            kh = rms_norm(kh, w[f"{name}.key_norm.weight"], c.norm_epsilon)
        if c.positions == "rope":
            qh, kh = rope(qh, positions, c.rope_base), rope(kh, positions, c.rope_base)
        scores = np.where(visible, qh @ kh.T / math.sqrt(size), -np.inf)
        heads.append(softmax(scores) @ vh)
    return linear(np.concatenate(heads, 1), w, f"{name}.output")


def feed_forward(x, w: Weights, name: str, c: Any):
    if c.activation == "swiglu":
        inner = silu(linear(x, w, f"{name}.gate")) * linear(x, w, f"{name}.up")
    else:
        inner = activate(linear(x, w, f"{name}.up"), c.activation)
    return linear(inner, w, f"{name}.output")


def hidden_states(tokens, w: Weights, c: Any, *, segments=None, documents=None, positions=None):
    length = len(tokens)
    positions = np.arange(length) if positions is None else positions
    x = w["tokens.weight"][tokens]
    if c.positions == "learned":
        x = x + w["positions.weight"][positions]
    if c.type_vocab_size:
        x = x + w["segments.weight"][np.zeros(length, int) if segments is None else segments]
    visible = np.ones((length, length), bool)
    if c.kind == "gpt":
        visible = np.tril(visible)
    if documents is not None:
        visible &= np.asarray(documents)[:, None] == np.asarray(documents)[None, :]
    if c.norm_position == "post":
        x = norm(x, w, "norm", c)
    for i in range(c.num_layers):
        name = f"layers.{i}"
        if c.norm_position == "post":
            x = norm(x + attention(x, w, f"{name}.attention", c, visible, positions), w, f"{name}.attention_norm", c)
            x = norm(x + feed_forward(x, w, f"{name}.feed_forward", c), w, f"{name}.feed_forward_norm", c)
        else:
            read = norm(x, w, f"{name}.attention_norm", c)
            x = x + attention(read, w, f"{name}.attention", c, visible, positions)
            x = x + feed_forward(norm(x, w, f"{name}.feed_forward_norm", c), w, f"{name}.feed_forward", c)
    return norm(x, w, "norm", c) if c.norm_position == "pre" else x


def gpt_logits(tokens, w: Weights, c: Any, **options):
    table = w["tokens.weight"] if c.tied else w["head.weight"]
    logits = hidden_states(tokens, w, c, **options) @ table.T
    if c.logit_softcap is not None:
        logits = c.logit_softcap * np.tanh(logits / c.logit_softcap)
    return logits[:, : c.vocab_size]


def bert_logits(tokens, w: Weights, c: Any, **options):
    """Masked-token logits (T, V) and sentence-order logits (2,)."""
    x = hidden_states(tokens, w, c, **options)
    dense = activate(linear(x, w, "masked_token.dense"), c.activation)
    rows = norm(dense, w, "masked_token.norm", c)
    masked = rows @ w["tokens.weight"].T + w["masked_token.bias"]
    pooled = np.tanh(linear(x[0], w, "sentence_order.pooler"))
    return masked[:, : c.vocab_size], linear(pooled, w, "sentence_order.classifier")


def cross_entropy(logits, label):
    top = logits.max()
    return math.log(np.exp(logits - top).sum()) + top - logits[label]

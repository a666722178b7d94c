"""What a model is made of: one config for GPT and BERT, and the parameter count that follows from it."""

from __future__ import annotations

from typing import Literal

from megadata.config import configclass
from megadata.errors import ConfigError

VOCABULARY_MULTIPLE = 128
"""Rows of the embedding are padded to a multiple of this, whatever the layout; padded logits are masked."""

Kind = Literal["gpt", "bert"]


@configclass
class ModelConfig:
    """Shape of a transformer. The defaults are GPT-2's block; field names follow `transformers`."""

    kind: Kind = "gpt"
    """``gpt``: causal, next token. ``bert``: bidirectional, masked tokens and sentence order."""
    vocab_size: int | None = None
    """Entries of the vocabulary; none takes the data's. A larger one than the data's is allowed, a smaller one is not."""
    num_layers: int = 4
    """Transformer blocks."""
    hidden_size: int = 128
    """Width of the residual stream."""
    num_attention_heads: int = 4
    """Query heads; divides `hidden_size`."""
    num_key_value_heads: int | None = None
    """Heads of keys and values (grouped queries); none means one per query head."""
    intermediate_size: int | None = None
    """Width inside the feed-forward; none means 4 * hidden_size, or 8/3 of it rounded up to 64 for SwiGLU."""
    max_position_embeddings: int = 1024
    """Longest sequence; the number of learned positions where positions are learned."""
    type_vocab_size: int = 0
    """Segment embeddings (BERT has 2); 0 has none."""
    normalization: Literal["layernorm", "rmsnorm"] = "layernorm"
    """Kind of normalisation."""
    norm_position: Literal["pre", "post"] = "pre"
    """``pre`` normalises what a block reads (GPT-2, Megatron's BERT), ``post`` what it writes (the original BERT)."""
    norm_epsilon: float = 1e-5
    """Added to the variance."""
    positions: Literal["learned", "rope"] = "learned"
    """Learned position embeddings, or rotations of queries and keys (RoPE, Su et al. 2021, arXiv:2104.09864)."""
    rope_base: float = 10000.0
    """Wavelength base of RoPE."""
    activation: Literal["gelu", "gelu_tanh", "relu", "swiglu"] = "gelu_tanh"
    """Feed-forward's activation; ``swiglu`` adds a gate (Shazeer 2020, arXiv:2002.05202)."""
    bias: bool = True
    """Whether linear layers and layer norms have biases."""
    qk_norm: bool = False
    """RMS-normalise queries and keys of each head."""
    tied: bool = True
    """Whether the output layer is the token embedding."""
    logit_softcap: float | None = None
    """Squash logits to (-c, c) by c * tanh(logit / c); none leaves them."""
    dropout: float = 0.0
    """Dropout of embeddings and of what attention and feed-forward write."""
    attention_dropout: float = 0.0
    """Dropout of attention probabilities."""
    experts: int = 0
    """Feed-forwards side by side, of which a router picks for each token; 0: one feed-forward for all."""
    experts_per_token: Literal[1, 2] = 2
    """Experts a token goes to: 1 as Switch, weighted by its share, 2 as GShard, weighted by their shares of the two."""
    expert_every: int = 1
    """Every k-th block has experts, from the k-th on."""
    capacity_factor: float | None = None
    """Tokens of a sequence an expert takes, as a multiple of an even part; those beyond go by it. None: no token is dropped."""
    balance_loss: float = 0.01
    """Factor of the loss that evens experts' parts out."""
    router_loss: float = 0.001
    """Factor of the router's z loss, which keeps its logits small."""
    init_std: float = 0.02
    """Standard deviation of initial weights; layers that write to the residual stream use init_std / sqrt(2 * num_layers)."""

    def __post_init__(self) -> None:
        for name in ("num_layers", "hidden_size", "num_attention_heads", "max_position_embeddings"):
            _at_least_one(name, getattr(self, name))
        for name in ("vocab_size", "num_key_value_heads", "intermediate_size"):
            if getattr(self, name) is not None:
                _at_least_one(name, getattr(self, name))
        if self.hidden_size % self.num_attention_heads:
            raise ConfigError(
                f"model.hidden_size ({self.hidden_size}) must be a multiple of model.num_attention_heads"
                f" ({self.num_attention_heads})"
            )
        if self.num_attention_heads % self.kv_heads:
            raise ConfigError(
                f"model.num_attention_heads ({self.num_attention_heads}) must be a multiple of"
                f" model.num_key_value_heads ({self.kv_heads})"
            )
        if self.positions == "rope" and self.head_size % 2:
            raise ConfigError(f"model.positions: rope turns pairs of features, but a head has {self.head_size}")
        for name in ("dropout", "attention_dropout"):
            if not 0 <= getattr(self, name) < 1:
                raise ConfigError(f"model.{name} must be at least 0 and below 1, got {getattr(self, name)}")
        if self.type_vocab_size < 0:
            raise ConfigError(f"model.type_vocab_size must not be negative, got {self.type_vocab_size}")
        _at_least_one("expert_every", self.expert_every)
        if self.experts < 0 or self.experts == 1 or 0 < self.experts < self.experts_per_token:
            raise ConfigError(f"model.experts must be 0 or at least 2, got {self.experts}")
        if self.capacity_factor is not None and not self.capacity_factor > 0:
            raise ConfigError(f"model.capacity_factor must be above 0, or null, got {self.capacity_factor}")
        if self.kind == "bert" and not self.tied:
            raise ConfigError("model.tied: a BERT predicts with its token embedding; set model.tied=true")
        if self.kind == "bert" and self.logit_softcap is not None:
            raise ConfigError("model.logit_softcap: only a GPT caps its logits; set model.logit_softcap=null")

    @property
    def head_size(self) -> int:
        """Features of one attention head."""
        return self.hidden_size // self.num_attention_heads

    @property
    def kv_heads(self) -> int:
        """Heads of keys and values."""
        return self.num_attention_heads if self.num_key_value_heads is None else self.num_key_value_heads

    @property
    def ffn_size(self) -> int:
        """Width inside the feed-forward."""
        if self.intermediate_size is not None:
            return self.intermediate_size
        if self.activation == "swiglu":
            return -(-self.hidden_size * 8 // (3 * 64)) * 64
        return 4 * self.hidden_size

    def mixes_experts(self, layer: int) -> bool:
        """Whether block `layer` has experts."""
        return self.experts > 0 and layer % self.expert_every == self.expert_every - 1

    @property
    def vocabulary(self) -> int:
        """Entries of the vocabulary, once known."""
        if self.vocab_size is None:
            raise ConfigError("model.vocab_size is not set and no data was given to take it from; set model.vocab_size")
        return self.vocab_size

    @property
    def padded_vocabulary(self) -> int:
        """Rows of the token embedding."""
        return -(-self.vocabulary // VOCABULARY_MULTIPLE) * VOCABULARY_MULTIPLE

    @property
    def parameters(self) -> int:
        """Trainable parameters, without the rows that only pad the vocabulary: the published way of counting."""
        return self._parameters(self.experts)

    def _parameters(self, experts: int) -> int:
        """Parameters with so many experts a layer that has any."""
        width, ffn, vocabulary = self.hidden_size, self.ffn_size, self.vocabulary
        norm = width * (2 if self.normalization == "layernorm" and self.bias else 1)
        linear_bias = int(self.bias)
        key_value = self.kv_heads * self.head_size
        attention = width * (2 * width + 2 * key_value) + linear_bias * (2 * width + 2 * key_value)
        if self.qk_norm:
            attention += 2 * self.head_size
        gates = 2 if self.activation == "swiglu" else 1
        feed_forward = (gates + 1) * width * ffn + linear_bias * (gates * ffn + width)
        mixed = sum(self.mixes_experts(layer) for layer in range(self.num_layers))
        total = self.num_layers * (attention + 2 * norm) + (self.num_layers - mixed) * feed_forward
        total += mixed * (experts * (gates + 1) * width * ffn + self.experts * width)
        total += vocabulary * width + self.type_vocab_size * width
        total += self.max_position_embeddings * width if self.positions == "learned" else 0
        total += norm  # after the last block (pre) or after the embeddings (post)
        if self.kind == "gpt":
            return total + (0 if self.tied else vocabulary * width)
        masked = width * width + width + norm + vocabulary
        order = width * width + width + 2 * width + 2
        return total + masked + order

    def flops_per_token(self, sequence_length: int) -> int:
        """Floating-point operations to train on one token: 6 a parameter of the matrices, and 12 * L * d * T for attention."""
        embeddings = self.vocabulary * self.hidden_size if not self.tied else 0
        if self.positions == "learned":
            embeddings += self.max_position_embeddings * self.hidden_size
        active = self._parameters(min(self.experts, self.experts_per_token))
        return 6 * (active - embeddings) + 12 * self.num_layers * self.hidden_size * sequence_length


def _at_least_one(name: str, value: int) -> None:
    if value < 1:
        raise ConfigError(f"model.{name} must be at least 1, got {value}")

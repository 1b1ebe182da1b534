"""What all three families have in common: the interface, and the walk through the decoder's layers."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from core.config import ModelConfig
from core.model.cache import KVCache
from core.model.dropout import Dropout
from core.model.layers import Layer, make_norm
from core.model.linear import Linear, Packed, linear
from core.model.positions import RotaryPositions, SinusoidalPositions
from core.model.trace import Trace

PACKED_BYTES = 4 * 2**30


@dataclass
class Memory:
    """What the encoder made of the source: states (B, S, D), mask (B, S) bool with True = may be attended to."""

    states: Tensor
    mask: Tensor
    trace: Trace | None = None


@dataclass
class ModelOutput:
    """logits (B, T, V); trace only if it was asked for."""

    logits: Tensor
    trace: Trace | None = None


class LanguageModel(nn.Module):
    """Predicts the next token from the tokens before it (and from a source, for the encoder-decoder).

    Causality lives in here: the logits at position t depend on input_ids[:, : t + 1] only. Padding on the right of
    input_ids and masked source positions never change a result.
    """

    is_encoder_decoder = False
    pad_id, bos_id, eos_id = 0, 1, 2  # imported checkpoints bring their own; an eos_id of -1: there is none
    packed_output: Packed | None = None  # of tied embeddings: see `pack`
    begins_with_bos = True  # our models have seen bos before every text; GPT-2 has not
    recompute = False  # in training: keep only what enters a layer, and compute the rest again in the backward pass

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        if config.vocab_size < 1:
            raise ValueError("The model needs model.vocab_size; it is taken from the tokenizer when a run is made.")
        self.config = config
        self.token_embedding = nn.Embedding(config.vocab_size, config.d_model)
        self.embedding_scale = 1.0
        self.positions: nn.Module | None = None
        if config.positions in ("sinusoidal", "sinusoidal_halves"):
            halves = config.positions == "sinusoidal_halves"
            self.positions = SinusoidalPositions(config.max_seq_len, config.d_model, halves)
            if config.scale_embeddings:
                # The fixed sines have size 1, the embeddings start small (Vaswani et al., section 3.4).
                self.embedding_scale = math.sqrt(config.d_model)
        elif config.positions == "learned":
            self.positions = nn.Embedding(config.max_seq_len, config.d_model)
        self.rotary = None
        if config.positions == "rope":
            self.rotary = RotaryPositions(config.max_seq_len, config.d_head, config.rope_theta, config.rope_scaling)
        self.dropout = Dropout(config.dropout)
        self.layers = nn.ModuleList(
            Layer(config, causal=True, cross=self.is_encoder_decoder) for _ in range(config.n_layers)
        )
        # Post-norm layers end with a normalisation of their own.
        self.norm = make_norm(config) if config.norm_position == "pre" else nn.Identity()
        self.output = None if config.tie_embeddings else Linear(config.d_model, config.vocab_size, bias=False)
        self.output_bias = nn.Parameter(torch.zeros(config.vocab_size)) if config.output_bias else None

    @property
    def max_seq_len(self) -> int:
        return self.config.max_seq_len

    @property
    def device(self) -> torch.device:
        return self.token_embedding.weight.device

    @property
    def dtype(self) -> torch.dtype:
        return self.token_embedding.weight.dtype

    def num_parameters(self) -> int:
        """Weights that are learned; tied ones count once."""
        return sum(p.numel() for p in self.parameters())

    def prompt_ids(self, ids: Sequence[int]) -> list[int]:
        """A text's ids as a decoder-only model begins to read them: with bos before them, if it knows it there."""
        return [self.bos_id, *ids] if self.begins_with_bos or not ids else list(ids)

    def encode(self, src_ids: Tensor, src_mask: Tensor | None = None, trace: bool | Trace = False) -> Memory | None:
        """The source, read by the encoder; None for families without one."""
        return None

    def forward(
        self,
        input_ids: Tensor,
        memory: Memory | None = None,
        cache: KVCache | None = None,
        trace: bool | Trace = False,
        logit_positions: Tensor | None = None,
    ) -> ModelOutput:
        """input_ids (B, T) -> logits (B, T, V).

        memory: of `encode`, for the encoder-decoder. cache: input_ids continue what it holds; it is advanced by T.
        trace: also return queries, keys, values and residual streams; or a Trace to put them into. logit_positions
        (B,): compute the logits of one position a row only, (B, 1, V).
        """
        record = trace if isinstance(trace, Trace) else None
        if trace is True:
            record = Trace()
            if memory is not None and memory.trace is not None:  # the encoder's part comes first
                record = Trace(dict(memory.trace.heads), dict(memory.trace.residual))
        x = self.hidden(input_ids, memory, cache, record)
        if logit_positions is not None:
            x = x[torch.arange(len(x), device=x.device), logit_positions][:, None]
        return ModelOutput(self.logits(x), record)

    def hidden(
        self,
        input_ids: Tensor,
        memory: Memory | None = None,
        cache: KVCache | None = None,
        trace: Trace | None = None,
    ) -> Tensor:
        """The final states (B, T, D), normalised: all of `forward` but the projection to the vocabulary."""
        new = input_ids.shape[1]
        mask = None
        if cache is None:
            self.check_length(new)
            positions = torch.arange(new, device=input_ids.device)
        else:
            positions, mask = cache.positions(new), cache.mask(new)
        x = self.embed(input_ids, positions)
        if trace is not None:
            trace.add_residual("decoder", x)
        rotary = self.rotary(positions) if self.rotary is not None else None
        cross, memory_mask = self.cross_keys_values(memory, cache)
        for i, layer in enumerate(self.layers):
            source = (cross[i], memory_mask) if cross else None
            x = self.through(layer, x, mask, rotary, source, cache, i, trace)
            if trace is not None:
                trace.add_residual("decoder", x)
        if cache is not None:
            cache.advance(new)
        return self.norm(x)

    def through(self, layer: nn.Module, x: Tensor, *rest: Any) -> Tensor:
        """A layer, or the same with less memory and a second forward pass: Chen et al., "Training Deep Nets with
        Sublinear Memory Cost" (2016)."""
        if self.recompute and self.training and torch.is_grad_enabled():
            return checkpoint(layer, x, *rest, use_reentrant=False)  # type: ignore[no-any-return]
        return layer(x, *rest)  # type: ignore[no-any-return]

    def check_length(self, length: int) -> None:
        if length > self.max_seq_len:
            raise ValueError(f"The model reads at most {self.max_seq_len} tokens, not {length}.")

    def embed(self, ids: Tensor, positions: Tensor) -> Tensor:
        """Token and position embeddings (B, T, D)."""
        x = self.token_embedding(ids) * self.embedding_scale
        if self.positions is not None:
            x = x + self.positions(positions)
        return self.dropout(x)

    def logits(self, x: Tensor) -> Tensor:
        """States (..., D) -> logits (..., V)."""
        if self.output is None:
            return linear(x, self.token_embedding.weight, self.output_bias, self.packed_output)
        logits: Tensor = self.output(x)
        return logits if self.output_bias is None else logits + self.output_bias

    def cross_keys_values(
        self, memory: Memory | None, cache: KVCache | None
    ) -> tuple[list[tuple[Tensor, Tensor]], Tensor | None]:
        """Keys and values of the source a layer, and its mask; nothing for families without an encoder."""
        return [], None

    def pack(self) -> "LanguageModel":
        """Keep a second copy of the matrices, in the order in which they are read most quickly: see `linear.Packed`.

        Of models of up to PACKED_BYTES; larger ones stay as they are.
        """
        if sum(p.numel() * p.element_size() for p in self.parameters()) > PACKED_BYTES:
            return self
        for module in self.modules():
            if isinstance(module, Linear):
                module.pack()
        weight = self.token_embedding.weight
        if self.output is None and not (self.packed_output and self.packed_output.is_current(weight)):
            self.packed_output = Packed.of(weight)  # the embeddings are the matrix that makes the logits
        return self

    def unpack(self) -> "LanguageModel":
        """Drop the copies that `pack` made."""
        self.packed_output = None
        for module in self.modules():
            if isinstance(module, Linear):
                module.packed = None
        return self

    def train(self, mode: bool = True) -> Self:
        """As nn.Module's. Training changes the weights: packed copies of them are dropped."""
        if mode:
            self.unpack()
        return super().train(mode)

    def new_cache(self, batch_size: int, max_len: int) -> KVCache:
        """An empty cache for `batch_size` rows of up to `max_len` tokens (at most max_seq_len)."""
        config = self.config
        max_len = min(max_len, config.max_seq_len)
        heads, device = config.n_kv_heads, self.device
        fixed = device.type == "cuda"
        return KVCache(config.n_layers, batch_size, heads, max_len, config.d_head, self.dtype, device, fixed)

    def initialise(self) -> None:
        """Small random weights, so that the first predictions are near uniform.

        Matrices: normal, 0.02 (Radford et al., 2019). Those that write into the residual stream are divided by the
        square root of the number of writes, so that the stream does not grow with depth. Embeddings: such that the
        initial logits, normalised states times (tied) embeddings, have a deviation of at most 1/4, and less for a small
        vocabulary: the first loss is then within 2% of ln(vocab_size).
        """
        config = self.config
        logit_deviation = 0.25 * min(1.0, math.log(config.vocab_size) / 8)
        deviation = min(0.02, logit_deviation / math.sqrt(config.d_model))
        writes = {"decoder": config.n_layers * (3 if self.is_encoder_decoder else 2)}
        writes["encoder"] = 2 * max(1, config.n_encoder_layers)
        for name, module in self.named_modules():
            if isinstance(module, nn.Embedding):
                nn.init.normal_(module.weight, std=deviation)
            elif isinstance(module, nn.Linear):
                # Wide inputs add up more terms: 0.02 is right at 768 and above, more below it.
                std = max(0.02, 0.5 / math.sqrt(module.in_features))
                if name == "output":
                    std = deviation
                elif name.endswith((".out", ".down")):
                    std /= math.sqrt(writes["encoder" if name.startswith("encoder_") else "decoder"])
                nn.init.normal_(module.weight, std=std)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)

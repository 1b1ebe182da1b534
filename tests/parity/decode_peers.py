"""transformers models behind our model interface, so that both decoders search the very same logits."""

from types import SimpleNamespace

import torch
from torch import nn
from transformers import (
    BartConfig,
    BartForConditionalGeneration,
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
)

from core.model import Memory, ModelOutput

VOCAB, BOS, EOS, PAD = 31, 1, 2, 0


class HFAdapter(nn.Module):
    """No cache: use with use_cache=False."""

    bos_id, eos_id, pad_id = BOS, EOS, PAD
    max_seq_len = 64
    device = torch.device("cpu")

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.inner = model
        self.config = SimpleNamespace(vocab_size=VOCAB)
        self.is_encoder_decoder = model.config.is_encoder_decoder

    def encode(self, src_ids, src_mask=None, trace=False):
        if not self.is_encoder_decoder:
            return None
        states = self.inner.get_encoder()(input_ids=src_ids, attention_mask=src_mask.long()).last_hidden_state
        return Memory(states, src_mask)

    def hidden(self, input_ids, memory=None, cache=None, trace=None):
        if self.is_encoder_decoder:
            return self.inner.model(
                encoder_outputs=(memory.states,), attention_mask=memory.mask.long(), decoder_input_ids=input_ids
            ).last_hidden_state
        return self.inner.base_model(input_ids).last_hidden_state

    def logits(self, states):
        return self.inner.get_output_embeddings()(states)

    def forward(self, input_ids, memory=None, cache=None, trace=False, logit_positions=None):
        states = self.hidden(input_ids, memory)
        if logit_positions is not None:
            states = states[torch.arange(len(states)), logit_positions][:, None]
        return ModelOutput(self.logits(states))


def tiny(family: str, seed: int = 0, eos_bias: float = 0.0, sharpness: float = 1.0) -> nn.Module:
    """A random model of transformers, in double precision: batches of another shape round differently, which is not
    what is tested. eos_bias lifts the end token's logit, so that hypotheses do end; sharpness multiplies all logits
    before it."""
    torch.manual_seed(seed)
    ids = dict(bos_token_id=BOS, eos_token_id=EOS, pad_token_id=PAD)
    if family == "gpt2":
        model = GPT2LMHeadModel(
            GPT2Config(vocab_size=VOCAB, n_positions=64, n_embd=16, n_layer=2, n_head=2, initializer_range=0.5, **ids)
        )
    elif family == "llama":
        config = LlamaConfig(
            vocab_size=VOCAB, hidden_size=16, intermediate_size=24, num_hidden_layers=2, num_attention_heads=4,
            num_key_value_heads=2, max_position_embeddings=64, initializer_range=0.5, **ids,
        )  # fmt: skip
        model = LlamaForCausalLM(config)
    else:
        config = BartConfig(
            vocab_size=VOCAB, d_model=16, encoder_layers=1, decoder_layers=2, encoder_attention_heads=2,
            decoder_attention_heads=2, encoder_ffn_dim=24, decoder_ffn_dim=24, max_position_embeddings=64,
            init_std=0.5, decoder_start_token_id=BOS, forced_eos_token_id=None, **ids,
        )  # fmt: skip
        model = BartForConditionalGeneration(config)
    model.generation_config.forced_eos_token_id = None
    head = model.get_output_embeddings()
    head.bias = nn.Parameter(torch.zeros(VOCAB))  # the three have none of their own here
    head.weight = nn.Parameter(sharpness * head.weight.detach())  # not the embeddings' any more
    with torch.no_grad():
        head.bias[EOS] = eos_bias
    return model.eval().double()


def trim(ids: list[int]) -> list[int]:
    """What transformers generated, up to and with the first end token."""
    return ids[: ids.index(EOS) + 1] if EOS in ids else ids

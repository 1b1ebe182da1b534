"""Decoding on a CPU, with random weights: ours, transformers and CTranslate2 with the very same ones."""

import math
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch

from tests.benchmarks.measure import Row, against, best_rates, floor_rate, matrix_rate

NEW = 64
PROMPT = 16


def gpt2_124m(n_layers: int = 12):  # type: ignore[no-untyped-def]
    """The shape of the smallest GPT-2, with our usual random weights."""
    from core.config import ModelConfig
    from core.model import build_model

    torch.manual_seed(0)
    config = ModelConfig(family="gpt", vocab_size=50_257, d_model=768, n_layers=n_layers, n_heads=12, max_seq_len=1_024)
    return build_model(config).eval()


def in_transformers(model):  # type: ignore[no-untyped-def]
    """The same model and weights, by way of our export."""
    import transformers

    from core.model.hf_export import pretrained_config
    from core.model.hf_names import WEIGHTS

    config = pretrained_config(model)
    peer = getattr(transformers, config["architectures"][0])(
        getattr(transformers, config["architectures"][0].replace("LMHeadModel", "Config"))(**config)
    ).eval()
    state = {}
    for weight in WEIGHTS[model.config.family](model.config):
        state |= weight.split(model.state_dict()[weight.ours])
    missing, unexpected = peer.load_state_dict(state, strict=False)
    assert not unexpected and set(missing) <= {"lm_head.weight"}, (missing, unexpected)
    peer.tie_weights()
    return peer


def settings(beams: int, new: int = NEW):  # type: ignore[no-untyped-def]
    from core.decode import GenerationConfig

    return GenerationConfig(
        strategy="beam" if beams > 1 else "greedy", num_beams=beams, max_new_tokens=new, min_new_tokens=new
    )


def peer_generate(peer, prompts: torch.Tensor, beams: int, new: int = NEW) -> Callable[[], object]:  # type: ignore[no-untyped-def]
    return lambda: peer.generate(
        prompts, attention_mask=torch.ones_like(prompts), num_beams=beams, do_sample=False,
        max_new_tokens=new, min_new_tokens=new, pad_token_id=0, eos_token_id=2,
    )  # fmt: skip


def gpt2() -> list[Row]:
    """GPT-2 124M, one prompt of 16 tokens, 64 new. The floor reads every weight once a token."""
    from core.decode import generate_ids
    from core.model.quantize import quantize
    from tests.parity.ct2_peers import to_ctranslate2, tokens

    model = gpt2_124m()
    peer = in_transformers(model)
    prompts = torch.randint(3, 50_000, (1, PROMPT), generator=torch.Generator().manual_seed(0))
    weights = sum(p.numel() for p in model.parameters()) - model.positions.weight.numel()
    eight_bits = quantize(model)
    model.pack()
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for beams in (1, 5):
            for precision, mine in (("float32", model), ("int8", eight_bits)):
                other = to_ctranslate2(model, Path(folder), precision, torch.get_num_threads())

                def ctranslate2(other=other, beams=beams):  # type: ignore[no-untyped-def]
                    other.generate_batch(
                        [tokens(prompts[0].tolist())], max_length=NEW, min_length=NEW, beam_size=beams,
                        sampling_topk=1, include_prompt_in_result=False,
                    )  # fmt: skip

                peers = [(f"CTranslate2 {precision}", ctranslate2)]
                if precision == "float32":
                    peers.insert(0, ("transformers", peer_generate(peer, prompts, beams)))
                rows += against(
                    f"GPT-2 124M {precision}, " + (f"beam {beams}" if beams > 1 else "greedy"), "tokens/s", NEW,
                    lambda mine=mine, beams=beams: generate_ids(mine, prompts.tolist(), settings(beams)), peers,
                    floor_rate(1, 2 * weights * beams, weights * (4 if precision == "float32" else 1)),
                )  # fmt: skip
                del other
    return rows


def translation() -> list[Row]:
    """An encoder-decoder of 256 wide, 4+4 layers, 8 heads, vocabulary 8,000: batch 32 of 20 tokens, 30 new."""
    import transformers

    from core.config import ModelConfig
    from core.decode import generate_ids
    from core.model import build_model
    from tests.parity.ct2_peers import to_ctranslate2, tokens

    torch.manual_seed(0)
    batch, length, new = 32, 20, 30
    config = ModelConfig(family="transformer", vocab_size=8_000, d_model=256, n_layers=4, n_heads=8, max_seq_len=64)
    model = build_model(config).eval().pack()
    marian = transformers.MarianMTModel(
        transformers.MarianConfig(
            vocab_size=8_000, d_model=256, encoder_layers=4, decoder_layers=4, encoder_attention_heads=8,
            decoder_attention_heads=8, encoder_ffn_dim=1024, decoder_ffn_dim=1024, max_position_embeddings=64,
            pad_token_id=0, bos_token_id=1, eos_token_id=2, decoder_start_token_id=0, forced_eos_token_id=None,
            activation_function="relu",
        )
    ).eval()  # fmt: skip
    sources = torch.randint(3, 8_000, (batch, length), generator=torch.Generator().manual_seed(0))
    d, ff = config.d_model, config.d_ff
    encoder = config.n_encoder_layers * (4 * d * d + 2 * d * ff) * 2 * batch * length
    token = (config.n_layers * (6 * d * d + 2 * d * ff) + config.vocab_size * d) * 2
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        other = to_ctranslate2(model, Path(folder), threads=torch.get_num_threads())
        for beams in (1, 5):

            def mine(beams=beams):  # type: ignore[no-untyped-def]
                generate_ids(model, sources.tolist(), settings(beams, new), batch_rows=batch * beams)

            def ctranslate2(beams=beams):  # type: ignore[no-untyped-def]
                other.translate_batch(
                    [tokens(ids) for ids in sources.tolist()], beam_size=beams, max_decoding_length=new,
                    min_decoding_length=new, max_batch_size=batch,
                )  # fmt: skip

            name = "translate, batch 32, " + (f"beam {beams}" if beams > 1 else "greedy")
            floor = floor_rate(batch * new, encoder + batch * new * beams * token)
            peers = [
                ("transformers Marian", peer_generate(marian, sources, beams, new)),
                ("CTranslate2 float32", ctranslate2),
            ]
            rows += against(name, "tokens/s", batch * new, mine, peers, floor)
    return rows


def small_gpt() -> list[Row]:
    """A GPT of 256 x 6, where Python's share is largest: batch 1 and 16, greedy and beam 5."""
    from core.config import ModelConfig
    from core.decode import generate_ids
    from core.model import build_model

    torch.manual_seed(0)
    config = ModelConfig(family="gpt", vocab_size=4_000, d_model=256, n_layers=6, n_heads=8, max_seq_len=256)
    model = build_model(config).eval()
    peer = in_transformers(model)
    model.pack()
    weights = sum(p.numel() for p in model.parameters())
    rows = []
    for batch, beams in ((1, 1), (1, 5), (16, 1)):
        prompts = torch.randint(3, 4_000, (batch, PROMPT), generator=torch.Generator().manual_seed(0))
        rows += against(
            f"GPT 256 x 6, batch {batch}, " + (f"beam {beams}" if beams > 1 else "greedy"), "tokens/s", NEW * batch,
            lambda prompts=prompts, beams=beams: generate_ids(model, prompts.tolist(), settings(beams)),
            [("transformers", peer_generate(peer, prompts, beams))],
            floor_rate(batch, 2 * weights * batch * beams, weights * 4),
        )  # fmt: skip
    return rows


def assisted() -> list[Row]:
    """A favourable pair: GPT-2 124M whose layers after the second add almost nothing, so that its first two, as the
    assistant, nearly always say what it says. The note tells how often."""
    from core.decode import generate_ids

    model, draft = gpt2_124m(), gpt2_124m(2)
    with torch.no_grad():
        for layer in model.layers[2:]:
            for last in (layer.attention.out, layer.feed_forward.down):
                last.weight.mul_(0.02)
    state = model.state_dict()
    draft.load_state_dict({name: state[name] for name in draft.state_dict()})
    model.pack(), draft.pack()
    prompt = torch.randint(3, 50_000, (1, PROMPT), generator=torch.Generator().manual_seed(0)).tolist()
    config = replace(settings(1), strategy="assisted", num_assistant_tokens=6)
    plain, mine = generate_ids(model, prompt, settings(1)), generate_ids(model, prompt, config, assistant=draft)
    assert plain[0][0].ids == mine[0][0].ids
    rates = best_rates(
        NEW,
        lambda: generate_ids(model, prompt, config, assistant=draft),
        lambda: generate_ids(model, prompt, settings(1)),
    )
    drafted = mine[0][0].drafted
    note = f"{sum(drafted) / len(drafted):.0%} of the tokens are the assistant's"
    return [Row("assisted, a favourable pair", "tokens/s", *rates, "plain greedy", note=note)]


def prompts() -> list[Row]:
    """Reading a prompt of 1,024 tokens; the floor is this machine's matrix rate."""
    model = gpt2_124m()
    peer = in_transformers(model)
    model.pack()
    ids = torch.randint(3, 50_000, (1, 1_024))
    last = torch.tensor([1_023])
    config = model.config
    matrices = config.n_layers * (4 * config.d_model**2 + 2 * config.d_model * config.d_ff)
    attention = config.n_layers * config.d_model * 1_024  # per token: half of the keys, for scores and for values
    operations = 2 * 1_024 * (matrices + attention) + 2 * config.vocab_size * config.d_model

    @torch.inference_mode()
    def mine() -> None:
        model(ids, cache=model.new_cache(1, 1_024), logit_positions=last)

    @torch.inference_mode()
    def theirs() -> None:
        peer(ids, use_cache=True, logits_to_keep=1)

    ours, other = best_rates(operations / 1e9, mine, theirs)
    note = f"{ours * 1e9 / matrix_rate():.0%} of the matrix rate"
    return [Row("read a prompt of 1,024", "GFLOP/s", ours, other, "transformers", matrix_rate() / 1e9, note)]


def int8_quality() -> list[Row]:
    """What 8 bits cost: the loss of the bundled Llama on the part of the language reference that it has not seen."""
    from core.evaluate import evaluate
    from core.run import load

    exact = evaluate(load("pydocs-llama"))["loss_per_token"]
    rounded = evaluate(load("pydocs-llama").use(precision="int8"))["loss_per_token"]
    note = f"perplexity {math.exp(rounded):.3f} for {math.exp(exact):.3f}"
    return [Row("loss of pydocs-llama in int8", "nats/token", rounded, exact, "float32", note=note)]

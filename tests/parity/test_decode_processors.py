"""Every processor against transformers' of the same name, on random logits with ties and infinities."""

import math

import pytest
import torch
from transformers import GenerationConfig as HFConfig
from transformers.generation import logits_process as hf
from transformers.generation.utils import GenerationMixin

from core.decode import processors as ours
from core.decode.config import GenerationConfig

V, EOS = 23, 2


def random_logits(seed: int) -> torch.Tensor:
    """Four rows: plain, with ties, with removed tokens (some seeds have a single possible token), with a token or two
    of plus infinity among ties and removed ones."""
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(4, V, generator=generator) * (1 + seed % 5)
    logits[1] = logits[1].round()
    removed = torch.rand(V, generator=generator) < (seed % 4) / 4
    removed[seed % V] = False
    logits[2] = logits[2].masked_fill(removed, -math.inf)
    if seed % 10 == 9:
        logits[2] = torch.full((V,), -math.inf).index_fill(0, torch.tensor([seed % V]), 1.5)
    logits[3] = logits[3].round().masked_fill(removed, -math.inf)
    logits[3, [seed % V, seed * 7 % V][: 1 + seed % 2]] = math.inf
    return logits


def random_prefixes(seed: int) -> torch.Tensor:
    """Few different tokens, so that n-grams repeat."""
    generator = torch.Generator().manual_seed(seed + 1000)
    return torch.randint(0, 5, (4, 1 + seed % 12), generator=generator)


def _only(config: GenerationConfig):
    (processor,) = ours.build_processors(config, V, [EOS])
    return processor.apply


def _no_nan(logits: torch.Tensor) -> torch.Tensor:
    return logits.nan_to_num(nan=-math.inf, posinf=math.inf, neginf=-math.inf)


PAIRS = {
    "repetition": (
        lambda x, p: ours.repetition_penalty(x, p, 1.3),
        lambda x, p: hf.RepetitionPenaltyLogitsProcessor(1.3)(p, x),
    ),
    "repetition, rewarded": (
        lambda x, p: ours.repetition_penalty(x, p, 0.7),
        lambda x, p: hf.RepetitionPenaltyLogitsProcessor(0.7)(p, x),
    ),
    **{
        f"no_repeat_ngram {n}": (
            lambda x, p, n=n: ours.no_repeat_ngram(x, p, n),
            lambda x, p, n=n: hf.NoRepeatNGramLogitsProcessor(n)(p, x),
        )
        for n in (1, 2, 3)
    },
    "bad words": (
        lambda x, p: ours.ban_words(x, p, [[4], [1, 3], [0, 1, 2, 3]]),
        # Theirs adds minus infinity: a banned token of plus infinity becomes NaN, with ours it is removed.
        lambda x, p: _no_nan(hf.NoBadWordsLogitsProcessor([[4], [1, 3], [0, 1, 2, 3]], EOS)(p, x)),
    ),
    "logit bias": (
        lambda x, p: _only(GenerationConfig(logit_bias={0: 2.5, 5: -1.0, 22: 1e4}))(x, p, 1),
        lambda x, p: hf.SequenceBiasLogitsProcessor({(0,): 2.5, (5,): -1.0, (22,): 1e4})(p, x),
    ),
    **{
        f"minimum length {n}": (
            lambda x, p, n=n: _only(GenerationConfig(min_new_tokens=n))(x, p, p.shape[1] - 1),
            lambda x, p, n=n: hf.MinNewTokensLengthLogitsProcessor(1, n, EOS, device="cpu")(p, x),
        )
        for n in (1, 5)
    },
    **{
        f"top_k {k}": (lambda x, p, k=k: ours.top_k(x, k), lambda x, p, k=k: hf.TopKLogitsWarper(k)(p, x))
        for k in (1, 5, 99)
    },
    **{
        f"top_p {t}": (lambda x, p, t=t: ours.top_p(x, t), lambda x, p, t=t: hf.TopPLogitsWarper(t)(p, x))
        for t in (1e-9, 0.5, 0.9, 0.999)
    },
    **{
        f"min_p {t}": (lambda x, p, t=t: ours.min_p(x, t), lambda x, p, t=t: hf.MinPLogitsWarper(t)(p, x))
        for t in (0.05, 0.5, 1.0)
    },
    **{
        f"typical_p {t}": (lambda x, p, t=t: ours.typical_p(x, t), lambda x, p, t=t: hf.TypicalLogitsWarper(t)(p, x))
        for t in (0.2, 0.9)
    },
    **{
        f"epsilon {t}": (lambda x, p, t=t: ours.epsilon_cutoff(x, t), lambda x, p, t=t: hf.EpsilonLogitsWarper(t)(p, x))
        for t in (3e-4, 0.1, 0.9)
    },
    **{
        f"eta {t}": (lambda x, p, t=t: ours.eta_cutoff(x, t), lambda x, p, t=t: hf.EtaLogitsWarper(t)(p, x))
        for t in (3e-4, 0.1, 0.9)
    },
    "force": (lambda x, p: ours.force(x, 7), lambda x, p: hf.ForcedBOSTokenLogitsProcessor(7)(p[:, :1], x)),
}


@pytest.mark.parametrize("name", PAIRS)
def test_equals_transformers(name: str) -> None:
    mine, theirs = PAIRS[name]
    for seed in range(1_000):
        rows = 3 if name.startswith("eta") else 4  # theirs refuses plus infinity
        logits, prefixes = random_logits(seed)[:rows], random_prefixes(seed)[:rows]
        before = logits.clone()
        result = mine(logits, prefixes)
        torch.testing.assert_close(result, theirs(logits.clone(), prefixes), rtol=0, atol=1e-6, equal_nan=True)
        assert torch.equal(logits, before), "the input was changed"


SETTINGS = [
    dict(repetition_penalty=1.4, temperature=0.7, top_k=9, top_p=0.8),
    dict(temperature=1.7, min_p=0.1, typical_p=0.7, epsilon_cutoff=0.02, eta_cutoff=0.05),
    dict(no_repeat_ngram_size=2, min_new_tokens=3, top_p=0.6, temperature=0.5),
    dict(bad_words_ids=((EOS,), (4,), (1, 3)), repetition_penalty=0.8, top_k=4, typical_p=0.5),
    dict(logit_bias={0: 2.5, 5: -1.0}, repetition_penalty=1.2, top_p=0.9, min_p=0.02),
]


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
def test_order_equals_transformers(settings: dict) -> None:
    """The whole chain, as generate builds it."""
    generated = 2
    chain = ours.build_processors(GenerationConfig(strategy="sample", **settings), V, [EOS])
    theirs = dict(settings)
    if "logit_bias" in theirs:
        theirs["sequence_bias"] = {(token,): bias for token, bias in theirs.pop("logit_bias").items()}
    if "bad_words_ids" in theirs:
        theirs["bad_words_ids"] = [list(word) for word in theirs["bad_words_ids"]]
    config = HFConfig(do_sample=True, eos_token_id=EOS, **{"top_k": 0, **theirs})
    config._eos_token_tensor = torch.tensor([EOS])
    mixin = GenerationMixin()
    mixin.config = type("Config", (), {"is_encoder_decoder": False, "get_text_config": lambda self: None})()
    for seed in range(3, 12_000, 12):  # prefixes of 4 tokens and more
        logits, prefixes = random_logits(seed)[:3], random_prefixes(seed)[:3]
        result = logits
        for processor in chain:
            result = processor.apply(result, prefixes, generated)
        peer = mixin._get_logits_processor(config, input_ids_seq_length=prefixes.shape[1] - generated)
        torch.testing.assert_close(result, peer(prefixes, logits.clone()), rtol=0, atol=1e-6)


def test_filling_on_the_left_changes_nothing() -> None:
    """Rows of different lengths together: each as alone."""
    config = GenerationConfig(
        repetition_penalty=1.5, no_repeat_ngram_size=2, bad_words_ids=((1, 3), (2, 2, 2, 2)), frequency_penalty=0.5
    )
    chain = ours.build_processors(config, V, [EOS])
    for seed in range(100):
        generator = torch.Generator().manual_seed(seed)
        rows = [torch.randint(0, 4, (n,), generator=generator) for n in (1, 2, 9)]
        padded = torch.full((3, 9), ours.NO_TOKEN)
        for i, row in enumerate(rows):
            padded[i, 9 - len(row) :] = row
        logits = random_logits(seed)[:3]
        together, alone = logits, [logits[i : i + 1] for i in range(3)]
        for processor in chain:
            together = processor.apply(together, padded, 1)
            alone = [processor.apply(x, row[None], 1) for x, row in zip(alone, rows, strict=True)]
        assert torch.equal(together, torch.cat(alone))


def test_presence_and_frequency_penalties() -> None:
    """OpenAI's formula (transformers has none), over generated tokens: logit - presence * [count > 0] - frequency *
    count."""
    logits, generated = torch.zeros(1, 5), torch.tensor([[3, 1, 3, 3]])
    expected = torch.tensor([[0.0, -0.7, 0.0, -0.4 - 3 * 0.3, 0.0]])
    torch.testing.assert_close(ours.count_penalties(logits, generated, 0.4, 0.3), expected)
    chain = ours.build_processors(GenerationConfig(presence_penalty=0.4, frequency_penalty=0.3), 5, [EOS])
    prompt_and_generated = torch.tensor([[0, 4, 4, 3, 1, 3, 3]])
    torch.testing.assert_close(chain[0].apply(logits, prompt_and_generated, 4), expected)
    for seed in range(1_000):  # token by token
        logits, generated = random_logits(seed), random_prefixes(seed)
        result = ours.count_penalties(logits, generated, 0.4, 0.3).tolist()
        for row, ids in enumerate(generated.tolist()):
            for token, logit in enumerate(logits[row].tolist()):
                expected = logit - 0.4 * (token in ids) - 0.3 * ids.count(token)
                assert result[row][token] == pytest.approx(expected, rel=1e-6, abs=1e-6)

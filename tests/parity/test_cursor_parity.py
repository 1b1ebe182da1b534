"""What a cursor says of the next token, against transformers' own chain of processors on random settings.

Half of the settings are drawn at random, so that any order and any combination comes up; the logits are those of random
models at random places, scaled to be flat or peaked, and rounded in some cases, so that there are ties.
"""

import math
import random
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from transformers import GenerationConfig as HFConfig
from transformers.generation.utils import GenerationMixin

from core.decode import GenerationConfig
from core.decode.cursor import Cursor
from core.decode.session import Prompt

V, EOS = 211, 2
DRAWN_ONLY = ("temperature", "top_k", "top_p", "min_p", "typical_p", "epsilon_cutoff", "eta_cutoff")


class Told:
    """In the place of a model's reader: logits from outside."""

    def __init__(self, logits: torch.Tensor, start: list[int]) -> None:
        model = SimpleNamespace(eos_id=EOS, device=torch.device("cpu"), max_seq_len=100)
        tokenizer = SimpleNamespace(has_id=lambda token: False)
        self.run = SimpleNamespace(model=model, tokenizer=tokenizer)
        self.prompt, self.room, self.answer = Prompt(start, start, 50, False), 50, logits
        self.names = lambda token: f"#{token}"

    def logits(self, written: tuple[int, ...]) -> torch.Tensor:
        return self.answer


def drawn_settings(rng: random.Random) -> dict:
    """Of the settings that transformers has too."""
    all_of_them = dict(
        repetition_penalty=rng.choice([0.8, 1.2, 2.0]), no_repeat_ngram_size=rng.choice([1, 2, 3]),
        bad_words_ids=((4,), (1, 3), (EOS,), (rng.randrange(V), 5)), min_new_tokens=rng.choice([2, 9]),
        logit_bias={0: 2.5, EOS: -1.0, rng.randrange(3, V): rng.uniform(-5, 5)}, temperature=rng.uniform(0.1, 2.0),
        top_k=rng.choice([1, 5, 50, V + 100]), top_p=rng.uniform(0.01, 1.0), min_p=rng.uniform(0.001, 0.5),
        typical_p=rng.uniform(0.1, 0.99), epsilon_cutoff=rng.uniform(0.0001, 0.05),
        eta_cutoff=rng.uniform(0.0001, 0.05), renormalize_logits=True,
    )  # fmt: skip
    return {name: value for name, value in all_of_them.items() if rng.random() < 0.5}


def peer_chain(settings: dict, generated: int, length: int, drawn: bool):
    theirs = dict(settings)
    if "logit_bias" in theirs:
        theirs["sequence_bias"] = {(token,): bias for token, bias in theirs.pop("logit_bias").items()}
    if "bad_words_ids" in theirs:
        theirs["bad_words_ids"] = [list(word) for word in theirs["bad_words_ids"]]
    config = HFConfig(do_sample=drawn, eos_token_id=EOS, **{"top_k": 0, **theirs})
    config._eos_token_tensor = torch.tensor([EOS])
    mixin = GenerationMixin()
    mixin.config = type("Config", (), {"is_encoder_decoder": False, "get_text_config": lambda self: None})()
    return mixin._get_logits_processor(config, input_ids_seq_length=length - generated)


def random_case(rng: random.Random):
    generator = torch.Generator().manual_seed(rng.randrange(2**31))
    logits = torch.randn(V, generator=generator) * rng.choice([0.1, 1.0, 3.0, 8.0])
    if rng.random() < 0.3:
        logits = logits.round()
    ids = [rng.randrange(12) for _ in range(rng.randint(2, 20))]
    generated = rng.randrange(len(ids))
    return (
        logits,
        ids[: len(ids) - generated],
        tuple(token if token != EOS else 3 for token in ids[len(ids) - generated :]),
    )


@pytest.mark.parametrize("seed", range(5))
def test_probabilities_equal_transformers(seed):
    rng = random.Random(seed)
    for _ in range(120):
        settings = drawn_settings(rng)
        logits, start, written = random_case(rng)
        config = GenerationConfig(strategy="sample", max_new_tokens=50, **settings)
        after = Cursor("", written, (), Told(logits, start)).stages(config)
        prefix = torch.tensor([[*start, *written]])
        peer = peer_chain(settings, len(written), prefix.shape[1], True)(prefix, logits[None].clone())[0]
        expected = peer.softmax(-1).numpy()
        if np.isnan(expected).any():  # nothing is left
            assert after.kept == 0 and not after.final.any()
            continue
        np.testing.assert_allclose(after.final, expected, atol=1e-6, rtol=0, err_msg=str(settings))
        np.testing.assert_allclose(after.probabilities, logits.softmax(-1).numpy(), atol=1e-6, rtol=0)
        removed = peer.numpy() == -math.inf
        assert ((after.removed_by >= 0) == removed).all(), settings
        assert after.kept == (~removed).sum()
        assert after.mass == pytest.approx(float(logits.softmax(-1)[torch.from_numpy(~removed)].sum()), abs=1e-5)


@pytest.mark.parametrize("strategy", ["greedy", "beam"])
def test_without_draws_only_penalties_and_bans_act(strategy):
    rng = random.Random(99)
    for _ in range(120):
        settings = drawn_settings(rng)
        logits, start, written = random_case(rng)
        config = GenerationConfig(strategy=strategy, max_new_tokens=50, **settings)
        after = Cursor("", written, (), Told(logits, start)).stages(config)
        prefix = torch.tensor([[*start, *written]])
        given = logits[None].log_softmax(-1) if strategy == "beam" else logits[None].clone()
        quiet = {
            k: v for k, v in settings.items() if not k.startswith(("top_", "min_p", "typical", "eps", "eta", "temp"))
        }
        peer = peer_chain(quiet, len(written), prefix.shape[1], False)(prefix, given)[0].numpy()
        if strategy == "beam":
            shown = after.after[-1] if after.after else after.start
            np.testing.assert_allclose(shown, peer, atol=1e-6, rtol=0, err_msg=str(settings))
        elif np.isfinite(peer).any():
            assert after.kept == 1 and after.final[peer.argmax()] == 1.0


def test_each_stage_equals_the_processors_up_to_it():
    """After every single processor, not at the end only."""
    rng = random.Random(7)
    names = dict(
        logit_bias="logit_bias", repetition_penalty="repetition_penalty", no_repeat_ngram_size="no_repeat_ngram",
        bad_words_ids="bad_words", min_new_tokens="min_new_tokens", temperature="temperature", top_k="top_k",
        top_p="top_p", min_p="min_p", typical_p="typical_p", epsilon_cutoff="epsilon_cutoff", eta_cutoff="eta_cutoff",
        renormalize_logits="renormalize",
    )  # fmt: skip
    for _ in range(60):
        settings = drawn_settings(rng)
        logits, start, written = random_case(rng)
        after = Cursor("", written, (), Told(logits, start)).stages(
            GenerationConfig(strategy="sample", max_new_tokens=50, **settings)
        )
        assert list(after.processors) == [mine for name, mine in names.items() if name in settings]
        prefix = torch.tensor([[*start, *written]])
        for number, name in enumerate(after.processors):
            so_far = {key: value for key, value in settings.items() if names[key] in after.processors[: number + 1]}
            peer = peer_chain(so_far, len(written), prefix.shape[1], True)(prefix, logits[None].clone())[0].numpy()
            np.testing.assert_allclose(after.after[number], peer, atol=1e-5, rtol=1e-6, err_msg=name)

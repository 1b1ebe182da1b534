"""The tree of a beam search: every path in it adds up, and the winner's is the result's."""

import pytest
from decode_helpers import byte_run

from core.decode import GenerationConfig, generate
from core.decode.scoring import score_ids
from core.decode.tree import ROOT, beam_tree, grow
from core.errors import ConfigError

SEARCHES = [
    dict(strategy="beam", num_beams=3),
    dict(strategy="beam", num_beams=4, num_return_sequences=4, length_penalty=0.0),
    dict(strategy="beam", num_beams=4, length_penalty=-1.5, early_stopping=True),
    dict(strategy="beam", num_beams=2, length_penalty=2.0, length_penalty_formula="gnmt", early_stopping="never"),
    dict(strategy="diverse_beam", num_beams=6, num_beam_groups=3, num_return_sequences=6, diversity_penalty=1.0),
    dict(strategy="beam", num_beams=3, repetition_penalty=1.5, no_repeat_ngram_size=2),
]


def divided(total: float, length: int, config: GenerationConfig) -> float:
    """The score by its textbook formula."""
    base = (5 + length) / 6 if config.length_penalty_formula == "gnmt" else length
    return total / base**config.length_penalty


@pytest.mark.parametrize("settings", SEARCHES, ids=str)
@pytest.mark.parametrize("family", ["gpt", "transformer"])
def test_every_path_adds_up(family, settings):
    run = byte_run(family, eos_bias=3.0)
    config = GenerationConfig(max_new_tokens=10, **settings)
    for text in ("abc", "q", "the cat"):
        generation = generate(run, [text], config, trace=True)[0]
        tree = beam_tree(generation, config)
        nodes = tree.nodes
        plain = config.repetition_penalty == 1 and config.strategy == "beam"
        for place, node in enumerate(nodes):
            path = tree.path(place)
            assert [nodes[each].step for each in path] == list(range(node.step + 1))
            assert all(nodes[each].state == "kept" for each in path[:-1])
            assert (node.beam is not None) == (node.state == "kept")
            assert node.score == pytest.approx(divided(node.cumulative, len(path), config))
            if plain:
                assert node.cumulative == pytest.approx(sum(nodes[each].logprob for each in path), abs=1e-5)
        assert [nodes[place].id for place in tree.winner] == generation.ids
        assert nodes[tree.winner[-1]].score == generation.score
        assert nodes[tree.winner[-1]].reason == generation.best.finish_reason
        finished = [node for node in nodes if node.state == "finished"]
        assert nodes[tree.winner[-1]].score == max(node.score for node in finished)
        for place in (tree.winner[-1], *tree.runner_up[-1:]):
            ids = [nodes[each].id for each in tree.path(place)]
            logprobs = [nodes[each].logprob for each in tree.path(place)]
            assert score_ids(run, generation.prompt_ids, ids) == pytest.approx(logprobs, abs=1e-6)
        kept = [(node.step, node.beam) for node in nodes if node.state == "kept"]
        assert len(kept) == len(set(kept))
        assert sum(bool(node.reason) for node in nodes) <= len(generation.hypotheses)


def test_pruned_are_worse_than_kept():
    config = GenerationConfig(strategy="beam", num_beams=3, max_new_tokens=8)
    tree = beam_tree(generate(byte_run("gpt"), ["abc"], config, trace=True)[0], config)
    for step in range(8):
        nodes = [node for node in tree.nodes if node.step == step]
        assert [node.cumulative for node in nodes] == sorted((node.cumulative for node in nodes), reverse=True)
        kept = [node.cumulative for node in nodes if node.state == "kept"]
        pruned = [node.cumulative for node in nodes if node.state == "pruned"]
        assert not kept or not pruned or min(kept) >= max(pruned)


def test_why_says_the_numbers():
    run = byte_run("transformer", eos_bias=4.0)
    found = set()
    for penalty in (0.0, 0.3, 1.0, 2.5):
        for text in ("abc", "q", "the cat", "hello", "x y z"):
            config = GenerationConfig(strategy="beam", num_beams=4, max_new_tokens=9, length_penalty=penalty)
            generation = generate(run, [text], config, trace=True)[0]
            tree = beam_tree(generation, config)
            best, second = tree.nodes[tree.winner[-1]], tree.nodes[tree.runner_up[-1]]
            for node in (best, second):
                assert f"{node.score:.4f}".replace("-", "−") in tree.why
                assert f"{node.cumulative:.4f}".replace("-", "−") in tree.why
            decided = second.cumulative > best.cumulative
            assert ("the length penalty decided" in tree.why) == decided
            found.add(decided)
    assert found == {True, False}


def test_while_it_grows():
    """A part of the trace is a part of the tree."""
    config = GenerationConfig(strategy="diverse_beam", num_beams=4, max_new_tokens=6)
    generation = generate(byte_run("gpt", eos_bias=2.0), ["abc"], config, trace=True)[0]
    whole = grow(generation.trace)
    part = [step for step in generation.trace if step.step < 3]
    assert grow(part) == whole[: len(part)]
    assert all(node.parent == ROOT for node in whole if node.step == 0)
    assert grow([]) == []


def test_nothing_is_left():
    run = byte_run("gpt")
    everything = tuple((token,) for token in range(259) if token != 2)
    config = GenerationConfig(
        strategy="beam", num_beams=2, bad_words_ids=everything, min_new_tokens=5, max_new_tokens=5
    )
    tree = beam_tree(generate(run, ["abc"], config, trace=True)[0], config)
    assert tree.nodes == [] and tree.winner == [] and "removed every continuation" in tree.why
    stuck = GenerationConfig(
        strategy="beam", num_beams=2, bad_words_ids=everything, forced_prefix_ids=(70, 71), min_new_tokens=5,
        max_new_tokens=5,
    )  # fmt: skip
    generation = generate(run, ["abc"], stuck, trace=True)[0]
    tree = beam_tree(generation, stuck)
    assert [tree.nodes[place].id for place in tree.winner] == generation.ids == [70, 71]
    assert tree.nodes[tree.winner[-1]].reason == "dead_end" and "before a hypothesis was finished" in tree.why


def test_refusals():
    run = byte_run("gpt")
    config = GenerationConfig(strategy="beam", num_beams=2, max_new_tokens=4)
    with pytest.raises(ConfigError, match="trace"):
        beam_tree(generate(run, ["abc"], config)[0], config)
    greedy = GenerationConfig(max_new_tokens=4)
    with pytest.raises(ConfigError, match="beam"):
        beam_tree(generate(run, ["abc"], greedy, trace=True)[0], greedy)
    empty = generate(byte_run("transformer"), [" "], config, trace=True)[0]
    tree = beam_tree(empty, config)
    assert tree.nodes == [] and tree.winner == []

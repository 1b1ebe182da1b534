"""Paired tests give sacreBLEU's own numbers (`--paired-bs`, `--paired-ar`), and what the theory of them promises."""

import json
import random

import numpy as np
import pytest

from core.errors import DataError
from core.evaluate.scores import command_options, corpus_scores, signature
from core.evaluate.significance import MOST_SAMPLES, Result, _coins, is_significant, paired
from tests.core.evaluate.sacrebleu_command import sacrebleu, write_files

METHODS = {"bootstrap": ("--paired-bs", "--paired-bs-n"), "randomisation": ("--paired-ar", "--paired-ar-n")}
SAMPLES = 101
METRICS = [("bleu", "en"), ("chrf", "en"), ("chrf++", "en"), ("ter", "en"), ("bleu", "ja"), ("chrf", "ja")]
ODD = ["", "   ", "same", "tab\there", "return\rhere", "line\u2028here", "a b c d e f " * 8]


def systems(language, count=40):
    """References, and three systems: the second is a little worse than the first, the third far worse."""
    chance = random.Random(language)
    words = (
        "猫 は 犬 が 好き です 。 彼女".split() if language == "ja" else "the a cat dog sat on mat . it's yes".split()
    )
    joint = "" if language == "ja" else " "

    def noisy(line, share):
        return joint.join(chance.choice(words) if chance.random() < share else word for word in line)

    lines = [[chance.choice(words) for _ in range(chance.randrange(1, 14))] for _ in range(count)]
    outputs = {
        f"system {share}": [*(noisy(line, share) for line in lines), *reversed(ODD)] for share in (0.2, 0.25, 0.8)
    }
    return outputs, [*(joint.join(line) for line in lines), *ODD]


@pytest.fixture(scope="module")
def printed(tmp_path_factory):
    """sacreBLEU's results of the three systems, by (metric, language, method)."""
    directory, commands = tmp_path_factory.mktemp("paired"), {}
    for language in ("en", "ja"):
        outputs, references = systems(language)
        files = {f"{language}{number}": lines for number, lines in enumerate(outputs.values())}
        write_files(directory, files | {f"{language}-ref": references})
        for metric, of in METRICS:
            for method, (test, number) in METHODS.items():
                if of == language:
                    options = [*command_options(metric, language), test, number, str(SAMPLES), "-f", "json"]
                    commands[metric, language, method] = [f"{language}-ref", "-i", *files, *options]
    found = {}
    for command, text in zip(commands, sacrebleu(directory, list(commands.values()))):
        found[command] = [next(value for key, value in one.items() if key != "system") for one in json.loads(text)]
    return found


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(("metric", "language"), METRICS)
def test_results_are_sacrebleus_to_the_last_digit(printed, metric, language, method):
    outputs, references = systems(language)
    ours = paired(outputs, references, language, [metric], method, SAMPLES)
    for system, peer in zip(ours.systems, printed[metric, language, method], strict=True):
        assert system.scores[metric] == Result(peer["score"], peer["mean"], peer["ci"], peer["p_value"])
    kind = "bs" if method == "bootstrap" else "ar"
    assert ours.metrics[metric] == signature(metric, language, seed=12345, **{kind: SAMPLES})
    assert f"|{kind}:{SAMPLES}|" in ours.metrics[metric] and "|seed:12345|" in ours.metrics[metric]


@pytest.mark.parametrize("method", METHODS)
def test_several_metrics_and_systems_at_once_are_each_alone(method):
    outputs, references = systems("en")
    together = paired(outputs, references, "en", None, method, 50)
    first, second, third = outputs
    assert [system.name for system in together.systems] == [first, second, third]
    assert list(together.metrics) == ["bleu", "chrf", "chrf++", "ter", "exact"]
    for metric in together.metrics:
        alone = paired({first: outputs[first], third: outputs[third]}, references, "en", [metric], method, 50)
        assert alone.systems[1].scores[metric] == together.systems[2].scores[metric]
    scores = {name: score.score for name, score in corpus_scores(outputs[third], references, "en").items()}
    assert {name: result.score for name, result in together.systems[2].scores.items()} == pytest.approx(scores)


@pytest.mark.parametrize("method", METHODS)
def test_the_same_outputs_do_not_differ_and_much_worse_ones_do(method):
    outputs, references = systems("en", 80)
    good, _, bad = outputs.values()
    found = paired({"good": good, "again": list(good), "bad": bad}, references, "en", ["bleu", "exact"], method, 200)
    for metric in ("bleu", "exact"):
        baseline, again, worse = (system.scores[metric] for system in found.systems)
        assert baseline.p_value is None and again.score == baseline.score and worse.score < baseline.score
        # No draw differs more than not at all: only the real one counts. sacreBLEU's tests say the same of a system
        # beside itself.
        assert not is_significant(again, baseline) and is_significant(worse, baseline)
        assert not is_significant(worse, baseline, 0.001) and not is_significant(baseline, baseline)
        assert again.p_value == pytest.approx(1 / 201) and worse.p_value == pytest.approx(1 / 201)


def test_exact_match_is_tested_like_a_plain_loop():
    chance = np.random.default_rng(5)
    right = (chance.random((2, 60)) < [[0.6], [0.4]]).astype(int)
    outputs = {name: ["yes" if hit else "no" for hit in hits] for name, hits in zip("ab", right)}
    found = paired(outputs, ["yes"] * 60, "en", ["exact"], "randomisation", 300).systems[1].scores["exact"]
    real, chance = abs(right[0].sum() - right[1].sum()), np.random.default_rng(12345)
    greater = 0
    for coins in chance.integers(2, size=(300, 60), dtype=bool):
        first = np.where(coins, right[0], right[1]).sum()
        greater += abs(first - (right.sum() - first)) > real
    assert found.p_value == pytest.approx((greater + 1) / 301)


def test_parts_draw_what_one_draw_would():
    whole = np.random.default_rng(7).integers(2, size=(75, 33), dtype=bool)
    assert (np.concatenate([coins for _, coins in _coins(75, 33, 7)]) == whole).all()


def test_the_seed_decides_and_the_environment_does_not(monkeypatch):
    outputs, references = systems("en")
    before = paired(outputs, references, "en", ["bleu"], samples=50)
    monkeypatch.setenv("SACREBLEU_SEED", "7")
    assert paired(outputs, references, "en", ["bleu"], samples=50) == before
    assert paired(outputs, references, "en", ["bleu"], samples=50, seed=7).systems != before.systems


def test_progress_grows_to_the_end_and_can_stop_the_work():
    outputs, references = systems("en")
    told = []
    paired(outputs, references, "en", ["bleu", "chrf"], samples=80, progress=lambda *said: told.append(said))
    shares = [share for share, _ in told]
    assert shares == sorted(shares) and 0 <= shares[0] and 0.9 < shares[-1] < 1
    assert told[0][1] == "comparing by BLEU" and told[-1][1] == "comparing by chrF2"

    def stop(share, what):
        raise InterruptedError

    with pytest.raises(InterruptedError):
        paired(outputs, references, "en", progress=stop)


def test_what_cannot_be_compared_is_said():
    good = {"a": ["x"], "b": ["y"]}
    for arguments, options, sentence in (
        (({"a": ["x"]}, ["x"]), {}, "two systems or more"),
        ((good, ["x", "y"]), {}, "1 outputs but 2 references"),
        (({"a": ["x"], "b": []}, ["x"]), {}, "no outputs"),
        ((good, ["x"]), {"method": "t-test"}, "no test 't-test'"),
        ((good, ["x"]), {"metrics": ["wer"]}, "no metric 'wer'"),
        ((good, ["x"]), {"samples": 0}, "1 to 100,000 samples"),
        ((good, ["x"]), {"samples": MOST_SAMPLES + 1}, "1 to 100,000 samples"),
        ((good, ["x"]), {"seed": 0}, "a seed above 0"),
    ):
        with pytest.raises(DataError, match=sentence):
            paired(*arguments, **options)
    one = paired(good, ["x"], "en", samples=3)
    assert one.systems[0].scores["exact"].score == 100 and one.systems[1].scores["exact"].p_value == 0.25

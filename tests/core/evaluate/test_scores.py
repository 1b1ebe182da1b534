"""Every score equals sacreBLEU's own command line, in Japanese, German and English, on plain and on nasty outputs."""

import json
import random
import subprocess
import sys
import types
from collections import Counter

import numpy as np
import pytest

from core.errors import DataError
from core.evaluate import comet, languages, scores
from core.evaluate.scores import (
    as_line,
    bleu_score,
    bleu_tokenizer,
    chrf_score,
    command_options,
    corpus_scores,
    default_metrics,
    guess_language,
    length_classes,
    length_of,
    sentence_scores,
    signature,
)
from tests.core.evaluate.sacrebleu_command import sacrebleu, write_files

WORDS = {
    "en": "the a cat dog sat on mat , . don't it's 3.5 1,000 (yes) \"no\" - U.S. &amp; well-known café".split(),
    "de": "der die das Katze saß auf Straße , . »ja« 3,5 1.000 Über-Ich & größer … z.B. Äpfel".split(),
    "ja": "猫 は 犬 が 好き です 。 、 「 彼女 」 コーヒー を 一杯 飲む 3時 ABC 食べ ました ！ ー".split(),
}
NASTY = [
    ("", "something"),
    ("something", ""),
    ("", ""),
    ("   ", "x"),
    ("same", "same"),
    ("same", "same"),
    ("a\tb\tc", "a b c"),
    ("carriage\rreturn", "carriage return"),
    ("ends in one\r", "ends in one"),
    ("line\u2028separator\u2029here\x0band\x85there", "line separator here and there"),
    ("zero\u200bwidth \u00a0nbsp\u3000wide", "zero width nbsp wide"),
    ("👨‍👩‍👧 é é", "👨‍👩‍👧 é é"),
    ("the cat sat on it . " * 6, "a cat sat on the mat . " * 5),
    ("&quot;x&quot; &lt;b&gt; <skipped>", '"x" <b>'),
    ("- - - -", "-"),
]


def texts(language, count, seed=0):
    """Random references, and outputs that are like them: words exchanged, lost, moved; some exactly the same."""
    chance, joint = random.Random(f"{language}-{seed}"), "" if language == "ja" else " "
    outputs, references = [], []
    for _ in range(count):
        words = [chance.choice(WORDS[language]) for _ in range(chance.randrange(1, 16))]
        changed = [chance.choice(WORDS[language]) if chance.random() < 0.2 else word for word in words]
        if chance.random() < 0.3:
            at = chance.randrange(len(changed))
            changed = changed[at:] + changed[:at]
        references.append(joint.join(words))
        outputs.append(joint.join(changed if chance.random() < 0.8 else words))
    return outputs, references


LANGUAGES = ("en", "de", "ja")
SACREBLEU = ("bleu", "chrf", "chrf++", "ter")
SETS = ("plain", "nasty", "one", "nothing")


def outputs_and_references(language, which):
    plain = texts(language, 60)
    if which == "nasty":
        return [a for a, _ in NASTY] + plain[0][:8], [b for _, b in NASTY] + plain[1][:8]
    return {"plain": plain, "one": (plain[0][:1], plain[1][:1]), "nothing": ([""], plain[1][:1])}[which]


@pytest.fixture(scope="module")
def printed(tmp_path_factory):
    """What sacreBLEU prints, by (language, set, metric, whether for each sentence)."""
    directory, commands = tmp_path_factory.mktemp("sacrebleu"), {}
    for language in LANGUAGES:
        for which in SETS:
            outputs, references = outputs_and_references(language, which)
            out, ref = f"{language}-{which}.out", f"{language}-{which}.ref"
            write_files(directory, {out: outputs, ref: references})
            for metric in SACREBLEU:
                command = [ref, "-i", out, *command_options(metric, language), "-w", "10"]
                commands[language, which, metric, False] = command
                if which == "nasty":
                    commands[language, which, metric, True] = [*command, "-sl", "-b"]
    return dict(zip(commands, sacrebleu(directory, list(commands.values()))))


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("metric", SACREBLEU)
def test_corpus_scores_equal_the_command_line(printed, language, metric):
    for which in SETS:
        outputs, references = outputs_and_references(language, which)
        ours = corpus_scores(outputs, references, language, [metric])[metric]
        peer = json.loads(printed[language, which, metric, False])
        assert f"{ours.score:.10f}" == f"{peer['score']:.10f}" and ours.signature == peer["signature"]


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("metric", SACREBLEU)
def test_sentence_scores_equal_the_command_line(printed, language, metric):
    ours = sentence_scores(*outputs_and_references(language, "nasty"), language, [metric])[metric]
    assert [f"{score:.10f}" for score in ours] == printed[language, "nasty", metric, True].splitlines()


def test_the_command_line_as_anybody_runs_it(tmp_path):
    outputs, references = texts("de", 30, 2)
    write_files(tmp_path, {"out": outputs, "ref": references})
    command = [sys.executable, "-m", "sacrebleu", "ref", "-i", "out", "-m", "bleu", "chrf", "ter", "-w", "4"]
    told = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True).stdout
    ours = corpus_scores(outputs, references, "de")
    peer = {one["name"]: one for one in json.loads(told)}
    for metric, name in (("bleu", "BLEU"), ("chrf", "chrF2"), ("ter", "TER")):
        assert f"{ours[metric].score:.4f}" == f"{peer[name]['score']:.4f}"
        assert ours[metric].signature == peer[name]["signature"]


@pytest.mark.parametrize("language", LANGUAGES)
def test_bleu_of_its_own_function_is_the_same(language):
    outputs, references = outputs_and_references(language, "nasty")
    assert (
        bleu_score(outputs, references, bleu_tokenizer(language))
        == corpus_scores(outputs, references, language, ["bleu"])["bleu"]
    )
    assert chrf_score(outputs, references) == corpus_scores(outputs, references, language, ["chrf"])["chrf"]


def test_languages_choose_metrics_and_tokenizers(monkeypatch):
    assert default_metrics("ja_JP") == default_metrics("zh") == ("bleu", "chrf", "ter", "exact")
    assert default_metrics("de") == default_metrics("") == ("bleu", "chrf", "chrf++", "ter", "exact")
    assert default_metrics("th") == ("bleu", "chrf", "exact")
    assert "asian:yes" in signature("ter", "ja") and "asian:no" in signature("ter", "de")
    assert (bleu_tokenizer("zh-TW"), bleu_tokenizer("ko"), bleu_tokenizer("th")) == ("zh", "13a", "char")
    monkeypatch.setattr(languages.importlib.util, "find_spec", lambda name: None)
    assert bleu_tokenizer("ja") == "char"
    monkeypatch.setattr(languages.importlib.util, "find_spec", lambda name: object())
    assert bleu_tokenizer("ja") == "ja-mecab"
    assert guess_language(["a", "はい"]) == "ja" and guess_language(["好"]) == "zh" and guess_language(["no"]) == ""


def test_a_language_that_is_not_named_is_guessed_from_the_references():
    outputs, references = texts("ja", 5)
    assert corpus_scores(outputs, references) == corpus_scores(outputs, references, "ja")


def test_exact_match_counts_lines_that_are_the_same():
    outputs, references = ["yes ", "Yes", "no\n", "", "\ud800"], ["yes", "yes", "no", "", "\ud800"]
    assert sentence_scores(outputs, references, "en", ["exact"])["exact"] == [100, 0, 100, 100, 100]
    assert corpus_scores(outputs, references, "en", ["exact"])["exact"].score == 80
    assert as_line("a\nb\ud800 \r") == "a b?"


def test_length_classes_are_the_scores_of_their_members():
    outputs, references = texts("en", 80)
    classes = length_classes(outputs, references, "en", ["bleu", "ter", "exact"])
    lengths = [length_of(text, "en") for text in references]
    assert sum(one.examples for one in classes) == 80 and len(classes) == 4
    assert classes[0].low == min(lengths) and classes[-1].high == max(lengths)
    assert all(first.high + 1 == second.low for first, second in zip(classes, classes[1:]))
    for one in classes:
        members = [i for i, length in enumerate(lengths) if one.low <= length <= one.high]
        alone = corpus_scores([outputs[i] for i in members], [references[i] for i in members], "en", one.scores)
        assert one.examples == len(members) and one.scores == {name: score.score for name, score in alone.items()}
    edges = length_classes(outputs, references, "en", ["exact"], edges=[10, 5, 1000])
    assert [(one.low, one.high) for one in edges] == [(1, 4), (5, 9), (10, 999)]
    same = length_classes(["a"] * 3, ["b c"] * 3, "en", ["bleu"])
    assert [(one.low, one.high, one.examples) for one in same] == [(2, 2, 3)]
    assert Counter(length_of("猫 は\u3000犬", language) for language in ("ja", "en")) == Counter([3, 3])


def test_what_cannot_be_scored_is_said():
    for arguments, sentence in (
        (([], []), "nothing to score"),
        ((["a"], ["a", "b"]), "1 outputs but 2 references"),
        ((["a"], ["a"], "en", ["blue"]), "no metric 'blue'; choose from bleu, chrf"),
        ((["a"], ["a"], "en", []), "No metric is named"),
    ):
        for score in (corpus_scores, sentence_scores, length_classes):
            with pytest.raises(DataError, match=sentence):
                score(*arguments)
    with pytest.raises(DataError, match="does not measure 'exact match'"):
        command_options("exact", "en")


def test_ter_is_left_out_by_default_where_it_would_take_minutes(monkeypatch):
    assert "ter" in corpus_scores(["a b"], ["a b"], "en")
    monkeypatch.setattr(scores, "TER_ROOM", 3)
    assert "ter" not in corpus_scores(["a b"], ["a b"], "en")
    assert "ter" in corpus_scores(["a b"], ["a b"], "en", ["ter"])


def test_progress_is_told_and_can_stop_the_work():
    outputs, references = texts("en", 120)
    shares = []
    corpus_scores(outputs, references, "en", ["chrf"], progress=lambda share, what: shares.append((share, what)))
    assert shares == [(0, "chrF2"), (50 / 120, "chrF2"), (100 / 120, "chrF2")]

    class Stop(Exception):
        pass

    def stop(share, what):
        raise Stop

    with pytest.raises(Stop):
        corpus_scores(outputs, references, "en", ["ter"], progress=stop)


# ------------------------------------------------------------------------------------------------------------ COMET


def test_comet_is_only_there_if_it_is_installed(monkeypatch):
    monkeypatch.setattr(comet, "comet_is_installed", lambda: False)
    with pytest.raises(DataError, match="COMET needs the package unbabel-comet"):
        corpus_scores(["a"], ["a"], "en", ["comet"], ["a"])
    assert "comet" not in default_metrics("en")


def test_comet_gets_sources_and_is_asked_by_its_own_interface(monkeypatch):
    """With a stand-in that has the interface of unbabel-comet 2 and scores a share of common letters."""
    asked = []

    class Model:
        def predict(self, samples, batch_size=16, gpus=1, progress_bar=True):
            asked.extend(samples)
            return types.SimpleNamespace(scores=[len(set(s["mt"]) & set(s["ref"])) / 10 for s in samples])

    stand_in = types.ModuleType("comet")
    stand_in.__spec__ = types.SimpleNamespace()
    stand_in.download_model = lambda name: name
    stand_in.load_from_checkpoint = lambda path: Model()
    monkeypatch.setitem(sys.modules, "comet", stand_in)
    monkeypatch.setattr(comet, "comet_is_installed", lambda: True)
    comet._model.cache_clear()
    found = corpus_scores(["abc", "x"], ["abd", "y"], "en", ["comet"], ["s", "t"])["comet"]
    assert found.score == pytest.approx(0.1) and "model:Unbabel/wmt22-comet-da" in found.signature
    assert asked[0] == {"src": "s", "mt": "abc", "ref": "abd"}
    assert sentence_scores(["abc"], ["abd"], "en", ["comet"], ["s"])["comet"] == [0.2]
    with pytest.raises(DataError, match="beside its source"):
        corpus_scores(["abc"], ["abd"], "en", ["comet"])
    comet._model.cache_clear()


def test_scores_are_numbers():
    outputs, references = [a for a, _ in NASTY], [b for _, b in NASTY]
    for language in ("en", "ja", "zh", "th", ""):
        for values in sentence_scores(outputs, references, language).values():
            assert len(values) == len(NASTY) and np.isfinite(values).all()

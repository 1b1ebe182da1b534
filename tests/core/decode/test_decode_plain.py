"""Events as plain values and back; many texts of which one that fails harms no other."""

import json
from dataclasses import asdict

import pytest

from core.decode import GenerationConfig, generate, stream
from core.decode import answers as answers_module
from core.decode.answers import LONGEST, answers, as_plain, settings
from core.decode.config import STRATEGIES
from core.decode.plain import Packer, Unpacker
from core.errors import ConfigError
from core.run import load
from tests.core.decode.decode_helpers import SMALL
from tests.playground.conftest import make_run

TEXTS = ["hello", "a cup of コーヒー", "!"]


@pytest.fixture(scope="module")
def tiny_runs(tmp_path_factory):
    """A run of each family; "helper" assists the GPT, and "helping" the Transformer."""
    folder = tmp_path_factory.mktemp("plain")
    kinds = {"gpt": "gpt", "helper": "gpt", "transformer": "transformer", "helping": "transformer"}
    return {
        name: load(str(make_run(name, family, folder, seed=seed))) for seed, (name, family) in enumerate(kinds.items())
    }


@pytest.mark.parametrize("trace", [True, False])
@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("family", ["transformer", "gpt"])
def test_events_come_back_as_they_were(tiny_runs, family, strategy, trace):
    run = tiny_runs[family]
    config = GenerationConfig(strategy=strategy, max_new_tokens=7, temperature=0.8, **SMALL[strategy])
    helper = tiny_runs["helper" if family == "gpt" else "helping"] if strategy == "assisted" else None
    packer, unpacker, sent, repeated = Packer(), Unpacker(), 0, 0
    for event in stream(run, [*TEXTS, ""], config, trace=trace, assistant=helper):
        message = json.dumps(packer.pack(event))
        assert unpacker.unpack(json.loads(message)) == event
        sent, repeated = sent + len(message), repeated + len(json.dumps(asdict(event)))
    assert sent > 0 and (not trace or sent < repeated / 2), "what is known is not sent again"


@pytest.mark.parametrize("family", ["transformer", "gpt"])
def test_answers_are_what_generate_returns(tiny_runs, family):
    run = tiny_runs[family]
    config = GenerationConfig(strategy="beam", num_beams=3, num_return_sequences=2, max_new_tokens=8)
    long = "xyz " * 60
    texts = ["hello", long, "", "!", "y" * (LONGEST + 1), 3]
    found = answers(run, texts, config, full=True)
    good = generate(run, ["hello", "", "!"], config)
    for answer, generation in zip([found[0], found[2], found[3]], good, strict=True):
        assert {**answer, "seconds": 0} == {**as_plain(generation), "seconds": 0}
        assert [h["text"] for h in answer["hypotheses"]] == [h.text for h in generation.hypotheses]
    assert "more than the 48" in found[1]["error"] and "characters" in found[4]["error"] and "int" in found[5]["error"]
    short = answers(run, ["hello", long], config, truncate=True)
    cut = generate(run, [long], config)[0]
    score = pytest.approx(good[0].score)  # in another batch it is rounded differently
    assert short[0] == {"text": good[0].text, "score": score, "tokens": len(good[0].ids)}
    assert cut.truncated and short[1]["text"] == cut.text
    assert answers(run, [], config) == []


def test_a_text_that_brings_decoding_down_harms_no_other(tiny_runs, monkeypatch):
    run, asked = tiny_runs["gpt"], []

    def fragile(run, texts, *arguments, **options):
        asked.append(len(texts))
        if "7" in texts:
            raise RuntimeError("CUDA error:\nout of memory")
        return generate(run, texts, *arguments, **options)

    monkeypatch.setattr(answers_module, "generate", fragile)
    config = GenerationConfig(max_new_tokens=6)
    found = answers(run, [str(i) for i in range(10)], config)
    assert found[7] == {"error": "Decoding failed: RuntimeError: CUDA error: out of memory."}
    assert [a.get("text") for a in found[:7]] == [g.text for g in generate(run, [str(i) for i in range(7)], config)]
    assert sum("error" in answer for answer in found) == 1 and asked == [0, 10, 5, 5, 2, 3, 1, 2]


def test_settings_that_no_text_can_be_decoded_with_are_raised(tiny_runs):
    with pytest.raises(ConfigError, match="needs an assistant"):
        answers(tiny_runs["gpt"], ["a", "b"], GenerationConfig(strategy="assisted"))


def test_settings_from_json():
    config = GenerationConfig(
        strategy="sample", logit_bias={3: 1.5}, early_stopping="never", stop_strings=("a",), bad_words_ids=((1, 2),)
    )
    assert settings(json.dumps(asdict(config))) == config
    assert settings("{}") == GenerationConfig()
    for wrong, sentence in [
        ("{", "no JSON"), (None, "no JSON"), ("[" * 100_000, "no JSON"), ("[]", "must be an object"),
        ('{"top_q": 1}', "Unknown key"), ('{"top_p": 2}', "top_p"), ('{"max_new_tokens": 99999}', "at most"),
        ('{"strategy": "beam", "num_beams": 4000}', "beams or samples"), ('{"temperature": NaN}', "finite"),
    ]:  # fmt: skip
        with pytest.raises(ConfigError, match=sentence):
            settings(wrong)

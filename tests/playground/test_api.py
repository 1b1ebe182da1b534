"""What programs can ask: the documented examples on a real server, numbers of the library itself, and wrong values."""

import re
from pathlib import Path

import gradio as gr
import pytest
from gradio_client import Client
from gradio_client.exceptions import AppError

from core import load
from core.analysis.reading import read
from core.decode import GenerationConfig, generate
from core.decode.scoring import score_ids
from playground.api import add_api
from playground.blocks import PageBlocks
from playground.site import OWN, PUBLIC, STUDIO

DOCUMENT = Path(__file__).parents[2] / "docs" / "API.md"
NAMES = {"models", "tokenize", "next_token", "decode", "stream", "score", "attention"}


@pytest.fixture(scope="module")
def address():
    with PageBlocks(analytics_enabled=False) as demo:
        add_api(OWN)
    _, local, _ = demo.launch(
        server_name="127.0.0.1", quiet=True, prevent_thread_lock=True, ssr_mode=False, show_error=False, inbrowser=False
    )
    yield local
    demo.close()


@pytest.fixture(scope="module")
def client(address):
    return Client(address, verbose=False)


@pytest.fixture
def ask(client):
    return lambda name, *values, **named: client.predict(*values, **named, api_name=f"/{name}")


def names(demo):
    return {dep["api_name"] for dep in demo.get_config_file()["dependencies"]}


def test_ones_own_page_has_it_and_a_hosted_one_has_not(client):
    assert {name.strip("/") for name in client.view_api(return_format="dict")["named_endpoints"]} == NAMES
    for site in (PUBLIC, STUDIO):
        with gr.Blocks() as demo:
            add_api(site)
        assert names(demo) == set()


def test_the_documented_examples(address, capsys):
    blocks = re.findall(r"```python\n(.*?)```", DOCUMENT.read_text(encoding="utf-8"), re.DOTALL)
    assert len(blocks) >= 7
    seen: dict = {}
    for block in blocks:
        exec(compile(block.replace("http://127.0.0.1:7860", address), str(DOCUMENT), "exec"), seen)
    assert seen["written"] == seen["whole"]["hypotheses"][0]["ids"], "by hand as in one go"
    run = load("pydocs-llama")
    best = generate(run, ["The function returns"], GenerationConfig(**seen["job"].result()["recipe"]["config"]))[0]
    assert seen["now"]["text"] == best.text
    weights = read(load("enja-transformer"), "Where is the station?").attention("cross", 1, 4)
    assert seen["head"]["weights"] == weights.tolist()
    told = DOCUMENT.read_text(encoding="utf-8")
    assert all(f"| `/{name}` |" in told for name in NAMES) and "駅" in capsys.readouterr().out


def test_what_is_written_is_judged_the_same(ask):
    for model, text in (("shakespeare-gpt", "To be"), ("enja-transformer", "Where is the station?")):
        answer = ask("decode", text, model, {"strategy": "sample", "seed": 5, "max_new_tokens": 12})
        best = answer["hypotheses"][0]
        run = load(model)
        given = generate(run, [text], GenerationConfig(max_new_tokens=1))[0].prompt_ids
        assert best["logprobs"] == pytest.approx(score_ids(run, given, best["ids"]), abs=1e-5)
        if best["finish_reason"] == "end" or model == "shakespeare-gpt":
            judged = ask("score", text, answer["text"], model)
            if judged["ids"] == best["ids"]:
                assert judged["logprobs"] == pytest.approx(best["logprobs"], abs=1e-5)


def test_a_stream_ends_with_what_decode_gives(ask, client):
    values = ("ROMEO:", "shakespeare-gpt", {"strategy": "sample", "num_return_sequences": 2, "max_new_tokens": 40})
    *_, last = client.submit(*values, api_name="/stream")
    whole = ask("decode", *values)
    del last["seconds"], whole["seconds"]
    for answer in (last, whole):
        answer["measures"].pop("tokens_per_second")
    assert last == whole and len(whole["hypotheses"]) == 2


@pytest.mark.parametrize(
    ("name", "values", "said"),
    [
        ("decode", ("x", "nope"), "There is no run 'nope'"),
        ("decode", ("", "enja-transformer", {"max_new_tokens": 10**9}), "at most 8,192"),
        ("decode", ("x", "shakespeare-gpt", {"strategy": "greedy", "top_p": 0.5}), "top_p does nothing"),
        ("decode", ("x", "shakespeare-gpt", {"temprature": 1}), "temprature"),
        ("decode", ("x", "shakespeare-gpt", [1]), "Settings are an object"),
        ("decode", ("x", "shakespeare-gpt", None, "top-q"), "There is no preset 'top-q'"),
        ("decode", ("x", "shakespeare-gpt", None, ["beam"]), "There is no preset"),
        ("decode", ("x", "shakespeare-gpt", {"seed": -(2**70)}), "of 64 bits"),
        ("decode", ("x", "shakespeare-gpt", {"temperature": 10**400}), "at most 1.8e+308"),
        ("decode", (["x"], "shakespeare-gpt"), "must be a text"),
        ("stream", ("x", 5), "by its name"),
        ("next_token", ("x", "shakespeare-gpt", None, [10**6]), "no token 1000000"),
        ("next_token", ("x", "shakespeare-gpt", None, "abc"), "list of token ids"),
        ("next_token", ("x", "shakespeare-gpt", None, None, True), "top must be a whole number"),
        ("tokenize", ("x", "../../etc/passwd"), "run"),
        ("score", ("", "x", "enja-transformer"), "nothing to translate"),
        ("score", ("x", "y " * 2_000, "shakespeare-gpt"), "context"),
        ("attention", ("x", "shakespeare-gpt", "cross"), "no attention 'cross'"),
        ("attention", ("x", "shakespeare-gpt", "", 1.5), "layer must be"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_one_sentence(ask, name, values, said):
    with pytest.raises(AppError) as error:
        ask(name, *values)
    told = str(error.value)
    assert said in told and "Traceback" not in told and "\n" not in told


def test_odd_texts_are_answered(ask):
    assert ask("tokenize", "", "shakespeare-gpt")["ids"] == []
    assert ask("decode", "", "shakespeare-gpt", {"max_new_tokens": 3})["tokens"] == 3
    assert ask("decode", "word " * 2_000, "shakespeare-gpt", {"max_new_tokens": 2})["truncated"]
    hostile = "<script>alert(1)</script>\x00👩‍👩‍👧"
    assert "".join(ask("tokenize", hostile, "shakespeare-gpt")["tokens"]).startswith("<script>")
    assert ask("next_token", hostile, "shakespeare-gpt")["kept"] > 0

"""The page as a whole: it builds, asks nobody else for anything, and says what is wrong with a port."""

import json
import re
import socket
import threading

import pytest

from core.errors import UserError
from playground import app, theme
from playground.memory import Memory


@pytest.mark.parametrize("kept", ["runs", "no_runs"])
def test_the_page_builds_with_and_without_models(kept, request):
    request.getfixturevalue(kept)
    config = app.build_app().get_config_file()
    labels = {component["props"].get("label") for component in config["components"]}
    assert {"Model", "Text", "Tokenizer", "Attention", "Decoding", "Training"} <= labels
    assert not config["analytics_enabled"]
    text = json.dumps(config, default=str)
    if kept == "no_runs":
        assert "There is no trained model yet" in text
    else:
        assert 'role=\\"alert\\"' not in text
        assert "attention-map" in text and "token-view" in text and "merge-player" in text


def test_controls_have_labels_and_no_endpoint_is_public_by_accident(runs):
    config = app.build_app().get_config_file()
    for component in config["components"]:
        if component["type"] in ("textbox", "dropdown", "radio", "checkbox", "slider", "number"):
            assert component["props"].get("label"), component
    for dependency in config["dependencies"]:
        assert dependency["api_visibility"] != "public" or dependency["api_name"], dependency


def test_the_look_asks_no_other_machine():
    made = theme.theme()
    for text in (made._get_theme_css(), *made._stylesheets, theme.stylesheet(), theme.script()):
        inside = text.replace("xmlns='http://www.w3.org/2000/svg'", "")  # a name, not an address
        assert "http" not in inside and "@import" not in inside
        # "#": of the same document
        assert all(start.startswith(('"data:', "data:", "#")) for start in re.findall(r"url\((.{6})", inside))
    assert theme.stylesheet().startswith("/* The house style")
    for name in ("--accent", "--ink", "--paper", "--muted", "--line", *(f"--token-{i}" for i in range(8))):
        assert f"{name}:" in theme.stylesheet()


def test_every_variable_that_is_used_exists():
    css = theme.stylesheet()
    defined = set(re.findall(r"(--[\w-]+)\s*:", css + theme.theme()._get_theme_css()))
    inline = {"--c", "--heads", "--layers", "--sprite", "--doubt"}  # set by views on the element
    used = {name for name, rest in re.findall(r"var\((--[\w-]+)\s*([,)])", css) if rest == ")"}
    assert used - defined - inline == set()


def test_a_taken_port_is_one_sentence(monkeypatch):
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(UserError, match=f"127.0.0.1:{port}.*set PORT"):
            app.launch(port=port)
    app.check_port("127.0.0.1", port)  # free again
    monkeypatch.setenv("PORT", "8000")
    assert app.port_from_environment() == 8000
    for wrong in ("x", "0", "70000", "-1"):
        monkeypatch.setenv("PORT", wrong)
        with pytest.raises(UserError, match="PORT must be"):
            app.port_from_environment()


def test_no_browser_is_opened_without_a_person(monkeypatch):
    monkeypatch.setattr(app.sys.stdout, "isatty", lambda: True, raising=False)
    monkeypatch.setenv("DISPLAY", ":0")
    monkeypatch.delenv("CI", raising=False)
    assert app.has_person()
    monkeypatch.setenv("CI", "true")
    assert not app.has_person()


def test_a_memory_computes_each_value_once_even_when_asked_at_once():
    memory: Memory[str] = Memory(maximum=2)
    calls, found = [], []
    gate = threading.Event()

    def compute():
        calls.append(1)
        gate.wait(5)
        return "value"

    threads = [threading.Thread(target=lambda: found.append(memory.get("key", compute))) for _ in range(5)]
    for thread in threads:
        thread.start()
    gate.set()
    for thread in threads:
        thread.join()
    assert found == ["value"] * 5 and len(calls) == 1


def test_a_memory_forgets_what_was_used_longest_ago_and_keeps_no_failure():
    memory: Memory[int] = Memory(maximum=2)
    for key in (1, 2, 1, 3):
        memory.get(key, lambda key=key: key)
    computed = []
    for key in (1, 3, 2):
        memory.get(key, lambda key=key: computed.append(key) or key)
    assert computed == [2]
    with pytest.raises(UserError):
        memory.get(9, lambda: (_ for _ in ()).throw(UserError("no")))
    assert memory.get(9, lambda: 9) == 9


def test_a_memory_keeps_so_many_values_for_each_owner():
    memory: Memory[int] = Memory(maximum=10, each=2)
    for key in (1, 2, 3):
        memory.get(key, lambda key=key: key, "one")
    memory.get(3, lambda: -1, "two")
    assert len(memory) == 2  # 1 was let go: "one" has asked for two others since
    memory.forget("one")
    assert len(memory) == 1 and memory.get(3, lambda: -1, "two") == 3
    memory.forget("two")
    memory.forget("nobody")
    assert len(memory) == 0

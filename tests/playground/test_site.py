"""What visitors may do: which events there are, and what is refused where."""

import re
from dataclasses import replace

import pytest

from core.config import RunConfig
from core.errors import RunError
from core.sweep import SweepSpec
from playground import app, decoding_form, header
from playground.jobs import LocalBackend
from playground.site import HOSTED, OWN, PUBLIC, STUDIO, here, on, visitor
from playground.sweeps import launch_sweep
from playground.views.notice import notice

# All that can be asked of a public page. Whatever is added here must be safe with any values, from anybody.
PUBLIC_ENDPOINTS = {
    "settle_text", "change_model", "use_example", "refresh_models", "arrive_by_link", "js_fn", "lambda",
    "refresh", "refresh_tokenizers", "open_part", "catch_up", "other_page", "choose_word", "type_words", "compare_with",
    "search_vocabulary", "narrow_vocabulary", "page_before", "page_after", "count_unreachable",
    "render_again", "cut_text",
    "open_tab", "give_turn", "find_late", "forget", "own_target", "type_target",
    # Attention
    "open_head", "change_part", "change_average", "change_query", "show", "show_sentence", "another_sentence",
    "count_errors", "stop_counting", "choose_head", "look_at_all", "stop_looking",
    # Internals
    "follow_token", "pick_in_lens", "choose_cell", "choose_logit", "choose_part", "explain_logit", "name_switched",
    "look_behind", "compare_parts", "switch_each", "stop_switching",
    # Embeddings
    "refresh_vectors", "draw_map", "pick_token", "solve", "compute_map", "stop_map", "show_positions",
    # Decoding
    "decode_columns", "stop_columns", "act_on_columns", "edit_column", "choose_preset", "change_strategy", "show_form",
    "show_assistants", "suit_model", "load_recipe", "write_again", "draw_next", "choose_token", "step_on", "step_back",
    "start_anew", "write_on", "stop_writing", "grow_tree", "stop_tree", "translate_by_hand", "stop_translation",
    "score_candidates", "show_candidate", "write_assisted", "stop_assisted", "choose_prompts", "run_experiment",
    "stop_experiment",
    # Evaluate
    "measure", "go_on_measuring", "stop_measuring", "choose_fields", "turn_to_evaluation", "first_page", "show_lines",
    "page_back", "page_on", "look_at_line", "act_on_kept", "show_compared", "test_difference", "stop_testing",
    "open_kept", "measure_text", "stop_measuring_text", "show_page",
    # Training
    "arrive", "follow_run", "draw", "tick", "choose", "table_html",
}  # fmt: skip


def endpoints(demo):
    """By the names of their handlers."""
    names = (dep["api_name"] for dep in demo.get_config_file()["dependencies"])
    return {re.sub(r"_\d+$", "", name) for name in names}


def by_label(demo, label):
    return [c["props"] for c in demo.get_config_file()["components"] if c["props"].get("label") == label]


def test_a_public_page_has_no_endpoint_that_changes_anything(runs):
    assert endpoints(app.build_app(PUBLIC)) == PUBLIC_ENDPOINTS
    own = {"start_training", "delete", "export", "look_at_data", "start_tokenizer", "add_tokenizer_file"}
    assert PUBLIC_ENDPOINTS | own < endpoints(app.build_app())


def test_members_train_on_modal_and_nowhere_else(runs):
    demo = app.build_app(STUDIO)
    assert {"start_training", "stop_training", "resume_run", "look_at_data", "export", "pull"} <= endpoints(demo)
    # The runs of a hosted page are copies, and its processes end with its container.
    assert not {"rename", "delete", "note", "start"} & endpoints(demo)
    training, decoding = by_label(demo, "Where")[-1], by_label(demo, "Where")[0]
    assert [value for _, value in training["choices"]] == ["modal"] == [training["value"]]
    assert [value for _, value in decoding["choices"]] == ["local", "modal"]


def test_a_public_page_offers_less(runs):
    demo = app.build_app(PUBLIC)
    assert by_label(demo, "Text")[0]["max_length"] == PUBLIC.characters
    assert by_label(demo, "Longest, in tokens")[0]["maximum"] == PUBLIC.new_tokens
    assert by_label(demo, "Beams")[0]["maximum"] == PUBLIC.beams
    assert by_label(demo, "Samples")[0]["maximum"] == PUBLIC.samples
    assert [value for _, value in by_label(demo, "Where")[0]["choices"]] == ["local"]
    assert not by_label(demo, "Model")[0]["allow_custom_value"]


def test_ones_own_page_is_as_it_was(runs):
    demo = app.build_app()
    assert type(demo).__name__ == "PageBlocks"
    assert "max_length" not in by_label(demo, "Text")[0] and by_label(demo, "Model")[0]["allow_custom_value"]
    assert by_label(demo, "Longest, in tokens")[0]["maximum"] == decoding_form.LONGEST
    assert "Sign" not in header.masthead(OWN)


def test_the_way_in_is_shown_where_there_is_one():
    assert 'href="studio/"' in header.masthead(replace(PUBLIC, signin="studio/"))
    assert 'href="/studio/logout"' in header.masthead(replace(STUDIO, signout="/studio/logout"))
    assert OWN.instead == STUDIO.instead == ""
    assert "clone the repository" in PUBLIC.instead and "Sign in" in replace(PUBLIC, signin="studio/").instead
    assert notice("<b>", "info", '"x"').count("&lt;b&gt;") == 1
    assert 'href="&quot;x&quot;"' in notice("<b>", "info", '"x"')


@pytest.mark.parametrize("name", ["hf:org/name", "/etc", "../x", "~", "runs/tiny-gpt", "", "tiny-gpt/"])
def test_only_runs_of_the_list_are_opened_for_strangers(runs, name):
    OWN.check_model(name)
    for site in (PUBLIC, STUDIO):
        with pytest.raises(RunError, match="only the models of its list"):
            site.check_model(name)
        site.check_model("tiny-gpt")
    with on(PUBLIC):
        message, settled = header.settle_text(name, "text", ("tiny-gpt", "before"))
    assert "notice-error" in message and settled == ("tiny-gpt", "before")


def test_a_text_is_as_long_as_the_site_takes(runs):
    with on(replace(PUBLIC, characters=10)):
        assert "up to 10." in header.text_problem("x" * 11) and not header.text_problem("x" * 10)
    assert not header.text_problem("x" * 11)


def test_an_assistant_that_is_no_run_of_the_list_is_not_opened(runs):
    typed = ["/some/where", "hf:org/name"]
    assert decoding_form.chosen_assistant("tiny-gpt", "/some/where", typed) == "/some/where"
    assert decoding_form.chosen_assistant("tiny-gpt", "/some/where") == "tiny-gpt"  # of a link
    with on(PUBLIC):
        assert decoding_form.chosen_assistant("tiny-gpt", "/some/where", typed) == "tiny-gpt"
        assert decoding_form.chosen_assistant("tiny-gpt", "hf:org/name", typed) == "tiny-gpt"


def test_the_machine_of_a_hosted_page_trains_nothing(runs, tmp_path):
    with on(STUDIO):
        with pytest.raises(RunError, match="trains nothing"):
            LocalBackend(tmp_path).launch(RunConfig(), "one")
        with pytest.raises(RunError, match="trains nothing"):
            LocalBackend().resume("tiny-gpt")
        with pytest.raises(RunError, match="runs no sweeps"):
            launch_sweep(SweepSpec(RunConfig(), {"seed": "1, 2"}), "tried", tmp_path)
    assert not (tmp_path / "one").exists()


def test_outside_of_an_event_a_hosted_machine_is_strict(monkeypatch):
    assert here() is OWN
    with on(STUDIO):
        assert here() is STUDIO
    monkeypatch.setenv(HOSTED, "1")
    assert here() is PUBLIC
    with on(STUDIO):
        assert here() is STUDIO


def test_a_visitor_is_an_address_or_a_network():
    assert visitor("192.0.2.1") != visitor("192.0.2.2")
    assert visitor("2001:db8:0:1::1") == visitor("2001:db8:0:1:ffff::2") != visitor("2001:db8:0:2::1")
    assert visitor(None) == "" and visitor("testclient") == "testclient"

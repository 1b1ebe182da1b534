"""What is asked of Modal in whose name: hours, GPUs, logging; what it costs, for runs and sweeps, before they begin."""

import math
import re

import pytest

from core.config import RunConfig
from core.errors import ConfigError
from core.files import read_json, write_json
from core.presets import preset
from core.run import Status, create_run
from core.sweep import SweepSpec
from playground import cli, places
from playground.figures import figures_of
from playground.jobs import LocalBackend
from playground.places import backend_of, estimated, given_hours, wants_log
from playground.sweep_files import create_sweep, read_sweep
from playground.sweep_form import cost_there
from playground.tabs import sweep, training, training_place, training_shown
from playground.tabs.training_place import Where
from playground.training_form import Form
from playground.views.sweep import words_there
from playground.views.training import tiles_of
from playground.views.training_place import cost_words
from remote.client import ModalBackend

LOOKS = ([], "loss", "step", 0.0, False)
FORM = list(Form("demo", "own", 32, 1, steps=12).__dict__.values())


@pytest.fixture
def asked(monkeypatch):
    """What would have been asked of Modal: the backends, in order."""
    backends = []

    def launch(self, config, name):
        backends.append(self)
        return create_run(config, name, self.runs_dir)

    def resume(self, name, assignments=()):
        backends.append(self)
        return self.runs_dir / name

    monkeypatch.setattr(ModalBackend, "launch", launch)
    monkeypatch.setattr(ModalBackend, "resume", resume)
    return backends


@pytest.fixture
def there(no_runs):
    """A run that was trained on Modal, on two H100."""
    directory = create_run(preset("gpt-fineweb"), "there")
    Status(state="cancelled", step=1000, steps=20_000, backend="modal", machine="H100:2").write(directory)
    write_json(directory / "remote.json", {"name": "there", "launch": "a", "gpu": "H100:2", "hours": 4.0})
    return directory


@pytest.mark.parametrize("hours", [None, 0, -1, 24.01, math.nan, math.inf])
def test_hours_that_cannot_be_are_refused_wherever_a_person_gives_them(hours, no_runs, capsys):
    with pytest.raises(ConfigError, match="above 0 and at most 24"):
        given_hours(hours)
    assert "above 0 and at most 24" in training_place.reckon("modal", "L4", 1, hours, True, *FORM)
    said = list(training.start_training("x", *LOOKS, "modal", "L4", 1, hours, True, *FORM))[-1][0]
    assert "above 0 and at most 24" in said
    if hours is not None:
        for command in (["train", "demo"], ["sweep", "demo", "--grid", "seed=1,2"]):
            assert cli.main([*command, "--on", "modal", f"--hours={hours}"]) == 1
            assert "above 0 and at most 24" in capsys.readouterr().err
    assert not (no_runs / "runs").exists()


def test_all_hours_that_modal_allows_may_be_asked_for(no_runs, asked, capsys):
    assert given_hours(24) == 24.0
    run = ["train", "demo", "--on", "modal", "--detach", "--runs-dir", str(no_runs / "runs")]
    assert cli.main([*run, "--run-name", "a", "--hours", "24"]) == 0
    assert cli.main([*run, "--run-name", "b"]) == 0
    assert 23 < asked[0].hours == asked[1].hours <= 24


def test_wandb_is_off_there_if_it_is_switched_off_by_name(no_runs, asked):
    assert wants_log([]) and wants_log(["train.wandb=offline", "seed=3"]) and not wants_log(["train.wandb=disabled"])
    assert wants_log(["train.wandb=disabled", "train.wandb=online"])
    run = ["train", "demo", "--on", "modal", "--detach", "--runs-dir", str(no_runs / "runs")]
    assert cli.main([*run, "--run-name", "a", "--set", "train.wandb=disabled"]) == 0
    assert cli.main([*run, "--run-name", "b"]) == 0
    for number, log in ((3, False), (4, True)):
        list(training.start_training(f"run-{number}", *LOOKS, "modal", "L4", 1, 4, log, *FORM))
    assert [backend.log for backend in asked] == [False, True, False, True]


# ---------------------------------------------------------------------------------------------------- going on


def test_a_run_goes_on_with_the_gpu_and_the_hours_that_it_had_and_says_what_that_costs(there, asked, capsys):
    again = ["train", "--resume", "--run-name", "there", "--on", "modal", "--detach", "--runs-dir", str(there.parent)]
    assert cli.main(again) == 0
    said = capsys.readouterr().err
    assert (asked[0].gpu, asked[0].hours) == ("H100:2", 4.0)
    assert "there on H100:2: $8." in said and "an hour" in said and "$" in said.partition("about")[2]
    assert cli.main([*again, "--gpu", "T4", "--hours", "2"]) == 0
    said = capsys.readouterr().err
    assert (asked[1].gpu, asked[1].hours) == ("T4", 2.0)
    assert re.search(r"about 2 h 0 min, \$1\.81; it stops after 2 h, at about step [\d,]+ to [\d,]+ of [\d,]+", said)


def test_the_page_says_it_beside_the_button(there, no_runs):
    *_, steps, rate, cost = training_shown.follow_run("there", *LOOKS)
    assert steps == preset("gpt-fineweb").train.max_steps and "On Modal, H100:2: about" in cost and "$" in cost
    progress = training_shown.progress_of("there")
    more = training_shown.rest_cost(progress, 10 * steps)
    assert "it stops after 4 h, at about step" in more and f"of {10 * steps:,}" in more
    assert training_shown.rest_cost(progress, 500) == "" == training_shown.rest_cost(progress, None)
    assert backend_of("there").gpu == "H100:2"
    Status(state="cancelled", step=1000, steps=20_000).write(there)  # of this machine
    assert training_shown.rest_cost(training_shown.progress_of("there"), steps) == ""


# -------------------------------------------------------------------------------------------------------- costs


def test_an_estimate_ends_with_the_hours_and_says_how_far_that_is():
    config = preset("gpt-fineweb")
    steps, cost = config.train.max_steps, estimated(config, "L4", 4.0)
    words = cost_words(cost, steps, 4.0)
    assert cost.seconds[1] == 4 * 3600 and f"it stops after 4 h, at about step {cost.steps[0]:,}"[:34] in words
    assert words.endswith(f"of {steps:,}") and "stops" not in cost_words(estimated(config, "L4"), steps)
    done = estimated(config, "L4", 4.0, steps - 10)
    assert done.steps == (10, 10) and "stops" not in cost_words(done, steps, 4.0, steps - 10)
    assert "it stops after 4 h" in training_place.reckon("modal", "L4", 1, 4, True, "gpt-fineweb", *FORM[1:12], 10**6)


AXES = {"optim.learning_rate": "1e-3,3e-3", "model.d_model": "64,128"}


def test_a_sweep_there_costs_what_its_trials_do():
    spec = SweepSpec(preset("demo"), AXES)
    found = cost_there(spec, "T4", 4.0)
    alone = [estimated(preset("demo").with_overrides([f"model.d_model={width}"]), "T4", 4.0) for width in (64, 128)]
    for end in (0, 1):
        assert found.usd[end] == pytest.approx(2 * sum(one.usd[end] for one in alone))
        assert found.seconds[end] == pytest.approx(2 * sum(one.seconds[end] for one in alone))
    planned = 4 * preset("demo").train.max_steps
    assert found.steps == (planned, planned) and "stopped after" not in words_there(found, planned, 4.0)
    some = preset("demo").with_overrides(["train.max_steps=10000"])  # else it is the starts that cost
    halved, whole = (cost_there(SweepSpec(some, AXES, eta=eta), "T4", 4.0) for eta in (2, 0))
    assert halved.steps[1] < 0.7 * whole.steps[1] and halved.usd[1] < whole.usd[1]
    long = SweepSpec(preset("demo").with_overrides(["train.max_steps=1000000"]), AXES)
    capped = cost_there(long, "T4", 2.0)
    assert capped.seconds == (8 * 3600, 8 * 3600)
    assert "about 8 h 0 min of rented time" in words_there(capped, 4_000_000, 2.0)
    assert "a trial is stopped after 2 h" in words_there(capped, 4_000_000, 2.0)


def test_a_sweep_keeps_its_hours_and_its_log_and_older_ones_have_none(no_runs, monkeypatch, capsys):
    made = []
    monkeypatch.setattr(
        "playground.sweeps.run_sweep", lambda wanted, backend, say: made.append(backend) or Status("done")
    )
    arguments = ["--on", "modal", "--gpu", "T4", "--hours", "2.5", "--set", "train.wandb=disabled"]
    assert cli.main(["sweep", "demo", "--name", "s", "--grid", "optim.learning_rate=1e-3,3e-3", *arguments]) == 0
    said = capsys.readouterr().err
    assert re.search(r"s on T4: \$0\.\d+ an hour \(prices of [\d-]+\); about .* of rented time, \$0\.\d+", said)
    assert (made[0].gpu, made[0].hours, made[0].log) == ("T4", 2.5, False)
    assert (read_sweep("s").hours, read_sweep("s").log) == (2.5, False)
    assert cli.main(["sweep", "--resume", "s"]) == 0 and made[1].hours == 2.5
    assert cli.main(["sweep", "--resume", "s", "--hours", "3"]) == 1
    assert "one that goes on keeps its own" in capsys.readouterr().err
    path = read_sweep("s").directory / "sweep.json"
    write_json(path, {key: value for key, value in read_json(path).items() if key not in ("hours", "log")})
    assert (read_sweep("s").hours, read_sweep("s").log) == (0.0, True)
    create_sweep(SweepSpec(RunConfig(), {"seed": "1,2"}), "t")  # of this machine
    assert read_sweep("t").hours == 0.0


def test_the_sweeps_cost_on_the_page_is_that_of_its_place(no_runs):
    spec = SweepSpec(preset("demo"), AXES)
    html = sweep.reckon_there(spec, Where("modal", "T4", 1, 4))
    assert "<b>4 trials</b>, 4 × 240 steps on Modal, T4: about" in html and "$" in html and "prices of" in html
    with pytest.raises(ConfigError, match="above 0"):
        sweep.reckon_there(spec, Where("modal", "T4", 1, 0))
    with pytest.raises(ConfigError, match="price table"):
        sweep.reckon_there(spec, Where("modal", "<b>", 1, 4))


# ------------------------------------------------------------------------------------------------ while it trains


def test_the_page_has_a_run_followed_again_while_it_is_shown(there, monkeypatch):
    asked, clock = [], [1000.0]
    monkeypatch.setattr("remote.client.ensure_followed", asked.append)
    monkeypatch.setattr(places, "_looked_after", -math.inf)
    monkeypatch.setattr(places.time, "monotonic", lambda: clock[0])
    training.tick("there", *LOOKS, False, None)
    assert asked == []  # it has ended
    Status(state="running", step=10, steps=20, backend="modal").write(there)
    other = create_run(preset("demo"), "other")
    Status(state="done").write(other)
    for later, looks in ((0, LOOKS), (1, LOOKS), (14, LOOKS), (16, LOOKS), (31, LOOKS)):
        clock[0] = 1000.0 + later
        training.tick("there", *looks, False, None)
    assert len(asked) == 2  # at 0 and at 16 seconds
    clock[0] = 1100.0
    training.tick("other", ["there"], *LOOKS[1:], False, None)  # it is only compared with
    assert len(asked) == 3
    clock[0] = 1200.0
    training.tick("other", *LOOKS, False, None)
    assert len(asked) == 3


def test_the_price_goes_on_while_a_run_is_paused(there):
    paused = {"state": "paused", "step": 10, "steps": 20, "backend": "modal", "seconds": 60.0, "price_per_hour": 3.6}
    Status(**paused, rented_seconds=100.0).write(there)
    seen = training_shown.follow_run("there", *LOOKS)[training_shown.SHOWN.index("seen")]
    Status(**paused, rented_seconds=1100.0).write(there)
    drawn = training_shown.look("there", *LOOKS, False, seen)
    assert "$1.10" in drawn[0]
    tiles = {title: value for title, value, _ in tiles_of(LocalBackend().progress("there").status, figures_of([]))}
    assert tiles["price so far"] == "$1.10"

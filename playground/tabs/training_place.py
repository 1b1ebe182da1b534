"""The Training tab's choice of a place: this machine, or a GPU of Modal's, with what that costs.

Modal is asked only when somebody chooses it, and answers or is given up within ten seconds.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import gradio as gr

from core.config import RunConfig
from core.errors import UserError
from playground.places import backend_at, estimated, given_hours
from playground.site import Site
from playground.training_form import Form, configuration
from playground.views.notice import notice
from playground.views.training_place import cost_html, gpu_label

PLACES = [("This machine", "local"), ("Modal", "modal")]
HOURS = 4


@dataclass
class PlacePart:
    place: gr.Radio
    gpu: gr.Dropdown
    count: gr.Number
    hours: gr.Number
    log: gr.Checkbox
    cost: gr.HTML
    access: gr.HTML
    rented: gr.Column

    @property
    def fields(self) -> list[Any]:
        """The fields in the order of `Where`."""
        return [self.place, self.gpu, self.count, self.hours, self.log]


@dataclass(frozen=True)
class Where:
    """What the fields hold."""

    place: str = "local"
    gpu: str | None = ""
    count: float | None = 1
    hours: float | None = HOURS
    log: bool = True

    @property
    def gpus(self) -> str:
        """As Modal wants it, such as "H100:2"; checked by whoever uses it."""
        count = int(self.count) if isinstance(self.count, (int, float)) and self.count else 1
        return f"{self.gpu}:{count}" if count != 1 else str(self.gpu or "")


FIELDS = len(Where.__dataclass_fields__)


def places(site: Site) -> list[tuple[str, str]]:
    """Those that are offered. The machine of a hosted page trains nothing."""
    return [(label, place) for label, place in PLACES if place != "local" or not site.is_hosted]


def build(places: list[tuple[str, str]] | None = None) -> PlacePart:
    from remote.client import DEFAULT_GPU, GPUS, usd_per_hour

    choices = places or PLACES
    first = choices[0][1]
    place = gr.Radio(choices, value=first, label="Where", elem_id="training-place", elem_classes="segmented")
    with gr.Column(visible=first == "modal", elem_id="training-rented") as rented:
        with gr.Row():
            gpu = gr.Dropdown(
                [(gpu_label(kind.name, kind.memory_gib, usd_per_hour(kind.name)), kind.name) for kind in GPUS.values()],
                value=DEFAULT_GPU, label="GPU", min_width=190, scale=3, elem_id="training-gpu",
            )  # fmt: skip
            count = gr.Number(1, label="GPUs", precision=0, minimum=1, maximum=8, min_width=70, elem_id="training-gpus")
            hours = gr.Number(HOURS, label="Stop after hours", min_width=100, elem_id="training-hours")
        log = gr.Checkbox(True, label="Log at wandb, if the app has its secret", elem_id="training-log-there")
    cost = gr.HTML("", padding=False, elem_id="training-cost", js_on_load=None)
    access = gr.HTML("", padding=False, elem_id="training-access", js_on_load=None)
    return PlacePart(place, gpu, count, hours, log, cost, access, rented)


def wire(part: PlacePart, form: list[Any]) -> None:
    quiet: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}
    part.place.input(choose, [*part.fields, *form], [part.rented, part.cost, part.access], **quiet)
    settled = [field.change for field in part.fields[1:-1]]
    settled += [field.blur if isinstance(field, (gr.Textbox, gr.Number)) else field.change for field in form[:4]]
    steps = [field.change for field in form if getattr(field, "elem_id", "") == "training-steps"]
    gr.on([*settled, *steps], reckon, [*part.fields, *form], part.cost, trigger_mode="always_last", **quiet)


def choose(*values: Any) -> Iterator[list[Any]]:
    """Show the fields of the place; for Modal also the cost, and whether it can be used from here."""
    where = Where(*values[:FIELDS])
    modal = where.place == "modal"
    shown = gr.update(visible=modal)
    if not modal:
        yield [shown, "", ""]
        return
    from remote.client import access

    cost = reckon(*values)
    now = access(ask_modal=False)
    if not now.signed_in:
        yield [shown, cost, notice(now.sentence)]
        return
    yield [shown, cost, notice("Asking Modal …", "busy")]
    now = access()
    said = notice("Signed in to Modal, and the app is deployed.", "info") if now.deployed else notice(now.sentence)
    yield [shown, cost, said]


def reckon(*values: Any) -> str:
    """What the training would take and cost."""
    where = Where(*values[:FIELDS])
    if where.place != "modal":
        return ""
    from remote.client import DATE, SOURCE, parse_gpu

    try:
        parse_gpu(where.gpus)
        hours, config = given_hours(where.hours), configuration(Form(*values[FIELDS:]), keep=False)
        return cost_html(estimated(config, where.gpus, hours), DATE, SOURCE, config.train.max_steps, hours)
    except UserError as error:
        return notice(str(error))


def launch(where: Where, config: RunConfig, name: str, say: Callable[[str], None] = lambda text: None) -> str:
    """Start the run at its place. Returns its name; UserError if something is to be mended."""
    if where.place == "modal":
        backend = backend_at("modal", None, where.gpus, given_hours(where.hours), where.log, say)
    else:
        backend = backend_at(where.place)
    backend.check_room()
    return str(backend.launch(config, name).name)

"""One's own tokenizers, in the part that trains them: the list, a file that is added, one that is deleted."""

import shutil
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gradio as gr

from core.errors import RunError, UserError
from core.tokenizer import load_tokenizer
from core.tokenizer.own import add_file, delete_own, own_about, own_path, own_tokenizers, unused_tokenizer_name
from playground import tokenizers
from playground.export_files import export_folder
from playground.site import here
from playground.tokenizers import MODELS_OWN, OWN_MARK
from playground.views.notice import notice
from playground.views.tokenizer_training import own_table

Change = tuple[str, float]  # the name of an own tokenizer ("": one was deleted), and when
HOSTED = "A hosted page keeps no tokenizers: clone the repository and run it yourself."


@dataclass
class OwnPart:
    table: gr.HTML
    which: gr.Dropdown
    download: gr.Button
    delete: gr.Button
    ask: gr.Row
    question: gr.HTML
    sure: gr.Button
    spare: gr.Button
    asked: gr.State  # the tokenizer that the question is about
    files: gr.File
    name: gr.Textbox
    add: gr.Button
    message: gr.HTML
    saved: gr.File

    @property
    def views(self) -> list[Any]:
        return [self.table, self.which]


def build() -> OwnPart:
    names = [about.name for about in own_tokenizers()]
    with gr.Accordion("Your tokenizers", open=True, elem_id="own-tokenizers", elem_classes="train-own"):
        table = gr.HTML(own_table(own_tokenizers()), elem_id="own-table", js_on_load=None)
        with gr.Row(equal_height=False, elem_classes="train-buttons"):
            which = gr.Dropdown(
                names, value=next(iter(names), None), label="Tokenizer", elem_id="own-which", min_width=220
            )
            download = gr.Button("Download", size="sm", min_width=100, elem_id="own-download")
            delete = gr.Button("Delete …", variant="stop", size="sm", min_width=100, elem_id="own-delete")
        with gr.Row(visible=False, elem_id="own-ask", elem_classes="train-buttons") as ask:
            question = gr.HTML("", padding=False, js_on_load=None)
            sure = gr.Button("Delete it for good", variant="stop", size="sm", min_width=140, elem_id="own-sure")
            spare = gr.Button("Keep it", size="sm", min_width=90, elem_id="own-spare")
        gr.HTML(
            '<p class="caption">A tokenizer that you have: a tokenizer.json, a SentencePiece model, a .tiktoken file, '
            "or vocab.json with merges.txt; with its tokenizer_config.json or chat_template.jinja, if it has one.</p>",
            js_on_load=None,
        )
        with gr.Row(equal_height=False, elem_classes="train-buttons"):
            files = gr.File(
                label="Tokenizer's file",
                file_count="multiple", type="filepath", height=120, elem_id="own-files",
                file_types=[".json", ".model", ".spm", ".tiktoken", ".txt", ".jinja"], scale=3, min_width=260,
            )  # fmt: skip
            name = gr.Textbox("", label="Name", max_length=64, min_width=160, elem_id="own-name")
            add = gr.Button("Add the file", size="sm", min_width=110, elem_id="own-add")
        message = gr.HTML("", padding=False, elem_id="own-message", js_on_load=None)
        saved = gr.File(label="For download", interactive=False, visible=False, elem_id="own-saved")
    return OwnPart(
        table, which, download, delete, ask, question, sure, spare, gr.State(""), files, name, add, message, saved
    )


def wire(part: OwnPart, trained: gr.State) -> None:
    """trained: `now` of the own tokenizer that was made last, or of "" once one is deleted."""
    quiet: dict[str, Any] = {"api_visibility": "private", "show_progress": "hidden"}
    part.add.click(add_tokenizer_file, [part.files, part.name], [part.message, part.files, part.name, trained], **quiet)
    part.download.click(offer_tokenizer, part.which, [part.message, part.saved], **quiet)
    part.delete.click(ask_about_tokenizer, part.which, [part.message, part.ask, part.question, part.asked], **quiet)
    part.spare.click(keep_tokenizer, None, [part.ask, part.asked], **quiet)
    part.sure.click(
        delete_tokenizer, [part.which, part.asked], [part.message, part.ask, part.asked, part.saved, trained], **quiet
    )
    trained.change(list_tokenizers, trained, part.views, **quiet)


def show() -> tuple[str, Any]:
    """Values for `OwnPart.views`: what there is by now."""
    return list_tokenizers(None)


def list_tokenizers(trained: Change | None) -> tuple[str, Any]:
    """The table and the picker; what was made last is chosen in it."""
    abouts = [] if here().is_hosted else own_tokenizers()
    names = [about.name for about in abouts]
    if trained is None and names:
        return own_table(abouts), gr.update(choices=names)
    made = trained[0] if trained else ""
    return own_table(abouts), gr.update(choices=names, value=made if made in names else next(iter(names), None))


def now(name: str) -> Change:
    """A change of one's own tokenizers that no other equals."""
    return name, time.time()


def choose_trained(trained: Change, key: str | None) -> Any:
    """The tab's picker of tokenizers after a change: a new one is chosen; one that is gone is chosen no more."""
    choices = tokenizers.choices(here())
    if trained[0]:
        return gr.update(choices=choices, value=OWN_MARK + trained[0])
    gone = (key or "").startswith(OWN_MARK) and key not in [value for _, value in choices]
    return gr.update(choices=choices, value=MODELS_OWN) if gone else gr.update(choices=choices)


def add_tokenizer_file(files: list[str] | None, name: str) -> tuple[Any, ...]:
    """Keep a tokenizer's file. Values for (message, files, name, trained)."""
    try:
        _check_site()
        if not files:
            raise RunError("Choose a file first: a tokenizer.json, a SentencePiece model or a .tiktoken file.")
        wanted = name.strip() or unused_tokenizer_name(_name_of(Path(files[0])))
        about = add_file(wanted, *files)
    except UserError as error:
        return notice(str(error)), gr.skip(), gr.skip(), gr.skip()
    said = f"{about.name} is kept ({about.kind}, {about.vocab_size:,} tokens) and chosen above: all parts show it."
    return notice(said, "info"), None, "", now(about.name)


def _name_of(path: Path) -> str:
    """A name for a file's tokenizer, of the letters that names may have."""
    kept = "".join(c if c.isascii() and (c.isalnum() or c in "_-") else "-" for c in path.stem).strip("-_")
    return kept[:50] or "tokenizer"


def offer_tokenizer(name: str | None) -> tuple[str, Any]:
    """A copy for download. Values for (message, saved)."""
    try:
        _check_site()
        return "", gr.update(visible=True, value=tokenizer_file(name or ""))
    except UserError as error:
        return notice(str(error)), gr.update(visible=False, value=None)


def tokenizer_file(name: str) -> str:
    """A copy of an own tokenizer's tokenizer.json, made if it has none. RunError if it cannot be."""
    folder = own_path(name)
    try:
        path = export_folder() / "tokenizer.json"
        if (folder / path.name).is_file():
            shutil.copyfile(folder / path.name, path)
        else:  # a SentencePiece model, a list of ranks
            path.write_text(load_tokenizer(str(folder)).to_json(), encoding="utf-8")
    except OSError as error:
        raise RunError(f"The file cannot be written ({error.strerror}).") from None
    return str(path)


def ask_about_tokenizer(name: str | None) -> tuple[Any, ...]:
    """Values for (message, question's row, question, asked)."""
    try:
        _check_site()
        own_about(name or "")
    except UserError as error:
        return notice(str(error)), gr.update(visible=False), "", ""
    question = notice(f"Delete the tokenizer {name} for good? Runs that were trained with it keep their copy.")
    return "", gr.update(visible=True), question, name


def keep_tokenizer() -> tuple[Any, str]:
    return gr.update(visible=False), ""


def delete_tokenizer(name: str | None, asked: str) -> tuple[Any, ...]:
    """Values for (message, question's row, asked, saved, trained)."""
    shut = (gr.update(visible=False), "", gr.update(visible=False, value=None))
    try:
        _check_site()
        if not asked or asked != name:
            raise RunError("Choose the tokenizer to delete again.")
        delete_own(asked)
    except UserError as error:
        return notice(str(error)), *shut, gr.skip()
    return notice(f"{asked} is deleted.", "info"), *shut, now("")


def _check_site() -> None:
    if here().is_hosted:
        raise RunError(HOSTED)

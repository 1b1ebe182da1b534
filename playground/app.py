"""Assembles the page: the header and the tabs. Nothing else happens here."""

import os
import socket
import sys

# isort: off
import playground.gradio_setup  # noqa: F401  (first: it makes the import of gradio quick)
import gradio as gr
# isort: on

from core.errors import UserError
from playground import api, readings
from playground.blocks import PageBlocks, without_progress
from playground.guard import HostedBlocks, guard
from playground.header import build_header, wire_header, wire_turns
from playground.share import wire_share
from playground.site import OWN, Site
from playground.tabs import attention, decoding, embeddings, evaluate, internals, tokenizer, training
from playground.theme import script, stylesheet, theme

TABS = [
    ("Tokenizer", tokenizer),
    ("Attention", attention),
    ("Internals", internals),
    ("Embeddings", embeddings),
    ("Decoding", decoding),
    ("Evaluate", evaluate),
    ("Training", training),
]
WAITING = 64  # requests that may wait; one more is told to come back


def build_app(site: Site = OWN) -> gr.Blocks:
    """The whole page, with the default model's work in it. Themes and scripts are given when it is launched.

    site: what its visitors may do; where they are strangers, every event is guarded.
    """
    blocks = HostedBlocks if site.is_hosted else PageBlocks
    with blocks(title="LLM from scratch", analytics_enabled=False, fill_width=True) as demo:
        header = build_header(site)
        built, outer = [], {}
        with gr.Tabs(elem_id="tabs"):
            for name, module in TABS:
                with gr.Tab(name, id=name.lower(), elem_id=f"tab-{name.lower()}") as outer[name]:
                    built.append(module.build(site=site))
        wire_header(header, demo)
        for (_, module), tab in zip(TABS, built, strict=True):
            module.wire(tab, header)
            if hasattr(tab, "on_load"):
                tab.on_load(demo, header)
        wire_turns(header, outer)
        fields = {name: field for tab in built for name, field in getattr(tab, "shared", {}).items()}
        wire_share(demo, header, fields, site)
        demo.unload(readings.forget)
        api.add_api(site)
    without_progress(demo)
    demo.queue(max_size=WAITING, default_concurrency_limit=2, api_open=False if site.is_hosted else None)
    if site.is_hosted:
        guard(demo, site)
    return demo


def launch(
    host: str | None = None, port: int | None = None, open_browser: bool | None = None, block: bool = True
) -> gr.Blocks:
    """Serve the page. UserError if the port is taken.

    host, port: by default HOST and PORT of the environment, then 127.0.0.1 and 7860. open_browser: by default if a
    person sits at a terminal with a screen.
    """
    host = host or os.environ.get("HOST") or "127.0.0.1"
    port = port or port_from_environment()
    check_port(host, port)
    demo = build_app()
    demo.launch(
        server_name=host,
        server_port=port,
        inbrowser=has_person() if open_browser is None else open_browser,
        share=False,
        quiet=True,
        prevent_thread_lock=True,
        footer_links=[],
        run_history=False,
        ssr_mode=False,
        mcp_server=False,
        show_error=False,
        max_file_size="200mb",
        theme=theme(),
        css=stylesheet(),
        js=script(),
    )
    print(f"LLM from scratch is at http://{host}:{port} (stop it with Ctrl-C).", file=sys.stderr, flush=True)
    if block:
        demo.block_thread()
    return demo


def port_from_environment() -> int:
    text = os.environ.get("PORT") or "7860"
    if not text.isdigit() or not 0 < int(text) < 65536:
        raise UserError(f"PORT must be a number from 1 to 65535, not {text!r}.")
    return int(text)


def check_port(host: str, port: int) -> None:
    """UserError if nothing can be served there."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise UserError(
                f"The page cannot be served at {host}:{port} ({error.strerror}); set PORT to another number, "
                "or stop what is running there."
            ) from None


def has_person() -> bool:
    """Whether to open a browser: a terminal, a screen, and no CI."""
    screen = sys.platform in ("darwin", "win32") or os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    return bool(sys.stdout.isatty() and screen and not os.environ.get("CI"))


if __name__ == "__main__":
    launch()

"""The page for everybody, and the studio for those who sign in, as one ASGI app. Imports no modal.

/          what is there can be looked at and tried, within limits
/studio/   what is there can also be trained, on Modal; only if there are users
/health    {"status": "ok", ...}

LLM_SCRATCH_USERS="ada:a-long-password" python -m remote.hosting.hosted      serves it here, at PORT
"""

import hmac
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

from remote import names
from remote.hosting import quiet
from remote.hosting.gate import STUDIO, Gate

if TYPE_CHECKING:
    from fastapi import FastAPI


def hosted_app(
    users: Mapping[str, str] | None = None, https: bool = False, complete: Callable[[], bool] = lambda: True,
    **limits: Any,
) -> "FastAPI":  # fmt: skip
    """users: name -> password; none: nobody can sign in, and nothing can be launched. complete: whether all runs are
    there yet. limits: of the Gate."""
    # isort: off
    import playground.gradio_setup  # noqa: F401  (first: it makes the import of gradio quick)
    import gradio as gr

    # isort: on
    from fastapi import FastAPI
    from fastapi.responses import RedirectResponse

    from core.run import list_runs
    from playground.app import build_app
    from playground.site import PUBLIC
    from playground.site import STUDIO as MEMBERS
    from playground.theme import script, stylesheet, theme

    began = time.monotonic()
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    look: dict[str, Any] = {
        "theme": theme(), "css": stylesheet(), "js": script(), "footer_links": [], "run_history": False,
        "ssr_mode": False, "mcp_server": False, "show_error": False, "enable_monitoring": False, "pwa": False,
    }  # fmt: skip

    @app.get("/health")
    def health() -> dict[str, Any]:
        return {
            "status": "ok", "version": project_version(), "runs": len(list_runs()), "complete": complete(),
            "signin": bool(users), "uptime": round(time.monotonic() - began, 1),
        }  # fmt: skip

    if users:

        @app.get(STUDIO)
        def studio() -> RedirectResponse:
            return RedirectResponse(f"{STUDIO}/")

        members = build_app(replace(MEMBERS, signout=f"{STUDIO}/logout"))
        gr.mount_gradio_app(
            app, members, path=STUDIO, auth=SignIn(users),
            auth_message="To train models of your own, on Modal.", max_file_size=MEMBERS.upload, **look,
        )  # fmt: skip
        members.theme_css += f"\n{stylesheet()}"  # which is all that the page to sign in at gets
    public = replace(PUBLIC, signin=f"{STUDIO}/" if users else "")
    gr.mount_gradio_app(app, build_app(public), path="/", max_file_size=1, **look)
    app.add_middleware(Gate, https=https, upload=MEMBERS.upload, **limits)
    return app


class SignIn:
    """Whether a name and a password go together. A name that there is not takes as long as one that there is."""

    def __init__(self, users: Mapping[str, str]) -> None:
        self.users = {name: password.encode() for name, password in users.items()}

    def __call__(self, name: str, password: str) -> bool:
        expected = self.users.get(name)
        right = hmac.compare_digest(expected or b"no password is this", password.encode("utf-8", "replace"))
        return right and expected is not None


def read_users(text: str) -> dict[str, str]:
    """Of lines such as name:password. What is no such line is left out.

    >>> read_users("ada:a-long:password\\n\\nnobody:\\n")
    {'ada': 'a-long:password'}
    """
    pairs = (line.strip().partition(":") for line in text.splitlines())
    return {name.strip(): password for name, _, password in pairs if name.strip() and password}


def project_version() -> str:
    """Of the installed project; in a container, where only its source is, of the image."""
    try:
        return version("llm-from-scratch-playground")
    except PackageNotFoundError:
        return os.environ.get(names.VERSION_FLAG, "")


def main() -> None:
    """Serve it on this machine, with the runs of RUNS_DIR, as a container does."""
    import uvicorn

    from playground.app import port_from_environment
    from playground.site import HOSTED

    os.environ[HOSTED] = "1"
    users = read_users(os.environ.get(names.SIGNIN_VARIABLE, ""))
    app, port = hosted_app(users), port_from_environment()
    quiet.install()
    uvicorn.run(app, host="127.0.0.1", port=port, log_config=None, access_log=False, server_header=False)


if __name__ == "__main__":
    main()

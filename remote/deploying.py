"""Putting the app on Modal from here, with the optional secrets that the account has."""

import importlib
import os
import sys
from collections.abc import Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass

from core.errors import UserError
from remote import names
from remote.link import CloudError, NotThere, ask, explained


@dataclass(frozen=True)
class Deployed:
    url: str  # of the hosted app
    secrets: tuple[str, ...]  # of names.SECRETS, those that it uses
    nodes: int


def existing_secrets() -> list[str]:
    """Those of names.SECRETS that the account has. CloudError if Modal cannot be asked."""
    found = []
    for key, name in names.SECRETS.items():

        def act(name: str = name) -> None:
            import modal

            modal.Secret.from_name(name).hydrate()

        try:
            ask(act, f"The secret {name}")
            found.append(key)
        except NotThere:
            continue
    return found


def deploy(secrets: Sequence[str] | None = None, nodes: int = 0) -> Deployed:
    """Build the image, if it has changed, and deploy: minutes the first time. Modal's progress goes to the terminal.

    secrets: keys of names.SECRETS; None: those that the account has. nodes: hosts of the clustered training function.
    CloudError with a sentence if it fails.
    """
    there = existing_secrets()  # also the first question: not signed in, no network: said within its time
    chosen = list(there if secrets is None else dict.fromkeys(secrets))
    missing = [names.SECRETS[key] for key in chosen if key not in there]
    if missing:
        raise CloudError(
            f"There is no secret {missing[0]} in this account: make it with `modal secret create {missing[0]} …`."
        )
    # Decided before the app is imported, since its decorators are evaluated then.
    os.environ[names.SECRETS_FLAG] = ",".join(chosen)
    os.environ[names.NODES_FLAG] = str(nodes)
    if any(name in sys.modules for name in ("remote.image", "remote.app")):
        raise CloudError("The app is in use in this process already: run `llm-scratch deploy` in one of its own.")
    import modal

    module = importlib.import_module("remote.app")
    try:
        with redirect_stdout(sys.stderr), modal.enable_output():  # stdout is for results
            module.app.deploy()
        web = modal.Function.from_name(names.APP, names.WEB)
        url = ask(lambda: web.get_web_url()) or ""
    except UserError:
        raise
    except Exception as error:
        raise explained(error, "The app") from error
    return Deployed(url, tuple(chosen), nodes)

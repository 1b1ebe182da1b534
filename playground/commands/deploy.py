"""`deploy`: the functions and the hosted app, put on Modal; or only how things stand there."""

from argparse import Namespace
from dataclasses import asdict
from typing import Any

from core.errors import ConfigError
from playground.commands.output import say, show


def deploy(args: Namespace) -> int:
    from remote.client import access

    if args.nodes < 0 or args.nodes == 1:
        raise ConfigError("--nodes is the number of hosts that train together: 2 or more, or 0 for none.")
    if args.check:
        return _check(args, access())
    from remote.client import deploy as put

    say("deploying; the first time, the image is built, which takes some minutes")
    done = put(args.secret, args.nodes)
    lines = [f"deployed: {', '.join(done.secrets) or 'no'} secrets" + (f", {done.nodes} hosts" if done.nodes else "")]
    if done.url:
        lines.append(f"the hosted app: {done.url}")
    show(args, {"app": "llm-scratch", "url": done.url, "secrets": list(done.secrets)}, lines)
    return 0


def _check(args: Namespace, now: Any) -> int:
    """Exit code 0 if runs can be started on Modal from here."""
    from remote.client import DATE, GPUS, SOURCE, usd_per_hour

    fine = now.signed_in and bool(now.deployed)
    message = "signed in, and the app is deployed" if fine else now.sentence
    result = {
        "signed_in": now.signed_in, "deployed": bool(now.deployed), "message": message,
        "prices": {"date": DATE, "gpus": {name: asdict(gpu) for name, gpu in GPUS.items()}},
    }  # fmt: skip
    lines = [message, f"US dollars an hour, with cores and memory, as of {DATE} ({SOURCE}):"]
    lines += [f"  {name:<10} {usd_per_hour(name):6.2f}   {gpu.memory_gib} GiB" for name, gpu in GPUS.items()]
    show(args, result, lines)
    return 0 if fine else 1

"""Where the page is served, and what its visitors may do: on one's own machine everything, on a hosted page less.

The tabs are built for a Site. What checks something deep below asks `here()`, the site that the running event belongs
to, so that a handler cannot forget to hand it down.
"""

import ipaddress
import os
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Literal

from core.errors import RunError
from core.files import check_name

HOSTED = "LLM_SCRATCH_HOSTED"  # set to 1 where the page is served to others: then nothing is trained by that machine


UNLIMITED = 10**9  # as much as a tab offers


@dataclass(frozen=True)
class Site:
    """What a visitor may do, and how much of it. The limits hold for whoever calls the endpoints, however."""

    place: Literal["local", "hosted"] = "local"
    launch: bool = True  # train, stop, go on; rename, note, delete, export; upload
    hub: bool = True  # open models that are given as hf:org/name or as a directory
    signin: str = ""  # address of the page to sign in at, if there is one
    signout: str = ""
    characters: int = 1_000_000  # of a text
    new_tokens: int = UNLIMITED
    beams: int = UNLIMITED
    samples: int = UNLIMITED
    upload: int = 200_000_000  # bytes of a file
    seconds: float | None = None  # that a stream may take
    streams: int | None = None  # at a time, of all visitors
    streams_each: int | None = None  # of them, of one visitor

    @property
    def is_hosted(self) -> bool:
        return self.place == "hosted"

    @property
    def instead(self) -> str:
        """What to do where training is off, in one sentence; empty where it is on."""
        if self.launch:
            return ""
        if self.signin:
            return "Sign in to train your own."
        return "Training is off on this public page: clone the repository and run it yourself."

    def check_model(self, name: str) -> None:
        """RunError for a model that is not to be opened here: on a hosted page only runs are, by their names."""
        if self.hub:
            return
        try:
            check_name(name.strip())
        except RunError:
            raise RunError("This page opens only the models of its list: choose one of them.") from None


OWN = Site()
PUBLIC = Site(
    "hosted", launch=False, hub=False, characters=2_000, new_tokens=120, beams=6, samples=16, upload=0, seconds=30.0,
    streams=8, streams_each=4,
)  # fmt: skip
STUDIO = Site("hosted", hub=False, characters=20_000, upload=50_000_000, seconds=90.0, streams=8, streams_each=8)

_here: ContextVar[Site | None] = ContextVar("site", default=None)


def here() -> Site:
    """The site of the running event. Outside of one: the strictest that there can be."""
    return _here.get() or (PUBLIC if os.environ.get(HOSTED) == "1" else OWN)


@contextmanager
def on(site: Site) -> Iterator[None]:
    """What runs within belongs to `site`."""
    token = _here.set(site)
    try:
        yield
    finally:
        _here.reset(token)


def visitor(host: str | None) -> str:
    """The address that counts as one visitor: of IPv6 the network, since whoever has one has all of its addresses.

    >>> visitor("2001:db8::1") == visitor("2001:db8::2")
    True
    """
    try:
        address = ipaddress.ip_address(host or "")
    except ValueError:
        return host or ""
    return str(ipaddress.ip_network((address, 64), strict=False)) if address.version == 6 else str(address)

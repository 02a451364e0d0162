"""A path prefix in front of the service, such as `/separatrix` on a host that it shares.

The proxy may remove the prefix from the paths that it passes on, or leave it. Either way the links of a response begin
with it.
"""

import re
from collections.abc import Sequence
from contextvars import ContextVar
from typing import Annotated

from pydantic import PlainSerializer
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

FORWARDED_PREFIX = re.compile(r"(/[A-Za-z0-9_~-][A-Za-z0-9._~-]{0,62}){1,20}/?")
"""The values of `X-Forwarded-Prefix` that are used. Two slashes at the start would make a link to another host."""

_prefix: ContextVar[str] = ContextVar("_prefix", default="")
"""The prefix of the request that is answered. A thread that works for the request sees it too."""


def prefixed(path: str) -> str:
    """A path of the service as the client of the present request reaches it."""
    return _prefix.get() + path


Link = Annotated[str, PlainSerializer(prefixed, return_type=str)]
"""A path of the service in a response. It gets the prefix when it is written, so the code handles plain paths."""


def behind_proxies(app: ASGIApp, *, root_path: str | None, trusted_proxies: Sequence[str]) -> ASGIApp:
    """The app without the prefix in its paths, and with the addresses of clients in place of addresses of proxies.

    Args:
        app: the app. Its scopes have a `path` without the prefix and an empty `root_path`.
        root_path: the prefix of requests that have no trusted `X-Forwarded-Prefix`.
        trusted_proxies: addresses and networks whose `X-Forwarded-` headers are used: `Prefix`, `Host`, `For`
            and `Proto`.
    """

    async def without_prefix(scope: Scope, receive: Receive, send: Send) -> None:
        prefix = _prefix.get()
        if prefix and scope["type"] == "http" and f"{scope['path']}/".startswith(f"{prefix}/"):
            scope = {**scope, "path": scope["path"][len(prefix) :] or "/"}
        await app(scope, receive, send)

    forwarded = ProxyHeadersMiddleware(without_prefix, [*trusted_proxies])  # type: ignore[arg-type]  # its own names

    async def with_prefix(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            client = scope["client"]  # before it is replaced from the header `X-Forwarded-For`
            is_trusted = client is not None and client[0] in forwarded.trusted_hosts
            _prefix.set((_forwarded_prefix(scope) if is_trusted else "") or root_path or "")
            if is_trusted:
                _use_forwarded_host(scope)
        await forwarded(scope, receive, send)  # type: ignore[arg-type]

    return with_prefix


def _forwarded_prefix(scope: Scope) -> str:
    """The prefixes that proxies have removed, joined: the outermost one first. Empty if a part is malformed."""
    values = b",".join(value for name, value in scope["headers"] if name == b"x-forwarded-prefix").decode("latin-1")
    parts = [part.strip() for part in values.split(",")]
    return "".join(part.rstrip("/") for part in parts) if all(map(FORWARDED_PREFIX.fullmatch, parts)) else ""


def _use_forwarded_host(scope: Scope) -> None:
    """Puts the host that the client asked for in place of the proxy's: the first one if there are several proxies.

    It changes the scope instead of copying it, because the server logs the address that is put into its own scope.
    """
    hosts = [value for name, value in scope["headers"] if name == b"x-forwarded-host"]
    if hosts:
        others = [header for header in scope["headers"] if header[0] != b"host"]
        scope["headers"] = [(b"host", hosts[0].partition(b",")[0].strip()), *others]

"""Who may do what: refuses requests without a sufficient key, under foreign host names and from foreign pages.

Two attacks concern a service without keys as well. A page can make its own name resolve to this machine (DNS
rebinding); its requests then have that name as `Host`. And a page can post forms to any address; its requests have its
`Origin`.
"""

import logging
import re
import time
from collections.abc import Collection, Mapping
from functools import lru_cache
from urllib.parse import quote

from starlette.exceptions import HTTPException
from starlette.routing import compile_path
from starlette.types import Scope

from models.specs import InvalidInput
from service.access.keys import MAX_KEYS, ROLES, Key, KeyFile, Role, matching
from service.errors import Forbidden, HostNotAllowed, OriginNotAllowed, Unauthorized
from service.http.bodies.request_body import Headers
from service.http.front.callers import Caller, Callers
from service.http.metrics import Route
from service.logs import AUDIT
from service.settings import Settings, is_loopback

logger = logging.getLogger(__name__)

SAFE_METHODS = frozenset({"GET", "OPTIONS"})
"""The methods that change nothing. A HEAD request arrives here as GET."""

READ_AGAIN_S = 1.0
"""Maximum seconds until a change of the file of keys takes effect."""

CACHED_PATHS = 1_000
"""How many paths are kept with the role that they need. Finding it takes some 20 us."""

MAX_LOGGED_PATH = 200
"""Maximum number of characters of a path in the audit log."""

MAX_KNOWN_HOSTS = 100
"""How many hosts are kept that were found to be allowed, each with and without its port."""

HOST = re.compile(r"(?:\[([^\[\]]*)\]|([^:\[\]]*))(?::[0-9]*)?")
"""A `Host`: a name or an IPv6 address, with an optional port. Only the name is compared: ports are forwarded, and no
page can rebind the names of this machine. For browsers and for `_check_origin`, another port is another origin."""

INVALID_PATH = re.compile(rb"%2f|%0a$", re.IGNORECASE)
"""Escaped slashes, and a line feed at the end, which no path of the service has. Routes are matched to decoded paths:
an escaped slash would separate segments there, although a proxy in front may have taken it for a part of a name, and
the line feed would be ignored."""

DEFAULT_PORTS = {b"http": b":80", b"https": b":443"}


class Guard:
    """Checks each request before anything else does."""

    def __init__(
        self, settings: Settings, callers: Callers, roles: Mapping[Route, Role], routes: Collection[Route]
    ) -> None:
        """Reads the file of keys.

        Args:
            settings: of the service.
            callers: limits what each client sends.
            roles: the role that each route needs.
            routes: all routes of the service.

        Raises:
            InvalidInput: the file of keys is damaged.
            LookupError: `roles` does not have exactly these routes.
            OSError: the file of keys cannot be read.
        """
        if differing := {*routes} ^ {*roles}:
            raise LookupError(f"service.api.roles does not match the routes: {differing}")
        self._callers = callers
        self._exact = {route: role for route, role in roles.items() if "{" not in route[1]}
        # Starlette's own patterns: a path must not be one thing here and another one there.
        self._patterns = [(method, compile_path(path)[0], role) for (method, path), role in roles.items()]
        self._needed_by_path = lru_cache(CACHED_PATHS)(self._find_role)
        self._allows_all_hosts = not settings.is_on_loopback and not settings.allowed_hosts
        self._allowed_names = {"localhost", settings.host, *settings.allowed_hosts}
        self._known_hosts: set[bytes] = set()
        self._origins = {origin.encode() for origin in settings.cors_origins}
        self._file = KeyFile(settings.keys_path)
        self._stamp = self._current_stamp()
        self._keys: dict[str, Key] | None = self._read()
        self._verified: dict[bytes, tuple[Key, Caller]] = {}  # by header: most requests have one that was seen before
        self._read_at = time.monotonic()

    def admit(self, scope: Scope, headers: Headers) -> None:
        """Lets a request pass and counts it. Sets `scope["caller"]` to its `Caller` if its path has keys or limits.

        Raises:
            HTTPException: it has no `Host`, or several; or its path matches `INVALID_PATH`; or it has a valid
                key, and there is no such path.
            HostNotAllowed: the `Host` is not a name of the service.
            OriginNotAllowed: the request would change something, and comes from a page of another origin.
            Unauthorized: it needs a key, and has no valid one.
            Forbidden: its key has a lesser role than it needs.
            TooManyRequests: its client sends more requests a second than it may.
        """
        path = scope["raw_path"]
        if b"%" in path and INVALID_PATH.search(path):
            raise HTTPException(404)
        host = headers.get(b"host")
        if host is None:
            if scope["http_version"] == "1.1":
                raise HTTPException(400)
        elif host not in self._known_hosts:
            self._check_host(host)
        method = scope["method"]
        if method not in SAFE_METHODS and (b"origin" in headers or b"sec-fetch-site" in headers):
            self._check_origin(headers, host)
        now = time.monotonic()
        if now - self._read_at > READ_AGAIN_S:
            self._read_again(now)
        if method == "OPTIONS":
            return
        if self._keys is not None:
            self._check_key(scope, headers, self._keys)
        elif self._callers.limits_addresses and (caller := self._caller(scope)):
            self._callers.count(caller)

    def begin(self, scope: Scope) -> Caller | None:
        """Counts an admitted request as in progress, until `end`. Returns None for one without limits, such as a probe.

        Raises:
            TooManyAtOnce: its client has as many in progress as it may.
        """
        caller = self._caller(scope)
        if caller is not None:
            self._callers.begin(caller)
        return caller

    def end(self, caller: Caller) -> None:
        """Ends a request that `begin` has counted for this client."""
        self._callers.end(caller)

    def audit(self, scope: Scope, status: int, request_id: bytes) -> None:
        """Logs a request if it changes something, or would have if it had not been refused."""
        needed = self._needed(scope)
        if needed is None or needed >= Role.TRAIN:
            path = quote(scope["path"])[:MAX_LOGGED_PATH]
            client = scope["client"][0] if scope.get("client") else "-"
            caller: Caller | None = scope.get("caller")
            who = (caller and caller.key) or "-"
            method, id_ = scope["method"], request_id.decode()
            fields = {"key": who, "client": client, "method": method, "path": path, "status": status}
            message = "audit: %s from %s: %s %s: %d, id %s"
            AUDIT.info(message, who, client, method, path, status, id_, extra={"fields": fields})

    def _check_key(self, scope: Scope, headers: Headers, keys: Mapping[str, Key]) -> None:
        needed = self._needed(scope)
        if needed is Role.PUBLIC:
            return
        header = headers.get(b"authorization", b"")
        key, caller = self._verified.get(header) or self._verify(header, keys)
        scope["caller"] = caller
        if caller.rate:
            self._callers.count(caller)
        if needed is None:
            raise HTTPException(404)
        if ROLES[key.role] < needed:
            raise Forbidden(f"The key needs the role {needed.name.lower()}, and has the role {key.role}.")

    def _caller(self, scope: Scope) -> Caller | None:
        """The client of a request: a key or, in a service without keys, an address. None if its path needs no key."""
        caller: Caller | None = scope.get("caller")
        if caller is None and self._keys is None and self._needed(scope) is not Role.PUBLIC:
            client = scope.get("client")
            caller = scope["caller"] = self._callers.of_address(client[0] if client else "")
        return caller

    def _verify(self, header: bytes, keys: Mapping[str, Key]) -> tuple[Key, Caller]:
        """The key of an `Authorization` header, which is kept if it is valid."""
        scheme, _, secret = header.partition(b" ")
        key = matching(secret.strip(), keys) if scheme.lower() == b"bearer" else None
        if key is None:
            raise Unauthorized("The key is not valid, or was revoked." if scheme else None)
        found = key, self._callers.of_key(key)
        if len(self._verified) < MAX_KEYS:
            self._verified[header] = found
        return found

    def _needed(self, scope: Scope) -> Role | None:
        """The role that a request needs; None if there is no such path."""
        method, path = scope["method"], scope["path"]
        found = self._exact.get((method, path))
        return self._needed_by_path(method, path) if found is None else found

    def _find_role(self, method: str, path: str) -> Role | None:
        found = [(its_method, role) for its_method, pattern, role in self._patterns if pattern.match(path)]
        roles = [role for its_method, role in found if its_method == method]
        if roles:
            return max(roles)  # a path can match two routes, /v2/models/stats; the greater role is on the safe side
        return Role.READ if found else None  # the path exists without this method: a client with a key gets 405

    def _check_host(self, host: bytes) -> None:
        if b", " in host:  # two headers: a proxy in front may have gone by the other one
            raise HTTPException(400)
        if self._allows_all_hosts:
            return
        found = HOST.fullmatch(host.decode("latin-1").lower())
        name = (found[1] or found[2]) if found else ""
        if name not in self._allowed_names and f"[{name}]" not in self._allowed_names and not is_loopback(name):
            raise HostNotAllowed
        if len(self._known_hosts) < MAX_KNOWN_HOSTS:
            self._known_hosts.add(host)

    def _check_origin(self, headers: Headers, host: bytes | None) -> None:
        """Browsers send `Sec-Fetch-Site` to localhost and over TLS, and `Origin` with each POST."""
        origin = headers.get(b"origin")
        if origin in self._origins or b"*" in self._origins:
            return
        site = headers.get(b"sec-fetch-site")
        if site in (b"same-origin", b"none"):
            return
        if site is None and origin is not None and host is not None and _is_same_host(origin, host):
            return
        raise OriginNotAllowed

    def _read_again(self, now: float) -> None:
        """Reads the file of keys if it has changed. If it is gone, no key is valid: that never opens the service."""
        self._read_at = now
        stamp = self._current_stamp()
        if stamp == self._stamp:
            return
        self._stamp = stamp
        try:
            keys = self._read()
        except (InvalidInput, OSError) as error:
            logger.error("the keys stay as they were, because their file cannot be read: %s", error)
            return
        self._verified.clear()
        self._keys = {} if keys is None and self._keys is not None else keys

    def _read(self) -> dict[str, Key] | None:
        keys = self._file.read()
        return None if keys is None else {key.digest: key for key in keys}

    def _current_stamp(self) -> tuple[int, int, int] | None:
        """A value that changes whenever the file is written; None if the file does not exist."""
        try:
            found = self._file.path.stat()
        except OSError:
            return None
        return found.st_mtime_ns, found.st_ino, found.st_size


def _is_same_host(origin: bytes, host: bytes) -> bool:
    """Whether an origin has this host and port. The scheme may differ: a proxy in front may have another one."""
    scheme, _, authority = origin.lower().partition(b"://")
    port = DEFAULT_PORTS.get(scheme, b"")
    return authority.removesuffix(port) == host.lower().removesuffix(port)

"""API keys by name, in a file that has only their digests.

A key has 256 random bits, so nobody can guess it from its digest, however fast the digest is. A slow digest, as
passwords need, would only delay each request.
"""

import fcntl
import hashlib
import hmac
import json
import os
import re
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from enum import IntEnum
from pathlib import Path
from typing import Any, NamedTuple

from models.specs import InvalidInput
from service import outputs
from service.settings import MIN_RATE

PREFIX = "sepx_"
"""The first characters of each key, by which people and programs that look for secrets recognize it."""

KEY_BYTES = 32
"""Random bytes of a key."""

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,62}")
"""The names of keys. They appear in the audit log."""

MAX_KEYS = 1_000
"""Maximum number of keys in a file. The file is read as a whole whenever it changes."""

MAX_FILE_BYTES = 1_000_000
"""Largest file that is read; `MAX_KEYS` keys have a quarter of it."""

MAX_LIMIT = 1_000_000
"""Largest limit that a key can have. A larger one would limit nothing."""


class Limits(NamedTuple):
    """Limits of a key that replace the limits of the settings. None keeps the setting. See `Key`."""

    rate: float | None = None
    concurrency: int | None = None
    queued: int | None = None


class Role(IntEnum):
    """What a key allows. Each role includes the ones before it; `PUBLIC` needs no key."""

    PUBLIC = 0
    READ = 1
    PREDICT = 2
    TRAIN = 3
    ADMIN = 4


ROLES = {role.name.lower(): role for role in Role if role is not Role.PUBLIC}
"""The roles that a key can have, by name."""


@dataclass(frozen=True)
class Key:
    """A key as the file stores it.

    Attributes:
        name: for people; appears in the audit log.
        role: the name of its role.
        digest: SHA-256 of the key in hexadecimal digits.
        created_at: when it was added, in UTC (ISO 8601).
        rate: maximum number of requests a second; 0 sets no limit. None keeps the setting, here and in the next two.
        concurrency: maximum number of requests in progress at a time; 0 sets no limit.
        queued: maximum number of jobs that wait for a training process.
    """

    name: str
    role: str
    digest: str
    created_at: str
    rate: float | None = None
    concurrency: int | None = None
    queued: int | None = None


class KeyFile:
    """The file of keys. It is written as a whole, and only its owner may read it."""

    def __init__(self, path: Path) -> None:
        """The file need not exist."""
        self.path = path

    def read(self) -> list[Key] | None:
        """The keys in the order in which they were added; None if there is no file.

        Raises:
            InvalidInput: it has a form that this version does not write.
            OSError: it cannot be read.
        """
        try:
            with self.path.open("rb") as file:
                content = file.read(MAX_FILE_BYTES + 1)
        except (FileNotFoundError, NotADirectoryError):
            return None
        try:
            if len(content) > MAX_FILE_BYTES:
                raise ValueError("too long")
            keys = [Key(**one) for one in json.loads(content)["keys"]]
            if not all(_is_valid(key) for key in keys) or len({key.name for key in keys}) < len(keys):
                raise ValueError("a value is not allowed")
        except (ValueError, TypeError, KeyError, RecursionError):
            raise InvalidInput(
                "keys_file", "is damaged: restore it, or delete it and add keys by `separatrix keys add`"
            ) from None
        return keys

    def add(self, name: str, role: str, limits: Limits = Limits()) -> str:  # noqa: B008
        """Adds a key, and returns it. It cannot be recovered later.

        Raises:
            InvalidInput: the name is taken or not allowed, there is no such role, a limit is out of bounds, there are
                too many keys, or the file is damaged.
            OSError: it cannot be read or written.
        """
        if not NAME.fullmatch(name):
            raise InvalidInput("name", "must be 1 to 63 letters, digits and . _ @ -, beginning with a letter or digit")
        if role not in ROLES:
            raise InvalidInput("role", f"must be one of {', '.join(ROLES)}")
        _check_limits(limits)
        with self._locked():
            keys = self.read() or []
            if any(key.name == name for key in keys):
                raise InvalidInput("name", "has a key already; revoke it first, or choose another name")
            if len(keys) >= MAX_KEYS:
                raise InvalidInput("name", f"cannot be added: there are {MAX_KEYS:,} keys already; revoke some first")
            secret = PREFIX + secrets.token_urlsafe(KEY_BYTES)
            created_at = datetime.now(UTC).isoformat("T", "seconds")
            self._write([*keys, Key(name, role, digest_of(secret.encode()), created_at, *limits)])
        return secret

    def revoke(self, name: str) -> list[Key]:
        """Removes a key, and returns the others.

        Raises:
            InvalidInput: there is no key of this name, or the file is damaged.
            OSError: it cannot be read or written.
        """
        if not self.path.exists():
            raise InvalidInput("name", "is not the name of a key; `separatrix keys list` lists them")
        with self._locked():
            keys = self.read() or []
            left = [key for key in keys if key.name != name]
            if len(left) == len(keys):
                raise InvalidInput("name", "is not the name of a key; `separatrix keys list` lists them")
            self._write(left)
        return left

    def _write(self, keys: list[Key]) -> None:
        with outputs.new_file(self.path, mode=outputs.PRIVATE) as file:
            os.fchmod(file.fileno(), outputs.PRIVATE)  # even if the file had another mode
            shown = [{field: value for field, value in asdict(key).items() if value is not None} for key in keys]
            file.write(json.dumps({"keys": shown}, indent=1).encode() + b"\n")

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Keeps other processes from changing the file between reading and writing. Creates its folder if missing."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.with_name(f"{self.path.name}.lock").open("wb") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield


def digest_of(secret: bytes) -> str:
    """What the file has in place of a key."""
    return hashlib.sha256(secret).hexdigest()


def matching(secret: bytes, keys: Mapping[str, Key]) -> Key | None:
    """Returns the key with this secret; None if no key has it. `keys` maps digests to keys.

    The lookup is safe against timing attacks: an attacker cannot choose the digest of a guess, and `compare_digest`
    takes constant time.
    """
    digest = digest_of(secret)
    found = keys.get(digest)
    return found if found is not None and hmac.compare_digest(found.digest, digest) else None


def _check_limits(limits: Limits) -> None:
    for field, limit in limits._asdict().items():
        least = MIN_RATE if field == "rate" else 1
        if limit is None or least <= limit <= MAX_LIMIT:
            continue
        if field == "queued":
            raise InvalidInput(field, f"must be between {least} and {MAX_LIMIT:,}")
        if limit != 0:
            raise InvalidInput(field, f"must be between {least:g} and {MAX_LIMIT:,}, or 0, which sets no limit")


def _is_valid(key: Key) -> bool:
    texts = (key.name, key.role, key.digest, key.created_at)
    if not all(isinstance(one, str) for one in texts):
        return False
    if not (_is_limit(key.rate, int | float) and _is_limit(key.concurrency, int) and _is_limit(key.queued, int)):
        return False
    return bool(NAME.fullmatch(key.name) and key.role in ROLES and re.fullmatch("[0-9a-f]{64}", key.digest))


def _is_limit(value: Any, kind: Any) -> bool:
    return value is None or (isinstance(value, kind) and not isinstance(value, bool) and 0 <= value <= MAX_LIMIT)

"""`separatrix keys`: the API keys of a service."""

import sys

from rich.table import Table

from service.access.keys import KeyFile, Limits
from service.commands.terminal import plain_console
from service.settings import Settings


def add(settings: Settings, *, name: str, role: str, limits: Limits) -> None:
    """Adds a key and prints it alone on standard output, so that a script can take it.

    Raises:
        InvalidInput: the name is taken or not allowed, there is no such role, a limit is out of bounds, or the file is
            damaged.
        OSError: the file cannot be read or written.
    """
    print(KeyFile(settings.keys_path).add(name, role, limits))
    print("This is the only time that the key is shown.", file=sys.stderr)


def list_all(settings: Settings) -> None:
    """Prints the keys in the order in which they were added, without the keys themselves.

    Raises:
        InvalidInput: the file is damaged.
        OSError: the file cannot be read.
    """
    table = Table("name", "role", "added", "requests a second", "at once", "queued jobs", box=None)
    defaults = settings.max_requests_per_s, settings.max_requests_at_once, settings.max_queued_jobs_per_key
    for key in KeyFile(settings.keys_path).read() or []:
        limits = [_shown(*both) for both in zip((key.rate, key.concurrency, key.queued), defaults, strict=True)]
        table.add_row(key.name, key.role, key.created_at, *limits)
    plain_console().print(table)


def _shown(limit: float | None, default: float) -> str:
    """A limit of a key; if it has none, the limit of the settings in parentheses."""
    if limit is None:
        return f"({_shown(default, default)})"
    return f"{limit:g}" if limit else "no limit"


def revoke(settings: Settings, *, name: str) -> None:
    """Removes a key.

    Raises:
        InvalidInput: there is no key of this name, or the file is damaged.
        OSError: the file cannot be read or written.
    """
    left = KeyFile(settings.keys_path).revoke(name)
    print(f"Revoked {name}. Running services refuse it within a second.")
    if not left:
        print(f"No key is left, so they refuse everything. To need no keys: stop them and delete {settings.keys_path}.")

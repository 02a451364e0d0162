"""The commands of the README."""

import re
import shlex
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple, Self
from urllib.parse import parse_qsl, urlsplit

README = (Path(__file__).parent.parent / "README.md").read_text()

ADDRESS = "http://127.0.0.1:8000"


class Request(NamedTuple):
    """A request that the README makes with curl."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: str | None

    @classmethod
    def of(cls, command: str) -> Self:
        """The request of a command."""
        arguments = shlex.split(command.replace("\\\n", " "))
        url = urlsplit(next(argument for argument in arguments if argument.startswith(ADDRESS)))
        options = list(pairwise(arguments))
        body = next((value for flag, value in options if flag == "-d"), None)
        return cls(
            method="GET" if body is None else "POST",
            path=url.path,
            query=dict(parse_qsl(url.query, strict_parsing=bool(url.query))),
            headers=dict(value.split(": ") for flag, value in options if flag == "-H"),
            body=body,
        )


def requests() -> list[Request]:
    """The requests of all curl commands, without those that use a variable of the shell."""
    found = [Request.of(command) for command in re.findall(r"^    (curl (?:.*\\\n)*.*)$", README, re.MULTILINE)]
    assert len(found) >= 9
    return found


def separatrix_commands() -> list[list[str]]:
    """The arguments of all `separatrix` commands."""
    found = [shlex.split(command) for command in re.findall(r"^    separatrix (.*)$", README, re.MULTILINE)]
    assert len(found) >= 9
    return found

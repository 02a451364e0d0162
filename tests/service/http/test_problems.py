"""Responses to errors."""

import gc
from collections.abc import Iterator
from weakref import ref

import pytest

from models.specs import InvalidInput
from service.http import problems


class Body:
    """Stands for the large body of a request."""


@pytest.fixture
def no_garbage_collector() -> Iterator[None]:
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


@pytest.mark.usefixtures("no_garbage_collector")
def test_the_response_to_an_error_releases_the_variables_of_its_calls() -> None:
    """Some libraries keep an error in a variable of a call that it ended, so that the two refer to each other."""

    def refuse() -> None:
        body = Body()
        bodies.append(ref(body))
        try:
            raise InvalidInput("points", "must be fewer")
        except InvalidInput as error:
            kept = error
        raise kept

    bodies: list[ref[Body]] = []
    try:
        refuse()
    except InvalidInput as error:
        problems.response(error, "/predict")
    assert bodies[0]() is None

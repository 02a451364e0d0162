"""Request bodies that are tables: the errors of their reader, and the media type of CSV."""

from collections.abc import Iterator
from contextlib import contextmanager

from models.specs import InvalidInput
from service.api.table_query import TableQuery
from service.http.problems import InvalidParameter

MEDIA_TYPE = "text/csv"

BODY = "body"
"""How the messages of the reader name a body."""


@contextmanager
def table_errors() -> Iterator[None]:
    """Raises each error of the reader as one of a query parameter, or of the body with the place in its text.

    Raises:
        InvalidInput: as `service.tables` raises it, with a field of the request.
    """
    try:
        yield
    except InvalidInput as error:
        field = error.field.removeprefix("data.")
        if field in TableQuery.model_fields:
            raise InvalidParameter(field, error.reason) from None
        raise InvalidInput(BODY, error.reason if field == BODY else f"{field}: {error.reason}") from None

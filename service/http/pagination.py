"""The page object of every list of the API, and its query parameter `limit`."""

from typing import Annotated, Generic, Literal, Self, TypeVar

from fastapi import Query
from pydantic import BaseModel, Field

Item = TypeVar("Item", bound=BaseModel)

Limit = Annotated[int, Query(ge=1, le=100, description="Maximum number of items of the page.")]


class Page(BaseModel, Generic[Item]):
    """One page of a list."""

    object: Literal["list"] = "list"
    data: list[Item] = Field(description="The items, in the order of the list.")
    has_more: bool = Field(description="Whether there is a next page; request it with `after` set to `last_id`.")
    first_id: str | None = Field(description="The id of the first item; null if the page is empty.")
    last_id: str | None = Field(description="The id of the last item; null if the page is empty.")

    @classmethod
    def of(cls, items: dict[str, Item], *, has_more: bool) -> Self:
        """A page of items by id, in list order."""
        ids = list(items)
        return cls(
            data=list(items.values()),
            has_more=has_more,
            first_id=ids[0] if ids else None,
            last_id=ids[-1] if ids else None,
        )

"""Lists in messages."""

from collections.abc import Iterable

MAX_LISTED = 20
"""Maximum number of names in a message. More would fill a screen."""


def listed(names: Iterable[object], most: int = MAX_LISTED) -> str:
    """Returns names separated by commas: of many, the first ones and how many more there are."""
    texts = [*map(str, names)]
    more = f" and {len(texts) - most:,} more" if len(texts) > most else ""
    return ", ".join(texts[:most]) + more

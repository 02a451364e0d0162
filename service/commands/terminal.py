"""The console that commands print to."""

from rich.console import Console


def plain_console(*, stderr: bool = False) -> Console:
    """A console that prints every text as it is.

    Names, classes and warnings come from files and clients: `[b]` in a label is no markup, and `:cat:` is no picture.
    """
    return Console(stderr=stderr, markup=False, emoji=False, highlight=False)

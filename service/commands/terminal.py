"""The console that commands print to, and their progress bars."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import Progress


def plain_console(*, stderr: bool = False) -> Console:
    """A console that prints every text as it is.

    Names, classes and warnings come from files and clients: `[b]` in a label is no markup, and `:cat:` is no picture.
    """
    return Console(stderr=stderr, markup=False, emoji=False, highlight=False)


@contextmanager
def progress_bar(what: str) -> Iterator[Callable[[int, int], None]]:
    """A progress bar on a terminal, which disappears at the end. Call the result with what is done and the total."""
    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task(what)
        yield lambda done, total: bar.update(task, completed=done, total=total)

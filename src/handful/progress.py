"""A progress bar on stderr, where somebody watches."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Literal

Shown = bool | Literal["auto"]

_WORTH_A_BAR = 32  # pictures; fewer are done before one has read it


@contextmanager
def progress_bar(what: str, total: int, shown: Shown = "auto") -> Iterator[Callable[[int], None] | None]:
    """Gives a function that is told the number done so far, or None where no bar is shown.

    shown : "auto" shows one in a terminal or notebook, for work that takes a while; it is gone afterwards.
        True shows one in any case; in a file, only its last state.
    """
    if shown is False or (shown == "auto" and total < _WORTH_A_BAR):
        yield None
        return
    # Here, because importing Handful shall be instant.
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    console = Console(stderr=True)
    live = console.is_terminal or console.is_jupyter
    if shown == "auto" and not live:
        yield None
        return
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    with Progress(*columns, console=console, transient=live) as bar:
        task = bar.add_task(what, total=total)

        def told(done: int) -> None:
            bar.update(task, completed=done)

        yield told

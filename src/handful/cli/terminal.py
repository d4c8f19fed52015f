"""Talking to people and programs: answers on stdout, talk on stderr, questions to a terminal only."""

import json
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import typer


def answer_json(answer: Any) -> None:  # Any: JSON
    """Print an answer for a program."""
    sys.stdout.write(json.dumps(answer, ensure_ascii=False, indent=2 if sys.stdout.isatty() else None) + "\n")


def answer_table(header: Sequence[str], rows: Sequence[Sequence[str]], *, right: Sequence[int] = ()) -> None:
    """Print rows: a table on a terminal, tab-separated lines with a header elsewhere.

    right : columns of numbers.
    """
    if not sys.stdout.isatty():
        for row in (header, *rows):
            typer.echo("\t".join(" ".join(cell.split()) for cell in row))
        return
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for place, name in enumerate(header):
        table.add_column(
            Text(name), justify="right" if place in right else "left", overflow="fold", no_wrap=place in right
        )
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))  # Text: nothing in it is markup
    Console(highlight=False).print(table)


def say(text: str, *, style: str = "dim") -> None:
    """Tell people something, on stderr; in colour on a terminal unless NO_COLOR is set."""
    from rich.console import Console
    from rich.text import Text

    console = Console(stderr=True, highlight=False, soft_wrap=True)
    console.print(Text(text, style=style if console.is_terminal else ""))


def confirm(question: str, *, yes: bool, otherwise: str) -> None:
    """Ask before something is lost. Without a terminal to ask, `yes` must have been given.

    otherwise : what to do instead, for the error.    Ends the command with 1 for a no, 2 where nobody is
    there.
    """
    if yes:
        return
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise typer.BadParameter(f"{question} Pass --yes to agree, or {otherwise}.")
    if not typer.confirm(question, err=True):
        raise typer.Exit(1)


@contextmanager
def progress(what: str) -> Iterator[Callable[[int, int], None] | None]:
    """A bar on stderr, told how many of how many are done; None where nobody watches."""
    if not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(what, total=None)

        def told(done: int, total: int) -> None:
            bar.update(task, completed=done, total=total)

        yield told

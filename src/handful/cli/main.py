"""The command's trunk: what every command has in common."""

import sys
from collections.abc import Sequence
from typing import Annotated, Any

import typer
from pydantic import ValidationError
from typer.core import TyperGroup

from handful import __version__
from handful.cli import about, ask, backup, evaluation, teach
from handful.cli.demo import demo
from handful.cli.encoders import app as encoders
from handful.cli.keys import app as keys
from handful.cli.serve import serve
from handful.cli.store import app as store
from handful.cli.store import gc
from handful.cli.terminal import say
from handful.cli.worker import worker
from handful.errors import HandfulError
from handful.settings import Settings

_FAILED, _MISUSED, _STOPPED = 1, 2, 130  # 130: as shells have it for Ctrl-C
_DEBUG = "--debug"


class Commands(TyperGroup):
    """All commands: one-line errors, `--debug` wherever it stands, a quiet end on Ctrl-C."""

    def main(self, args: Sequence[str] | None = None, **extra: Any) -> Any:  # type: ignore[override] # Any: typer's
        """Run a command and leave; what it raises becomes one line and an exit code."""
        given = list(sys.argv[1:] if args is None else args)
        end = given.index("--") if "--" in given else len(given)
        debug = _DEBUG in given[:end]
        given = [text for place, text in enumerate(given) if text != _DEBUG or place >= end]
        try:
            code = super().main(given, **{**extra, "standalone_mode": False}) or 0
        except typer.Abort:
            code = _STOPPED
        except Exception as exc:  # the one place where nothing is left to catch it
            if debug:
                raise
            code = _explained(exc)
        if code == _STOPPED:
            say("handful: stopped")
        sys.exit(code)


def _explained(exc: Exception) -> int:
    """Say what went wrong in a line, and give the exit code."""
    code = getattr(exc, "exit_code", None)
    if isinstance(code, int):  # misuse, as typer found it
        context = getattr(exc, "ctx", None)
        if type(exc).__name__ == "NoArgsIsHelpError":
            exc.show()  # type: ignore[attr-defined] # the help itself
            return code
        where = "handful" if context is None else context.command_path
        said = exc.format_message()  # type: ignore[attr-defined] # of typer's errors with an exit code
        _complain(f"{said.removeprefix('Invalid value: ').rstrip('.')} (see {where} --help)")
        return code
    if isinstance(exc, OSError) and not isinstance(exc, HandfulError):
        where = f"{exc.filename}: " if exc.filename else ""
        _complain(f"{where}{exc.strerror or exc}; check the path and its permissions")
    elif isinstance(exc, HandfulError):
        _complain(str(exc))
    elif isinstance(exc, ValidationError) and exc.title == Settings.__name__:
        wrong = exc.errors()[0]
        name = "_".join(["HANDFUL", *(str(part) for part in wrong["loc"][:1])]).upper()
        _complain(f"{name} is {wrong['input']!r}: {wrong['msg']}; set it to something else, or unset it")
        return _MISUSED
    else:
        _complain(
            f"unexpected {type(exc).__name__}: {exc}. This is a bug in Handful: "
            "run it again with --debug, and report what it prints"
        )
    return _FAILED


def _complain(reason: str) -> None:
    say(f"handful: {' '.join(reason.split())}", style="red")


app = typer.Typer(
    cls=Commands,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Answers go to standard output, all else to standard error. "
    "Exit codes: 0 done, 1 failed, 2 misused.",
)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"handful {__version__}")
        raise typer.Exit


@app.callback()
def handful(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
    debug: Annotated[
        bool, typer.Option("--debug", help="Print tracebacks; may stand anywhere in the command.")
    ] = False,
) -> None:
    """Teach an image classifier with a handful of pictures, and ask it."""


for command in (teach.fit, ask.classify, ask.zero_shot, teach.add, teach.remove, evaluation.evaluate):
    app.command(no_args_is_help=True)(command)
app.command()(serve)
app.command()(worker)
app.add_typer(keys, name="keys")
app.command(no_args_is_help=True)(backup.backup)
app.command(no_args_is_help=True)(backup.restore)
app.add_typer(store, name="store")
app.command()(gc)
app.add_typer(encoders, name="encoders")
app.command(no_args_is_help=True)(about.info)
app.command()(about.doctor)
app.command()(demo)

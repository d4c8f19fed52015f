"""Progress, to those who watch."""

import sys
from io import StringIO

import pytest

from handful.cli.terminal import progress


class Terminal(StringIO):
    def isatty(self):
        return True


def test_nobody_watching_gets_no_bar(monkeypatch):
    monkeypatch.setattr(sys, "stderr", StringIO())
    with progress("Teaching") as told:
        assert told is None
    assert sys.stderr.getvalue() == ""


@pytest.mark.parametrize("colour", [True, False])
def test_on_a_terminal_a_bar_counts_and_goes(monkeypatch, colour):
    if not colour:
        monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setattr(sys, "stderr", Terminal())
    with progress("Teaching") as told:
        told(3, 7)
    shown = sys.stderr.getvalue()
    assert "Teaching" in shown
    assert "3/7" in shown
    assert ("\x1b[38;5" in shown or "\x1b[3" in shown) == colour
    assert shown.endswith("\x1b[2K")

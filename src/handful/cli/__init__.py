"""The command `handful`. Nothing heavy is imported before a command runs, so that help is instant."""

from handful.cli.main import app

__all__ = ["app"]

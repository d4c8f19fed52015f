"""The command as people and programs run it."""

import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from handful.cli import app


@pytest.fixture(scope="session")
def run() -> Callable[..., Result]:
    """Run `handful …`; standard output and error come apart, and neither is a terminal."""

    def command(*arguments: object, stdin: bytes | None = None) -> Result:
        return CliRunner().invoke(app, [str(part) for part in arguments], input=stdin)

    return command


@pytest.fixture
def on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Make the named streams of the command look like a terminal."""

    def pretend(*names: str) -> None:
        real = CliRunner.isolation

        def isolation(self: CliRunner, *args: object, **kwargs: object) -> object:
            manager = real(self, *args, **kwargs)
            enter = manager.__enter__

            class Pretended:
                def __enter__(self) -> object:
                    streams = enter()
                    for name in names:
                        getattr(sys, name).isatty = lambda: True
                    return streams

                def __exit__(self, *exc: object) -> object:
                    return manager.__exit__(*exc)

            return Pretended()

        monkeypatch.setattr(CliRunner, "isolation", isolation)

    return pretend


@pytest.fixture(scope="session")
def waste(tmp_path_factory: pytest.TempPathFactory, trashnet: Path) -> Path:
    """A folder of three classes with five photos each."""
    root = tmp_path_factory.mktemp("data") / "waste"
    for name in ("cardboard", "glass", "metal"):
        (root / name).mkdir(parents=True)
        for number in range(5):
            shutil.copy(trashnet / name / f"{number:03}.jpg", root / name)
    return root


@pytest.fixture(scope="session")
def saved(tmp_path_factory: pytest.TempPathFactory, run: Callable[..., Result], waste: Path) -> Path:
    """A classifier of `waste`, as `handful fit` saves it."""
    model = tmp_path_factory.mktemp("models") / "waste.model"
    result = run("fit", waste, "-o", model, "--method", "prototype")
    assert result.exit_code == 0, result.stderr
    return model


@pytest.fixture
def model(tmp_path: Path, saved: Path) -> Path:
    """A copy of it, to be changed."""
    return Path(shutil.copytree(saved, tmp_path / "waste.model"))

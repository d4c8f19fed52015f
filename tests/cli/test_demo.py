"""demo: the program that the image and a clone have."""

from pathlib import Path

import pytest

from handful.cli import demo


def test_the_demo_is_the_example_of_this_clone() -> None:
    homes = [home for home in demo._HOMES if (home / demo._PROGRAM).exists()]
    assert homes == [Path(__file__).parents[2]]


def test_the_demo_writes_the_report_that_is_named_and_ends_as_its_program_does(
    run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "examples" / "demo.py"
    program.parent.mkdir()
    program.write_text("import sys, pathlib; pathlib.Path(sys.argv[1]).write_text('<p>'); sys.exit(3)")
    monkeypatch.setattr(demo, "_HOMES", (tmp_path / "nothing", tmp_path))
    assert run("demo", tmp_path / "report.html").exit_code == 3
    assert (tmp_path / "report.html").read_text() == "<p>"


def test_an_install_without_the_photos_says_where_they_are(
    run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(demo, "_HOMES", (tmp_path,))
    result = run("demo")
    assert result.exit_code == 1
    assert "`make demo` in a clone" in result.stderr

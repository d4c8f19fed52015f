"""What the project says of itself: the README runs, the extras exist, wheels were found for each Python."""

import json
import os
import re
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from importlib.metadata import metadata
from itertools import chain
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.tags import Tag, compatible_tags, cpython_tags
from packaging.utils import canonicalize_name, parse_wheel_filename

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text("utf-8")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
WHEELS: dict[str, list[str]] = json.loads((ROOT / "tests" / "data" / "wheels.json").read_text("utf-8"))
MACHINES = ["x86_64", "aarch64"]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
_POINTS = 4  # that a probability may differ on another machine


def blocks(language: str) -> list[str]:
    """The README's code blocks of a language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", README, re.DOTALL | re.MULTILINE)


def run(command: list[str], folder: Path) -> subprocess.CompletedProcess[str]:
    """A command in a folder that has the examples, with this environment's programs."""
    if not (folder / "examples").exists():
        (folder / "examples").symlink_to(ROOT / "examples")
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    return subprocess.run(
        command, cwd=folder, env={**os.environ, "PATH": path}, capture_output=True, text=True, check=False
    )


def test_the_readme_prints_what_it_says(tmp_path: Path) -> None:
    (code,), (promised,) = blocks("python"), blocks("text")
    done = run([sys.executable, "-W", "error", "-c", code], tmp_path)
    assert done.returncode == 0, done.stderr
    said = [line.rstrip() for line in done.stdout.splitlines()]
    number = re.compile(r"\b(\d+)%")
    assert [number.sub("N%", line) for line in said] == [
        number.sub("N%", line) for line in promised.splitlines()
    ]
    for one, other in zip(number.findall(done.stdout), number.findall(promised), strict=True):
        assert abs(int(one) - int(other)) <= _POINTS


def test_the_commands_of_the_readme_run_one_after_another(tmp_path: Path) -> None:
    (block,) = blocks("sh")
    commands = [shlex.split(line, comments=True) for line in block.splitlines()]
    assert len(commands) >= 4
    for command in commands:
        done = run(command, tmp_path)
        assert done.returncode == 0, f"{shlex.join(command)}: {done.stderr}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_between_pages_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text("utf-8")):
        if "://" not in target:
            assert (page.parent / target.partition("#")[0]).exists(), target


def test_make_targets_that_pages_name_exist() -> None:
    said = subprocess.run(["make", "help"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    targets = set(re.findall(r"^  make ([a-z-]+)", said, re.MULTILINE))
    named = set(
        chain.from_iterable(
            re.findall(r"(?:^ {4}|`)make ([a-z-]+)", page.read_text("utf-8"), re.MULTILINE) for page in PAGES
        )
    )
    assert {"setup", "demo", "test", "lint", "bench"} <= targets
    assert named <= targets


def test_every_extra_that_the_code_names_is_one_of_the_package() -> None:
    code = "\n".join(path.read_text("utf-8") for path in (ROOT / "src").rglob("*.py"))
    named = set(re.findall(r"handful\[([a-z]+)\]", code))
    named |= set(re.findall(r"MissingExtraError\(.*\"([a-z]+)\"\)", code))
    assert named >= {"heic", "eval"}
    assert named <= set(metadata("handful").get_all("Provides-Extra") or ())


@pytest.mark.parametrize("machine", MACHINES)
@pytest.mark.parametrize("python", ["3.11", "3.12", "3.13", "3.14"])
def test_wheels_were_found_for_each_python_and_machine(python: str, machine: str) -> None:
    """`make check-wheels` asked the index; what it was given has to fit, and to be what is required now."""
    fitting = frozenset(tags(python, machine))
    found = {}
    for name in WHEELS[f"{python} {machine}"]:
        project, version, _, wheel_tags = parse_wheel_filename(name)
        assert wheel_tags & fitting, name
        found[project] = version
    optional = PROJECT["optional-dependencies"]
    for text in [*PROJECT["dependencies"], *optional["heic"], *optional["eval"]]:
        required = Requirement(text)
        assert found[canonicalize_name(required.name)] in required.specifier, text


def tags(python: str, machine: str) -> Iterator[Tag]:
    """What a Python on a machine with glibc 2.28 takes."""
    version = tuple(map(int, python.split(".")))
    platforms = [f"manylinux_2_{minor}_{machine}" for minor in range(28, 16, -1)]
    platforms += [f"manylinux2014_{machine}", f"linux_{machine}"]
    yield from cpython_tags(version, platforms=platforms)
    yield from compatible_tags(version, platforms=platforms)


def test_each_python_that_is_promised_was_asked_for() -> None:
    promised = [
        text.rpartition(" ")[2] for text in PROJECT["classifiers"] if re.search(r"Python :: 3\.\d+$", text)
    ]
    assert sorted(WHEELS) == sorted(f"{python} {machine}" for python in promised for machine in MACHINES)

"""Containerfile and .containerignore, as far as they can be judged without a build."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "Containerfile").read_text("utf-8")
LINES = [line for line in re.sub(r"\\\n\s*", " ", TEXT).splitlines() if line and not line.startswith("#")]
STAGES = "\n".join(LINES).split("\nFROM ")[1:]
RUNS = STAGES[-1].splitlines()[1:]  # what the last stage does


def arguments(word: str, lines: list[str]) -> list[str]:
    """What follows an instruction, each time it is given."""
    return [line.partition(" ")[2] for line in lines if line.partition(" ")[0] == word]


def test_the_linter_of_containerfiles_finds_nothing() -> None:
    linter = Path(sys.executable).with_name("hadolint")
    done = subprocess.run([linter, ROOT / "Containerfile"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, ""), done.stdout


def test_every_stage_is_made_from_the_base_that_is_asked_for() -> None:
    assert LINES[0].startswith("ARG BASE=")
    named: set[str] = set()
    for stage in STAGES:
        base, _, name = stage.splitlines()[0].partition(" AS ")
        assert base == "${BASE}" or base in named
        named.add(name)


def test_it_runs_as_a_user_that_is_a_number_and_is_not_root() -> None:
    (user,) = arguments("USER", RUNS)
    assert re.fullmatch(r"[1-9]\d{3,}:[1-9]\d{3,}", user)


def test_it_starts_handful_without_a_shell() -> None:
    assert [json.loads(text) for text in arguments("ENTRYPOINT", RUNS)] == [["handful"]]
    assert [json.loads(text) for text in arguments("CMD", RUNS)] == [["serve"]]


def test_its_health_is_asked_by_a_program_that_is_in_it() -> None:
    (asked,) = arguments("HEALTHCHECK", RUNS)
    program = json.loads(asked.partition("CMD ")[2])[-1]
    copied = [text.split()[-2:] for text in arguments("COPY", TEXT.splitlines())]
    assert ["deploy/image/healthy.py", "/own/opt/handful/share/handful/"] in copied
    assert program == "/opt/handful/share/handful/healthy.py"


def test_it_says_what_it_is() -> None:
    (labels,) = arguments("LABEL", RUNS)
    named = set(re.findall(r"org\.opencontainers\.image\.([a-z.]+)=", labels))
    assert named >= {"title", "description", "licenses", "version", "revision", "created", "base.name"}


def test_the_last_stage_installs_nothing_and_holds_no_secret() -> None:
    for line in RUNS:
        assert not re.search(r"\bpip\b|apt-get|--mount=type=secret", line), line


@pytest.mark.parametrize("line", [line for line in LINES if line.startswith("COPY") and "--from" not in line])
def test_what_is_copied_is_there_and_not_ignored(line: str) -> None:
    kept = [
        rule.removeprefix("!")
        for rule in (ROOT / ".containerignore").read_text("utf-8").splitlines()
        if rule.startswith("!")
    ]
    for source in line.split()[1:-1]:
        assert (ROOT / source).exists()
        assert any(source == rule or source.startswith(f"{rule}/") for rule in kept), source

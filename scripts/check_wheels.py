"""Ask the package index whether Handful installs from wheels alone, without a compiler, wherever it should.

    python scripts/check_wheels.py

Prints one line for each Python and machine, with what would be installed; exits with 1 if any cannot.
"""

import subprocess
import sys
import tempfile
import tomllib
from itertools import product
from pathlib import Path

PYPROJECT = Path(__file__).parents[1] / "pyproject.toml"
PYTHONS = ["3.11", "3.12", "3.13", "3.14"]
MACHINES = ["x86_64", "aarch64"]
EXTRAS = ["heic", "eval"]


def required() -> list[str]:
    """What a user installs: the plain dependencies, and the extras for users."""
    project = tomllib.loads(PYPROJECT.read_text("utf-8"))["project"]
    optional = project["optional-dependencies"]
    return [*project["dependencies"], *(name for extra in EXTRAS for name in optional[extra])]


def resolve(python: str, machine: str) -> subprocess.CompletedProcess[str]:
    """pip's answer, as if it ran on that Python and machine."""
    platforms = [f"--platform=manylinux_2_{glibc}_{machine}" for glibc in (17, 27, 28)]
    with tempfile.TemporaryDirectory() as nowhere:
        command = [sys.executable, "-m", "pip", "install", "--dry-run", "--quiet", "--ignore-installed"]
        command += ["--only-binary=:all:", f"--python-version={python}", "--implementation=cp"]
        command += [*platforms, f"--platform=manylinux2014_{machine}", f"--target={nowhere}", "--report=-"]
        return subprocess.run([*command, *required()], capture_output=True, text=True, check=False)


def main() -> None:
    import json

    failed = False
    for python, machine in product(PYTHONS, MACHINES):
        done = resolve(python, machine)
        if done.returncode:
            failed = True
            print(f"Python {python}, {machine}: NO\n{done.stderr}")
            continue
        found = sorted(
            f"{item['metadata']['name']} {item['metadata']['version']}"
            for item in json.loads(done.stdout)["install"]
        )
        print(f"Python {python}, {machine}: {len(found)} wheels ({', '.join(found)})")
    sys.exit(failed)


if __name__ == "__main__":
    main()

"""Ask the package index whether Handful installs from wheels alone, without a compiler, wherever it should.

    python scripts/check_wheels.py

Writes what was found to tests/data/wheels.json, which a test reads offline; exits with 1 if any is missing.
"""

import json
import subprocess
import sys
import tempfile
import tomllib
from itertools import product
from pathlib import Path
from urllib.parse import unquote, urlsplit

ROOT = Path(__file__).parents[1]
FOUND = ROOT / "tests" / "data" / "wheels.json"
PYTHONS = ["3.11", "3.12", "3.13", "3.14"]
MACHINES = ["x86_64", "aarch64"]
EXTRAS = ["heic", "eval", "otel"]  # those for users
_GLIBC = [17, 24, 26, 27, 28]  # minor versions of glibc 2 that Debian 10 and RHEL 8, the oldest meant, have


def required() -> list[str]:
    """What a user installs: the plain dependencies, and the extras for users."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    optional = project["optional-dependencies"]
    return [*project["dependencies"], *(name for extra in EXTRAS for name in optional[extra])]


def resolve(python: str, machine: str) -> list[str] | None:
    """File names of the wheels pip would take on that Python and machine; None where it cannot."""
    with tempfile.TemporaryDirectory() as nowhere:
        command = [sys.executable, "-m", "pip", "install", "--dry-run", "--quiet", "--ignore-installed"]
        command += ["--only-binary=:all:", f"--python-version={python}", "--implementation=cp"]
        command += [f"--platform=manylinux_2_{minor}_{machine}" for minor in _GLIBC]
        command += [f"--platform=manylinux2014_{machine}", f"--target={nowhere}", "--report=-"]
        done = subprocess.run([*command, *required()], capture_output=True, text=True, check=False)
    if done.returncode:
        print(done.stderr, file=sys.stderr)
        return None
    addresses = [item["download_info"]["url"] for item in json.loads(done.stdout)["install"]]
    return sorted(unquote(Path(urlsplit(address).path).name) for address in addresses)


def main() -> None:
    found = {}
    for python, machine in product(PYTHONS, MACHINES):
        wheels = resolve(python, machine)
        print(f"Python {python}, {machine}: {'NO' if wheels is None else f'{len(wheels)} wheels'}")
        found[f"{python} {machine}"] = wheels
    if None in found.values():
        sys.exit(1)
    FOUND.parent.mkdir(exist_ok=True)
    FOUND.write_text(json.dumps(found, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main()

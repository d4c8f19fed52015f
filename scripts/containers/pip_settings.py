"""How pip is configured here, for the pip of a build: where it finds packages is nobody else's business."""

import shlex
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import unquote, urlsplit

# What says where packages come from; all else would make an image depend on who builds it.
_WANTED = {
    "index-url",
    "extra-index-url",
    "find-links",
    "constraint",
    "cert",
    "client-cert",
    "proxy",
    "retries",
    "timeout",
    "trusted-host",
}
_SECTIONS = "global", "install", ":env:"  # each overrides those before


def pip_settings() -> dict[str, str]:
    """The options of this machine's pip that say where packages come from; none where there is no pip."""
    command = [sys.executable, "-m", "pip", "config", "list"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return parsed(done.stdout) if done.returncode == 0 else {}


def parsed(listing: str) -> dict[str, str]:
    """From what `pip config list` prints.

    >>> parsed("global.timeout='10'\\n:env:.timeout='180'\\nglobal.quiet='1'")
    {'timeout': '180'}
    """
    found: dict[str, str] = {}
    lines = [line.partition("=") for line in listing.splitlines()]
    for section in _SECTIONS:
        for key, _, value in lines:
            name = key.removeprefix(f"{section}.")
            if key != name and name in _WANTED:
                found[name] = " ".join(shlex.split(value.replace("\\n", " ")))
    return found


def as_file(settings: Mapping[str, str]) -> str:
    """As a pip.conf.

    >>> as_file({"timeout": "180"})
    '[global]\\ntimeout = 180\\n'
    """
    return "\n".join(["[global]", *(f"{name} = {value}" for name, value in settings.items()), ""])


def local_paths(settings: Mapping[str, str]) -> list[Path]:
    """Files and folders of this machine that the settings name; of an index, with the files beside it."""
    found = set()
    for name, value in settings.items():
        for word in value.split():
            if word.startswith(("/", "file://")):
                path = Path(unquote(urlsplit(word).path))
                found.add(path.parent if name.endswith("index-url") else path)
    return sorted(path for path in found if path.exists())

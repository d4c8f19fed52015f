"""What builds images: Docker, Podman or Buildah, whichever works here. Raises SystemExit where none does."""

import json
import re
import shlex
import shutil
import subprocess
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

_PROBES = {  # commands that fail where an engine is there, and cannot work
    "docker": ("docker", "buildx", "ls"),
    "podman": ("podman", "info"),
    "buildah": ("buildah", "info"),
}
_UNITS = {"B": 1, "kB": 1e3, "KB": 1e3, "MB": 1e6, "GB": 1e9}


def engine(wanted: str | None = None) -> "Engine":
    """The first engine that works, or the one that is wanted; as root on Debian, Buildah is installed."""
    for name in [wanted] if wanted else _PROBES:
        if name not in _PROBES:
            raise SystemExit(f"no engine is called {name!r}; use {', '.join(_PROBES)}")
        if works(_PROBES[name]):
            return Buildah() if name == "buildah" else Engine(name)
    if wanted is None:
        subprocess.run(["sh", str(Path(__file__).parents[1] / "debian.sh"), "buildah", "buildah"], check=True)
        if works(_PROBES["buildah"]):
            return Buildah()
    raise SystemExit(f"{wanted or 'none of ' + ', '.join(_PROBES)} works here; install or start one")


def works(command: Iterable[str]) -> bool:
    """Whether a command is there and succeeds."""
    first, *rest = command
    if shutil.which(first) is None:
        return False
    return subprocess.run([first, *rest], capture_output=True, check=False).returncode == 0


def run(*command: str) -> None:
    """Run a command whose talk people may read. Raises SystemExit where it fails."""
    done = subprocess.run(command, check=False)
    if done.returncode != 0:
        raise SystemExit(f"failed with {done.returncode}, and said why above: {shlex.join(command)}")


def told(*command: str) -> str:
    """What a command prints. Raises SystemExit where it fails."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise SystemExit(f"failed with {done.returncode}: {shlex.join(command)}\n{done.stderr.strip()}")
    return done.stdout.strip()


@dataclass
class Engine:
    """Docker or Podman."""

    name: str

    def has(self, image: str) -> bool:
        """Whether an image is here."""
        return works((self.name, "image", "inspect", image))

    def fetched(self, image: str) -> bool:
        """Whether an image is here, or comes when asked for."""
        return self.has(image) or works((self.name, "pull", "--quiet", image))

    def import_files(self, archive: Path, image: str) -> None:
        """An image of one layer from a tar archive."""
        run(self.name, "import", str(archive), image)

    def build(
        self,
        folder: Path,
        tags: Iterable[str],
        arguments: Mapping[str, str],
        secrets: Mapping[str, Path],
        volumes: Iterable[Path],
    ) -> None:
        """Build the Containerfile of a folder.

        secrets : files that steps may read, and no layer keeps.    volumes : paths that steps see as they are
        here; Docker has no such thing, and goes without.
        """
        given = [word for tag in tags for word in ("--tag", tag)]
        given += [word for name, value in arguments.items() for word in ("--build-arg", f"{name}={value}")]
        given += [word for id, file in secrets.items() for word in ("--secret", f"id={id},src={file}")]
        if self.name != "docker":
            given += self._without_docker(volumes)
        run(self.name, "build", *given, "--file", str(folder / "Containerfile"), str(folder))

    def _without_docker(self, volumes: Iterable[Path]) -> list[str]:
        # chroot: steps need no namespaces, which many machines refuse. docker: or HEALTHCHECK is dropped.
        given = ["--layers", "--isolation", "chroot", "--network", "host", "--format", "docker"]
        return given + [word for path in volumes for word in ("--volume", f"{path}:{path}:ro")]

    def size(self, image: str) -> float:
        """Bytes of all layers, unpacked."""
        return float(told(self.name, "image", "inspect", "--format", "{{.Size}}", image))

    def copy_out(self, image: str, inside: str, to: Path) -> None:
        """Copy a file of an image."""
        container = told(self.name, "create", image)
        try:
            run(self.name, "cp", f"{container}:{inside}", str(to))
        finally:
            told(self.name, "rm", container)


class Buildah(Engine):
    """Buildah, which builds images and runs nothing."""

    def __init__(self) -> None:
        super().__init__("buildah")

    def has(self, image: str) -> bool:
        return works(("buildah", "inspect", "--type", "image", image))

    def import_files(self, archive: Path, image: str) -> None:
        container = told("buildah", "from", "scratch")
        told("buildah", "add", container, str(archive), "/")
        told("buildah", "commit", "--rm", container, image)

    def size(self, image: str) -> float:
        said = json.loads(told("buildah", "images", "--json", image))[0]["size"]
        number, unit = re.fullmatch(r"([\d.]+)\s*(\w+)", said).groups()  # type: ignore[union-attr] # always so
        return float(number) * _UNITS[unit]

    def copy_out(self, image: str, inside: str, to: Path) -> None:
        container = told("buildah", "from", "--pull-never", image)
        try:
            shutil.copyfile(told("buildah", "mount", container) + inside, to)
        finally:
            told("buildah", "rm", container)

"""What was fetched from a hub: which commit, where it lies, and how large its files are."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from handful.folders import replace_file


@dataclass(frozen=True, slots=True)
class Record:
    """A file of the cache folder that vouches for a folder of a hub's cache."""

    path: Path

    def folder(self) -> Path | None:
        """The folder, if all of its files are still there in full; else None."""
        try:
            said = json.loads(self.path.read_bytes())
            folder = Path(said["folder"])
            whole = all((folder / name).stat().st_size == size for name, size in said["sizes"].items())
        except (OSError, ValueError, LookupError, TypeError, AttributeError):
            return None  # fetching tells what is wrong, and writes this anew
        return folder if whole else None

    def write(self, *, folder: Path, commit: str, sizes: Mapping[str, int]) -> None:
        """Vouch for a folder whose files were checked. sizes : bytes of each."""
        said = {"folder": str(folder), "commit": commit, "sizes": dict(sizes)}
        replace_file(self.path, json.dumps(said, indent=1).encode())


def recorded(cache: Path, repository: str, revision: str | None, precision: str) -> Record:
    """The record of a repository in one state and precision, there or not."""
    state = sha256(f"{repository}@{revision or ''} {precision}".encode()).hexdigest()[:12]
    return Record(cache / "hub" / f"{repository.replace('/', '--')}.{state}.json")

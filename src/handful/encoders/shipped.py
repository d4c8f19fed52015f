"""Files of the builtin encoder, checked against their manifest whenever they are read."""

import json
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from typing import Any, Self

from handful.errors import EncoderError

FOLDER = Path(__file__).parent / "data"
MANIFEST = "manifest.json"


@dataclass(frozen=True, kw_only=True)
class Shipped:
    """A folder with a manifest: numbers of the encoder, and the sha256 of each file."""

    folder: Path
    manifest: dict[str, Any]  # JSON

    @classmethod
    def open(cls, folder: Path = FOLDER) -> Self:
        """Raises EncoderError where the folder holds no manifest."""
        try:
            manifest = json.loads((folder / MANIFEST).read_bytes())
            manifest["files"]  # what is JSON may still be no manifest
        except (OSError, ValueError, LookupError, TypeError) as exc:
            raise EncoderError(f"{folder / MANIFEST} cannot be read ({exc}); install handful again") from exc
        return cls(folder=folder, manifest=manifest)

    def read(self, name: str) -> bytes:
        """Content of a file. Raises EncoderError where it is missing or not what was shipped."""
        path = self.folder / name
        try:
            data = path.read_bytes()
        except OSError as exc:
            raise EncoderError(
                f"{path} of the builtin encoder cannot be read ({exc}); install handful again"
            ) from exc
        if sha256(data).hexdigest() != self.manifest["files"].get(name):
            raise EncoderError(
                f"{path} of the builtin encoder is damaged: its sha256 is not that of {MANIFEST}; "
                "install handful again"
            )
        return data

    @cached_property
    def fingerprint(self) -> str:
        """Digest of everything that changes an embedding; the background does not."""
        files = {name: digest for name, digest in self.manifest["files"].items() if "background" not in name}
        said = json.dumps({**self.manifest, "files": files}, sort_keys=True)
        return sha256(said.encode()).hexdigest()[:16]

"""Backgrounds on disk: the one installed for each encoder, and every one that saved heads may name."""

import re
from collections.abc import Callable
from pathlib import Path

from handful.background import Background
from handful.encoders.base import Encoder, check_alone
from handful.errors import EncoderError, HeadError
from handful.folders import replace_file

FOLDER = "backgrounds"  # in the data folder
_KEPT = "kept"
_NAME = re.compile(
    r"[0-9A-Za-z][0-9A-Za-z._-]{0,99}"
)  # of files; fingerprints also come out of uploaded heads


Installed = Callable[[str, int], Background | None]  # as `Backgrounds.installed`


class Backgrounds:
    """A folder: `<encoder's fingerprint>.safetensors` is installed, `kept/<its own fingerprint>.safetensors`
    is kept, so that heads made with a background that was replaced can still be read.
    """

    def __init__(self, data: Path) -> None:
        self._folder = data / FOLDER
        self._known: set[str] = set()

    def __bool__(self) -> bool:
        """Whether any is installed."""
        return any(self._folder.glob("*.safetensors"))

    def installed(self, encoder: str, dimension: int) -> Background | None:
        """The one installed for the encoder of a fingerprint, D columns wide; None where there is none.

        Raises EncoderError for a file that is none, or of another width.
        """
        path = self._folder / _file(encoder)
        try:
            background = Background.from_bytes(path.read_bytes())
        except FileNotFoundError:
            return None
        except (HeadError, OSError) as exc:
            raise EncoderError(f"{path} cannot be used: {exc}; install one again, or remove it") from exc
        if background.dimension != dimension:
            raise EncoderError(
                f"{path} has {background.dimension} columns, and its encoder {dimension}; install one again, "
                "or remove it"
            )
        return background

    def install(self, encoder: Encoder, background: Background) -> Path:
        """From its next start on a process uses it for the encoder. The one before is kept.

        Raises EncoderError where it is of another width, and for several encoders as one.
        """
        check_alone(encoder)
        if background.dimension != encoder.dimension:
            raise EncoderError(
                f"this background has {background.dimension} columns, and encoder {encoder.name!r} "
                f"{encoder.dimension}"
            )
        for one in (encoder.background, background):
            if one is not None:
                self.keep(one)
        path = self._folder / _file(encoder.fingerprint)
        replace_file(path, background.to_bytes())
        return path

    def keep(self, background: Background) -> None:
        """So that `named` finds it. Raises OSError where it cannot be written."""
        if background.fingerprint in self._known:
            return
        path = self._folder / _KEPT / _file(background.fingerprint)
        if not path.exists():
            replace_file(path, background.to_bytes())
        self._known.add(background.fingerprint)

    def named(self, fingerprint: str) -> Background | None:
        """The one of its own fingerprint; None where it was not kept here, or is damaged."""
        if not _NAME.fullmatch(fingerprint):
            return None
        try:
            background = Background.from_bytes((self._folder / _KEPT / _file(fingerprint)).read_bytes())
        except (HeadError, OSError):
            return None
        return background if background.fingerprint == fingerprint else None


def _file(fingerprint: str) -> str:
    if not _NAME.fullmatch(fingerprint):
        raise EncoderError(f"{fingerprint[:100]!r} is no fingerprint that can name a file")
    return f"{fingerprint}.safetensors"

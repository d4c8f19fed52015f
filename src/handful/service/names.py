"""Names that people give, checked once."""

import unicodedata

from handful.errors import RequestError

_LONGEST = 200  # characters


def normal_name(name: str) -> str:
    """As it is kept: without space around it, letters and their marks composed (NFC)."""
    return unicodedata.normalize("NFC", name.strip())


def checked_name(name: str, *, what: str, pointer: str | None = None) -> str:
    """A name of a class or a classifier, without space around it.

    Raises RequestError for an empty or too long one, and one with "/" or control characters.
    """
    stripped = normal_name(name)
    if not stripped or len(stripped) > _LONGEST:
        raise RequestError(
            f"the name of a {what} has {len(stripped)} characters; give 1 to {_LONGEST}", pointer=pointer
        )
    if "/" in stripped or (not stripped.isprintable() and _controls(stripped)):
        raise RequestError(
            f"the name {stripped[:40]!r} of a {what} holds a '/' or a control character; leave them out",
            pointer=pointer,
        )
    return stripped


def _controls(name: str) -> bool:
    """Whether control characters or halves of surrogates are in it, among what is not printable."""
    return any(unicodedata.category(letter) in ("Cc", "Cs") for letter in name)

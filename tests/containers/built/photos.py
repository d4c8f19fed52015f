"""Photos to teach and to ask about."""

from pathlib import Path

CLASSES = "cardboard", "glass", "paper"


def photos(trashnet: Path, first: int, last: int) -> tuple[list[Path], list[str]]:
    """Some photos of each class, and their labels."""
    found = [(path, name) for name in CLASSES for path in sorted((trashnet / name).iterdir())[first:last]]
    return [path for path, _ in found], [name for _, name in found]

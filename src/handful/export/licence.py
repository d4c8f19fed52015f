"""What a model's own card says of its licence."""

import re
from pathlib import Path

_LINE = re.compile(r"^license(?:_name)?:\s*['\"]?([^'\"\n]+?)['\"]?\s*$", re.MULTILINE)
_HEAD = re.compile(r"\A---\s*\n(.*?)\n---", re.DOTALL)


def of_card(text: str) -> str | None:
    """The licence in the head of a README, or None where there is none. `other` gives way to its name.

    >>> of_card("---\\nlicense: mit\\n---\\n# A model")
    'mit'
    """
    head = _HEAD.match(text)
    found: list[str] = _LINE.findall(head.group(1)) if head else []
    named = [one for one in found if one != "other"]
    return named[0] if named else None


def of_folder(folder: Path) -> str | None:
    """The licence that a folder's README.md states."""
    card = folder / "README.md"
    return of_card(card.read_text(encoding="utf-8", errors="replace")) if card.is_file() else None


def of_hub(repository: str) -> str | None:
    """The licence that a repository's card states; None where it has none, or cannot be asked."""
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    try:
        file = hf_hub_download(repository, "README.md")
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError):
        return None
    return of_card(Path(file).read_text(encoding="utf-8", errors="replace"))

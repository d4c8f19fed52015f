"""The model card of a saved classifier: a README.md that people and the Hugging Face hub read."""

from collections.abc import Sequence
from html import escape

_LISTED = 100  # classes

_CARD = """\
---
library_name: handful
pipeline_tag: {task}
license: other
tags:
- few-shot
- image-classification
- handful
---

# {title}

An image classifier of {count} classes, taught with {shots} by Handful.

| | |
|---|---|
| method | {method} |
| encoder | {encoder} |

```python
import handful

classifier = handful.load("path/to/this/folder")
classifier.predict(["picture.jpg"])
```

| class | shots |
|---|---|
{rows}

It knows these classes only. `classify` says for each picture how well it fits any of them (`known`).
The licence above is a placeholder: state that of the pictures it was taught with.
"""


def model_card(names: Sequence[str], counts: Sequence[int], *, method: str, encoder: str | None) -> str:
    """Markdown headed by the metadata of the hub.

    names, counts : (C,) class names and the shots of each.    encoder : None where rows came from elsewhere.
    """
    shots = sum(counts)
    listed = [
        f"| {_cell(name)} | {count} |" for name, count in list(zip(names, counts, strict=True))[:_LISTED]
    ]
    if len(names) > _LISTED:
        listed.append(f"| and {len(names) - _LISTED} more | |")
    return _CARD.format(
        task="image-classification" if shots else "zero-shot-image-classification",
        title=", ".join(map(_cell, names[:3])) + (" …" if len(names) > 3 else ""),
        count=len(names),
        shots=f"{shots} pictures" if shots else "words alone",
        method=method,
        encoder=_cell(encoder or "embeddings from elsewhere"),
        rows="\n".join(listed),
    )


def _cell(text: str) -> str:
    """Text that stays text in a Markdown table."""
    flat = " ".join(text.split())[:200]
    return "".join(f"\\{c}" if c in "\\`*_{}[]#|!~" else c for c in escape(flat, quote=False))

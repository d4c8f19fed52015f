"""A classifier as notebooks show it."""

from collections import Counter
from collections.abc import Sequence
from html import escape

from handful.labels import Label
from handful.shots import Shot

_LISTED = 20  # classes


def html_summary(title: str, classes: Sequence[Label] | None = None, shots: Sequence[Shot] = ()) -> str:
    """HTML that loads nothing from elsewhere.

    classes : (C,) sorted, None before anything was learnt.    shots : of all classes.
    """
    head = f"<code>{escape(title)}</code>"
    if classes is None:
        return f"<p>{head}: not taught yet</p>"
    counts = Counter(shot.label for shot in shots)
    lines = [f"<tr><td>{escape(str(label))}</td><td>{counts[label]}</td></tr>" for label in classes[:_LISTED]]
    if len(classes) > _LISTED:
        lines.append(f"<tr><td>and {len(classes) - _LISTED} more</td><td></td></tr>")
    return (
        f"<p>{head}: {len(classes)} classes, {len(shots)} shots</p>"
        f"<table><tr><th>class</th><th>shots</th></tr>{''.join(lines)}</table>"
    )

"""The page of an evaluation."""

import os
import platform
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from importlib.metadata import version
from pathlib import Path
from tempfile import NamedTemporaryFile

import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from handful.evaluation import Estimate, Evaluation
from handful.evaluation.evaluation import LEFT_OUT, OURS
from handful.images import ImageSource
from handful.report.plots import curve_plot, reliability_plot, shots_text
from handful.report.thumbnails import Thumbnails
from handful.rows import IntArray

_MOST_MISTAKES = 24
_MOST_SUSPECTS = 12
_WIDEST_MATRIX = 25  # classes; above, the commonest confusions are listed instead
_COMMONEST = 20
_PACKAGES = ("handful", "numpy", "onnxruntime", "pillow")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Shown:
    """A picture on the page."""

    name: str
    label: str
    image: str | None
    cosine: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Wrong:
    """A picture with what was answered, and what the classifier had seen."""

    picture: _Shown
    answer: str
    probability: float
    like_answer: tuple[_Shown, ...]
    like_truth: tuple[_Shown, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Row:
    """A row of the confusion matrix. asked : pictures labelled so.    answered : pictures taken for it."""

    name: str
    counts: list[int]
    right: int
    asked: int
    answered: int


def render(
    evaluation: Evaluation,
    *,
    title: str,
    pictures: Sequence[ImageSource | None] | None = None,
    day: date | None = None,
) -> str:
    """The page as HTML text: no script, no other file, everything from outside escaped.

    pictures : (N,) those that were evaluated, shown where they matter; where one is None, its name.
    day : the date on the page, by default today's.
    Raises ImageError for a picture that cannot be read any more.
    """
    environment = Environment(
        loader=PackageLoader("handful"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["estimate"] = _estimate
    environment.filters["shots"] = shots_text
    thumbnails = Thumbnails(pictures)
    held_out, curve = evaluation.held_out, evaluation.curve
    mistakes = [_wrong(evaluation, int(row), thumbnails) for row in held_out.mistakes[:_MOST_MISTAKES]]
    suspects = [_wrong(evaluation, int(row), thumbnails) for row in held_out.suspects[:_MOST_SUSPECTS]]
    matrix = held_out.confusion
    return environment.get_template("report.html.j2").render(
        title=title,
        day=(day or date.today()).isoformat(),
        ours=OURS,
        names=evaluation.class_names,
        estimates=held_out.estimates,
        how=evaluation.how,
        left_out=evaluation.how == LEFT_OUT,
        picture_count=len(held_out.y),
        judged_count=int(held_out.judged.sum()),
        curve=curve,
        curve_plot=None if curve is None else curve_plot(curve),
        strangers=curve is not None and _has_strangers(evaluation),
        reliability=reliability_plot(held_out),
        matrix=_matrix(matrix, evaluation.class_names) if len(matrix) <= _WIDEST_MATRIX else None,
        confusions=_commonest(matrix, evaluation.class_names),
        mistakes=mistakes,
        mistake_count=len(held_out.mistakes),
        suspects=suspects,
        suspect_count=len(held_out.suspects),
        settings={**evaluation.settings, **_versions()},
        style=Markup(environment.get_template("report.css.j2").render()),
    )


def write(
    path: str | os.PathLike[str],
    evaluation: Evaluation,
    *,
    title: str,
    pictures: Sequence[ImageSource | None] | None = None,
) -> None:
    """Write the page to a file, whole or not at all. Raises OSError where the folder cannot be written to."""
    page = render(evaluation, title=title, pictures=pictures)
    target = Path(path)
    with NamedTemporaryFile(
        "w", encoding="utf-8", dir=target.parent, prefix=f".{target.name}.", delete=False
    ) as draft:
        try:
            draft.write(page)
            draft.close()
            os.chmod(draft.name, 0o666 & ~_umask())
            os.replace(draft.name, target)
        except BaseException:
            os.unlink(draft.name)
            raise


def _umask() -> int:
    mask = os.umask(0o022)
    os.umask(mask)
    return mask


def _estimate(estimate: Estimate, spec: str = ".1%") -> Markup:
    """The value, with its interval in small print."""
    if np.isnan(estimate.value):
        return Markup("–")
    value = f"{estimate.value:{spec}}"
    if np.isnan(estimate.low):
        return Markup("{}").format(value)
    low, high = f"{estimate.low:{spec}}".removesuffix("%"), f"{estimate.high:{spec}}"
    return Markup('{} <span class="interval">{} to {}</span>').format(value, low, high)


def _has_strangers(evaluation: Evaluation) -> bool:
    curve = evaluation.curve
    return curve is not None and any(measure == "auroc" for _, _, measure, _ in curve.estimates)


def _wrong(evaluation: Evaluation, row: int, thumbnails: Thumbnails) -> _Wrong:
    held_out, names = evaluation.held_out, evaluation.class_names
    answer, truth = int(held_out.answers[row]), int(held_out.y[row])

    def shown(picture: int, cosine: float | None = None) -> _Shown:
        return _Shown(
            name=evaluation.picture_names[picture],
            label=names[held_out.y[picture]],
            image=thumbnails(picture),
            cosine=cosine,
        )

    return _Wrong(
        picture=shown(row),
        answer=names[answer],
        probability=float(held_out.probabilities[row, answer]),
        like_answer=tuple(shown(*near) for near in evaluation.neighbours(row, answer)),
        like_truth=tuple(shown(*near) for near in evaluation.neighbours(row, truth)),
    )


def _matrix(matrix: IntArray, names: Sequence[str]) -> list[_Row]:
    return [
        _Row(
            name=name,
            counts=matrix[place].tolist(),
            right=int(matrix[place, place]),
            asked=int(matrix[place].sum()),
            answered=int(matrix[:, place].sum()),
        )
        for place, name in enumerate(names)
    ]


def _commonest(matrix: IntArray, names: Sequence[str]) -> list[tuple[str, str, int, int]]:
    """The commonest mistakes: truth, answer, how often, of how many pictures."""
    wrong = matrix - np.diag(np.diag(matrix))
    order = np.argsort(-wrong, axis=None, kind="stable")[:_COMMONEST]
    pairs = [np.unravel_index(place, matrix.shape) for place in order]
    return [
        (names[truth], names[answer], int(wrong[truth, answer]), int(matrix[truth].sum()))
        for truth, answer in pairs
        if wrong[truth, answer]
    ]


def _versions() -> dict[str, str]:
    found = {package: version(package) for package in _PACKAGES}
    return {
        **found,
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
    }

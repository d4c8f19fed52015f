"""Augmentation: accuracy by policy of views and shots, and what views of the asked picture add and cost.

    python benchmarks/views.py --data FOLDER

FOLDER holds a folder for each set, which holds one for each class. The builtin encoder sees every view of
every picture once. All contenders are taught the same draws and asked the same pictures; `gain` is over the
same method without views, in points of accuracy, with the 95 % interval of Student's t over seeds of the mean
of the sets. "averaged": the views of a shot as one row, in place of a row each. "asked": the head is taught
plain pictures, and each question is answered from several views: "rows" by the mean of their embeddings,
"probabilities" and "logarithms" by the mean of those. `rejected` is the share of pictures of the classes with
a p-value under 0.05, AUROC tells them from those of classes that were not taught. `encodings` are pictures
that the encoder sees: for each shot, or for each question.
"""

import argparse
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from tempfile import gettempdir

import numpy as np
from rich.progress import Progress

from figures import Figure, interval, percent
from handful import load_encoder
from handful.adapters.calibration import softmax
from handful.augment import POLICIES
from handful.background import Background
from handful.evaluation import Episode, LearningCurve, Taught, Teach, learning_curve, teacher
from handful.evaluation.metrics import over_seeds, paired_difference
from handful.prompts import class_prompts, text_prior
from handful.rows import FloatArray, Rows, unit
from picture_sets import folders_of, offer_sets
from picture_views import PictureViews, read_views
from tables import Row, command, print_table, write_result

AUTO, WORDLESS, TIP_F, CLIP_ADAPTER = "auto", "auto, no words", "tip-f", "clip-adapter"
METHODS = (AUTO, WORDLESS, TIP_F, CLIP_ADAPTER)
ASKED = ("flip", "five", "standard")
WAYS = ("rows", "probabilities", "logarithms")
_LEAST = 1e-12  # of a probability


@dataclass(frozen=True, slots=True, kw_only=True)
class Contender:
    """taught, asked : policies of views.    way : how those of a question become one answer.

    averaged : the views of a shot are one row.
    """

    method: str
    taught: str = "none"
    averaged: bool = False
    asked: str = "none"
    way: str = ""


@dataclass(frozen=True, eq=False)
class _Several:
    """A head that is asked all views of a picture, and looks at some."""

    head: Taught
    places: tuple[int, ...]
    way: str

    def _each(self, Q: Rows, ask: Callable[[Rows], FloatArray]) -> FloatArray:
        """(B, V, …) of each view."""
        seen = Q[:, list(self.places)]
        said = ask(seen.reshape(-1, seen.shape[2]))
        return np.asarray(said.reshape(*seen.shape[:2], *said.shape[1:]))

    def _mean_row(self, Q: Rows) -> Rows:
        return np.asarray(unit(Q[:, list(self.places)].mean(axis=1)), np.float32)

    def probabilities(self, Q: Rows) -> FloatArray:
        if self.way == "logarithms":
            said = self._each(Q, self.head.probabilities)
            return softmax(np.log(np.maximum(said, _LEAST)).mean(axis=1))
        if self.way == "probabilities":
            return np.asarray(self._each(Q, self.head.probabilities).mean(axis=1))
        return self.head.probabilities(self._mean_row(Q))

    def known(self, Q: Rows) -> FloatArray:
        if self.way in ("probabilities", "logarithms"):
            return np.asarray(self._each(Q, self.head.known).mean(axis=1))
        return self.head.known(self._mean_row(Q))


class _Teachers:
    """Contenders of one set; a head that several ask is made once for a draw."""

    def __init__(self, seen: PictureViews, text: Rows, background: Background | None) -> None:
        self._seen = seen
        self._text = text
        self._background = background
        self._draw: Episode | None = None
        self._heads: dict[tuple[str, str, bool], Taught] = {}

    def of(self, contender: Contender) -> Teach:
        key = (contender.method, contender.taught, contender.averaged)
        teach = self._teacher(*key)

        def taught(episode: Episode) -> Taught:
            if episode is not self._draw:
                self._draw, self._heads = episode, {}
            if key not in self._heads:
                self._heads[key] = teach(episode)
            return _Several(self._heads[key], self._seen.places[contender.asked], contender.way)

        return taught

    def _teacher(self, method: str, policy: str, averaged: bool) -> Teach:
        views = self._seen.of(policy)
        one = np.asarray(unit(views.mean(axis=1)), np.float32)
        several = not averaged and views.shape[1] > 1
        return teacher(
            method.split(",")[0],
            one if averaged else views[:, 0],
            text=None if method == WORDLESS else self._text,
            background=self._background,
            views=views[:, 1:] if several else None,
        )


def taught_contenders() -> list[Contender]:
    """Every method with every policy; and with the views of a shot averaged, as Tip-Adapter has them."""
    found = [Contender(method=method, taught=policy) for method in METHODS for policy in POLICIES]
    return found + [
        Contender(method=method, taught=policy, averaged=True) for method in (AUTO, TIP_F) for policy in ASKED
    ]


def asked_contenders() -> list[Contender]:
    """Several views of a question; the last ones with shots that were averaged likewise."""
    plain = [Contender(method=method) for method in (AUTO, WORDLESS)]
    found = [
        Contender(method=one.method, asked=policy, way=way)
        for one in plain
        for policy in ASKED
        for way in WAYS
    ]
    both = [
        Contender(method=AUTO, taught=policy, averaged=True, asked=policy, way="rows") for policy in ASKED
    ]
    return plain + found + both


def measure(
    folder: Path, contenders: list[Contender], shots: list[int], seeds: int, *, cache: Path, unknown: bool
) -> tuple[LearningCurve, float]:
    """Learning curves of one set by the repr of contenders, and seconds that encoding one picture takes."""
    encoder = load_encoder("builtin", cached=False)
    seen = read_views(folder, encoder, cache)
    text = text_prior(encoder.encode_texts, class_prompts(seen.names))
    teachers = _Teachers(seen, text, encoder.background)
    with Progress(transient=True) as bar:
        task = bar.add_task(f"{folder.name}: teaching and asking")
        curve = learning_curve(
            seen.X,
            seen.y,
            {repr(one): teachers.of(one) for one in contenders},
            shots=shots,
            seeds=seeds,
            unknown=unknown,
            progress=lambda done, total: bar.update(task, completed=done, total=total),
        )
    return curve, seen.seconds


def mean_of_sets(
    curves: Iterable[LearningCurve], contender: Contender, k: int, measure: str = "accuracy"
) -> FloatArray:
    """(S,) for each seed."""
    return np.asarray(np.mean([curve.values(repr(contender), k, measure) for curve in curves], axis=0))


def result_rows(
    curves: dict[str, LearningCurve], contenders: list[Contender], shots: list[int]
) -> list[dict[str, object]]:
    """A row for each contender and number of shots, in percent or points."""
    rows: list[dict[str, object]] = []
    for one in contenders:
        plain = Contender(method=one.method)
        for k in shots:
            accuracy = mean_of_sets(curves.values(), one, k)
            auroc = mean_of_sets(curves.values(), one, k, "auroc")
            rows.append(
                {
                    "method": one.method,
                    "taught": one.taught + (", averaged" if one.averaged else ""),
                    "asked": f"{one.asked}, {one.way}" if one.way else one.asked,
                    "encodings": len_of(one),
                    "shots": k,
                    **{name: 100 * curve.estimate(repr(one), k).value for name, curve in curves.items()},
                    "mean": percent(over_seeds(accuracy)),
                    "gain": percent(paired_difference(accuracy, mean_of_sets(curves.values(), plain, k)))
                    if one != plain
                    else None,
                    "gain_of_set": {
                        name: percent(curve.difference(repr(one), repr(plain), k))
                        for name, curve in curves.items()
                    }
                    if one != plain
                    else None,
                    "ece": 100 * float(mean_of_sets(curves.values(), one, k, "ece").mean()),
                    "rejected": 100 * float(mean_of_sets(curves.values(), one, k, "known_rejected").mean()),
                    "auroc": None if np.isnan(auroc).any() else 100 * float(auroc.mean()),
                }
            )
    return rows


def len_of(contender: Contender) -> int:
    """Pictures that are encoded: for a question where several views of it are, otherwise for a shot."""
    return POLICIES[contender.asked if contender.way else contender.taught].count


def shown(rows: list[dict[str, object]], shots: list[int]) -> list[Row]:
    """A row for each contender: accuracy without views, the gain with them."""
    found: list[Row] = []
    for start in range(0, len(rows), len(shots)):
        own = rows[start : start + len(shots)]
        first, last = own[0], own[-1]
        found.append(
            {
                "method": str(first["method"]),
                "taught": str(first["taught"]),
                "asked": str(first["asked"]),
                "encodings": int(str(first["encodings"])),
                **{f"{row['shots']}": _told(row) for row in own},
                "ECE": float(str(last["ece"])),
                "rejected": float(str(last["rejected"])),
                "AUROC": None if last["auroc"] is None else float(str(last["auroc"])),
            }
        )
    return found


def _told(row: dict[str, object]) -> str:
    if row["gain"] is None:
        return interval(_value_only(row["mean"]))
    return interval(row["gain"], "+")


def _value_only(figure: object) -> Figure:
    assert isinstance(figure, dict)
    return {"value": figure["value"], "low": None, "high": None}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    offer_sets(parser)
    parser.add_argument("--shots", default="1,2,4,8,16")
    parser.add_argument("--seeds", type=int, default=10, help="draws where methods are trained")
    parser.add_argument("--asked-seeds", type=int, default=20, help="draws where questions have views")
    parser.add_argument("--cache", type=Path, default=Path(gettempdir()) / "handful-views")
    options = parser.parse_args()
    shots = [int(k) for k in options.shots.split(",")]
    folders = folders_of(parser, options)
    rows: list[dict[str, object]] = []
    seconds: dict[str, float] = {}
    for what, contenders, seeds, unknown in (
        ("taught", taught_contenders(), options.seeds, False),
        ("asked", asked_contenders(), options.asked_seeds, True),
    ):
        curves = {}
        for folder in folders:
            curves[folder.name], seconds[folder.name] = measure(
                folder, contenders, shots, seeds, cache=options.cache, unknown=unknown
            )
        own = result_rows(curves, contenders, shots)
        print_table(
            f"Views of {'shots' if what == 'taught' else 'questions'}: accuracy in %, then points gained, "
            f"by shots; {seeds} seeds; ECE, rejected and AUROC at the most shots",
            shown(own, shots),
            digits=1,
        )
        rows += [{"of": what, "seeds": seeds, **row} for row in own]
    notes = [
        f"Sets: {', '.join(seconds)}. One picture takes "
        f"{1000 * float(np.mean(list(seconds.values()))):.1f} ms to encode.",
        " ".join((__doc__ or "").split("\n\n")[-1].split()),
    ]
    print(write_result("views", command(), rows, notes, seconds_per_picture=seconds))


if __name__ == "__main__":
    main()

"""Evaluations of a taught classifier: by its own shots, and by other pictures."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from handful.adapters import Head, fit_head
from handful.adapters.ensemble import parts_of
from handful.adapters.support import Support
from handful.background import JoinedBackground, said_of
from handful.classifier import FewShotClassifier
from handful.encoders import load_encoder
from handful.encoders.cost import cost_of
from handful.errors import EncoderError, MissingExtraError, SupportError
from handful.evaluation.curve import Progress, Taught, Teach, learning_curve
from handful.evaluation.episodes import Episode, Shots
from handful.evaluation.evaluation import OURS, Evaluation, with_words
from handful.evaluation.held_out import HeldOut, hold_out
from handful.evaluation.parts import PartsFound, parts_found, parts_held_out
from handful.images import ImageSource
from handful.labels import as_labels, native
from handful.rows import BoolArray, IntArray, Rows, apart
from handful.sources import describe
from handful.teaching import encode


def evaluate_classifier(
    classifier: FewShotClassifier,
    *,
    shots: Sequence[Shots] = (),
    seeds: int | Sequence[int] = 20,
    rivals: Mapping[str, FewShotClassifier] | None = None,
    progress: Progress | None = None,
) -> Evaluation:
    """What a classifier would answer for its own shots, had it not been taught them. No test set is needed.

    shots, seeds : of a learning curve over draws from its shots; none: no curve. 0 shots is words alone.
    rivals : classifiers taught the same pictures in the same order, otherwise, for the curve; by name.

    Raises SupportError where no shot can be left out, and where a rival has other shots.
    """
    head = classifier.head_
    X, y, groups = shots_of(head)
    if not len(X):
        raise SupportError("this classifier was taught no pictures; evaluate it on a folder of test pictures")
    ours = support_teacher(head)
    complete = with_words(text_of(head))
    shots = shots if complete else [k for k in shots if k != 0]
    curve = None
    if shots:
        contenders = {OURS: ours}
        for name, rival in (rivals or {}).items():
            if not np.array_equal(shots_of(rival.head_)[1], y):
                raise SupportError(f"{name!r} was taught other pictures; teach it the same ones, in order")
            contenders[name] = support_teacher(rival.head_)
        curve = learning_curve(
            X,
            y,
            contenders,
            shots=shots,
            seeds=seeds,
            groups=groups,
            from_words=list(contenders) if complete else [],
            progress=progress,
        )
    held_out = hold_out(X, y, ours, class_count=head.class_count, groups=groups, from_words=complete)
    parts = None
    if isinstance(background := _support(head).background, JoinedBackground):
        own = [support_teacher(part) for part in _alone(head)]
        right = parts_held_out(
            X, y, held_out, lambda at: own[at], background, groups=groups, from_words=complete
        )
        parts = _parts(classifier, *right)
    return Evaluation(
        class_names=_names(classifier),
        picture_names=tuple(shot.source for shot in classifier.shots_),
        X=X,
        held_out=held_out,
        curve=curve,
        settings=settings_of(classifier),
        parts=parts,
    )


def evaluate_on(
    classifier: FewShotClassifier, images: Sequence[ImageSource], labels: Iterable[Any]
) -> Evaluation:
    """What a classifier answers for labelled pictures that it was not taught.

    images, labels : (B,). Pictures whose label is none of the classes are foreign: they ought to be unknown.
    Raises SupportError where there is no picture of a class.
    """
    head = classifier.head_
    truths = [str(native(label)) for label in as_labels(labels)]
    places = dict(zip(_names(classifier), range(head.class_count), strict=True))
    ours = np.array([truth in places for truth in truths], bool)
    if not ours.any():
        raise SupportError(
            f"no label of these {len(truths)} pictures is a class of the classifier; "
            f"it knows {', '.join(map(str, places))}"
        )
    if classifier.encoder is None:
        raise EncoderError("this classifier has no encoder, so it cannot see pictures; set one")
    Q, _ = encode(load_encoder(classifier.encoder), images, shown=classifier.progress)
    X, y, _ = shots_of(head)
    asked = Q[ours]
    count = len(X)
    held_out = HeldOut(
        y=np.concatenate([y, [places[truth] for truth in truths if truth in places]]).astype(np.int64),
        judged=np.arange(count + len(asked)) >= count,
        probabilities=np.concatenate([np.zeros((count, head.class_count)), head.probabilities(asked)]),
        known=np.concatenate([np.ones(count), head.known(asked)]),
        fold=np.zeros(count + len(asked), np.int64),
        foreign=head.known(Q[~ours]) if (~ours).any() else np.zeros(0),
    )
    return Evaluation(
        class_names=_names(classifier),
        picture_names=(
            *(shot.source for shot in classifier.shots_),
            *(describe(image) for image, own in zip(images, ours, strict=True) if own),
        ),
        X=np.concatenate([X, asked]),
        held_out=held_out,
        how=f"Each was asked of a classifier taught {count} other pictures.",
        settings=settings_of(classifier),
        parts=_parts_asked(classifier, asked, held_out),
    )


def settings_of(classifier: FewShotClassifier) -> dict[str, str]:
    """How a classifier was made, in words."""
    encoder = classifier.encoder
    said = {
        "method": f"{classifier.method} (rule {classifier.head_.rule})",
        "encoder": "embeddings from elsewhere" if encoder is None else getattr(encoder, "name", str(encoder)),
        "views": classifier.views,
        "words": "class names and descriptions" if text_of(classifier.head_) is not None else "not used",
        "domain": classifier.domain or "",
        "background": _background(classifier.head_),
        "unknown below": f"{classifier.unknown_threshold:g}",
    }
    return {name: value for name, value in said.items() if value}


def _parts_asked(classifier: FewShotClassifier, asked: Rows, held_out: HeldOut) -> PartsFound | None:
    """Of an ensemble, what its parts answer for other pictures, the last ones of `held_out`."""
    head = classifier.head_
    background = _support(head).background
    if not isinstance(background, JoinedBackground):
        return None
    truth = held_out.y[held_out.judged]
    right = [
        _fitted(part).scores(rows).argmax(axis=1) == truth
        for part, rows in zip(_alone(head), apart(asked, background.widths), strict=True)
    ]
    return _parts(classifier, held_out.answers[held_out.judged] == truth, right)


def _parts(classifier: FewShotClassifier, whole: BoolArray, right: Sequence[BoolArray]) -> PartsFound:
    encoder, cost = None, None
    if classifier.encoder is not None:
        try:
            encoder = load_encoder(classifier.encoder)
            cost = cost_of(encoder)
        except (EncoderError, MissingExtraError):  # it is not here; its rows are
            encoder = None
    return parts_found(classifier.head_, whole, right, encoder=encoder, cost=cost)


def _alone(head: Head) -> list[Head]:
    """An ensemble's head with the shots as each part sees them, to be taught anew."""
    return [replace(head, support=part) for part in parts_of(_support(head))]


def _fitted(head: Head) -> Head:
    """Taught all the shots it has."""
    support = _support(head)
    return fit_head(
        head.method,
        support.X,
        support.y,
        class_count=support.class_count,
        text=support.text,
        groups=support.groups,
        background=support.background,
        shot_ids=support.ids,
        options=head.options,
    )


def _background(head: Head) -> str:
    support = head.support
    if support is not None:
        return said_of(support.background)
    return head.background_fingerprint or said_of(None)


def _names(classifier: FewShotClassifier) -> tuple[str, ...]:
    return tuple(str(native(label)) for label in classifier.classes_)


def text_of(head: Head) -> Rows | None:
    """(C, D) the text prior of a head that holds its shots, if it has one."""
    return None if head.support is None else head.support.text


def shots_of(head: Head) -> tuple[Rows, IntArray, list[int]]:
    """Rows (N, D) of the plain pictures, the first of each shot, their classes (N,) and groups."""
    support = _support(head)
    first = first_rows(support.ids)
    return support.X[first], support.y[first], support.groups[first].tolist()


def _support(head: Head) -> Support:
    if head.support is None:
        raise SupportError("a compact head holds no shots to leave out; fit it from its pictures")
    return head.support


def first_rows(ids: Sequence[str]) -> IntArray:
    """(S,) the first row of each shot; the rows of a shot follow each other.    ids : (N,) shots of rows."""
    return np.array([row for row, name in enumerate(ids) if row == 0 or ids[row - 1] != name], np.int64)


def support_teacher(head: Head) -> Teach:
    """Teach parts of a head's support, with all views, as the head itself was taught."""
    support = _support(head)
    shot_of_row = np.searchsorted(first_rows(support.ids), np.arange(len(support.ids)), side="right") - 1

    def teach(episode: Episode) -> Taught:
        rows = np.flatnonzero(np.isin(shot_of_row, episode.support))
        return fit_head(
            head.method,
            support.X[rows],
            np.searchsorted(episode.classes, support.y[rows]),
            class_count=len(episode.classes),
            text=None if support.text is None else support.text[episode.classes],
            groups=support.groups[rows],
            background=support.background,
            shot_ids=shot_of_row[rows].tolist(),
            options=head.options,
        )

    return teach

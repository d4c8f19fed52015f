"""The classifier: teach it pictures, ask it about others."""

import os
from collections.abc import Iterable, Iterator, Sequence
from copy import deepcopy
from dataclasses import asdict
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike

from handful import __version__
from handful.adapters.head import Head
from handful.augment import policy_of
from handful.class_texts import Descriptions, class_rows, prompts_of
from handful.encoders import Encoder, load_encoder
from handful.errors import EmbeddingError, EncoderError, ModelError, NotFittedError, SupportError
from handful.estimator import Estimator
from handful.labels import Label, Labels, as_labels, native, union
from handful.learnt import EncoderKey, Learnt, Step
from handful.persistence import Parameters, kept_thumbnail, read, save
from handful.prediction import Prediction, predictions
from handful.progress import Shown
from handful.rows import FloatArray, Rows, as_rows
from handful.shots import Shot, Shots
from handful.summary import html_summary
from handful.teaching import as_pictures, asked_rows, labelled, picture_limits, picture_shots, row_shots
from handful.thumbnails import Keepsake, keepsake

__all__ = ["FewShotClassifier", "Prediction", "load"]

_LEARNT = ("classes_", "head_", "shots_", "_learnt", "_keepsakes")  # there after fit


class FewShotClassifier(Estimator):
    """An image classifier taught by a handful of pictures, by words, or by both; a scikit-learn estimator.

    encoder : what sees: the name of an encoder, or an encoder. None: embeddings from elsewhere only.
    method : how it learns: one of `handful.adapters.METHODS`.
    views : policy of augmented copies of each picture, of `handful.augment.POLICIES`. "auto": "standard" for
        methods that are trained (`tip-f`, `clip-adapter`), "none" for the others, which gain nothing by them.
    classes : names of classes to have even without a picture; their words stand in. Others come with labels.
    descriptions : sentences that describe classes, one or several by name.
    templates : of prompts: "photo", "plain", or your own, each with one {} for the name.
    domain : what the classes are kinds of, such as "pastry", for prompts.
    use_text : whether names and descriptions count. Turn it off where names mean nothing, as "type A" does.
        Labels that are numbers have no words but their descriptions.
    unknown_threshold : p-value `known` under which a picture is called unknown, 0 to 1.
    options : of the method, such as `TipOptions(beta=3.0)`; None: its defaults.
    progress : whether to show a bar on stderr; "auto": in a terminal or notebook.

    Parameters count from the next `fit` on. After it: `classes_` (C,) sorted; `shots_`, a `Shot` for each
    picture with id, label, source, sha256 and group, in the order they came; `head_`.

    >>> classifier = FewShotClassifier(encoder=None, method="prototype")
    >>> classifier.fit_embeddings(np.eye(2), ["dent", "rust"]).predict_embeddings([[0.1, 0.9]])
    array(['rust'], dtype='<U4')
    """

    _learnt: Learnt
    _keepsakes: dict[str, Keepsake]

    def __init__(
        self,
        encoder: str | Encoder | None = "builtin",
        method: str = "auto",
        *,
        views: str = "auto",
        classes: Iterable[Label] | None = None,
        descriptions: Descriptions | None = None,
        templates: str | Sequence[str] = "photo",
        domain: str | None = None,
        use_text: bool = True,
        unknown_threshold: float = 0.05,
        options: Any = None,  # Any: each method has its own class of options
        progress: Shown = "auto",
    ) -> None:
        self.encoder = encoder
        self.method = method
        self.views = views
        self.classes = classes
        self.descriptions = descriptions
        self.templates = templates
        self.domain = domain
        self.use_text = use_text
        self.unknown_threshold = unknown_threshold
        self.options = options
        self.progress = progress

    # ---- teaching

    def fit(
        self, images: object = (), labels: Iterable[Any] | None = None, groups: Iterable[Any] | None = None
    ) -> Self:
        """Learn from pictures, forgetting what was learnt before.

        images : paths, bytes, PIL images, arrays, … as `handful.images.decode` reads them. Without labels,
            what `handful.datasets.read_dataset` reads or gave: a folder of class folders, a CSV file, a data
            frame. None at all: the classes are known by their words alone.
        labels : one per picture, text or whole numbers.
        groups : one per picture or None; pictures of a group (a patient, a film) are left out together where
            probabilities are calibrated. Equal pictures are a group by themselves.
        Raises SupportError, ImageError or DatasetError, naming the picture or label that is wrong.
        """
        return self._teach(images, labels, groups, named=self._given_classes(), afresh=True)

    def partial_fit(
        self,
        images: object = (),
        labels: Iterable[Any] | None = None,
        classes: Iterable[Label] | None = None,
        groups: Iterable[Any] | None = None,
    ) -> Self:
        """Learn more pictures; equal to learning all at once. A new label makes a new class.

        classes : names of classes to have from now on, even without a picture.
        """
        afresh = not self.__sklearn_is_fitted__()
        named = self._given_classes() if afresh else self._learnt.named
        if classes is not None:
            named = union([named, as_labels(classes, name="classes")])
        return self._teach(images, labels, groups, named=named, afresh=afresh)

    def fit_embeddings(self, X: ArrayLike, y: Iterable[Any], groups: Iterable[Any] | None = None) -> Self:
        """Learn from rows X (N, D) that the encoder made; rows of another go with `encoder=None`."""
        rows, truths, named = self._own_rows(X), as_labels(y, name="y"), self._given_classes()
        if len(rows) != len(truths):
            raise SupportError(f"there are {len(rows)} rows and {len(truths)} labels; give one label each")
        return self._learn(
            row_shots(rows, truths, groups), classes=union([named, truths]), named=named, keepsakes={}
        )

    def forget(self, shot_id: str | Iterable[str]) -> Self:
        """Unlearn shots, by the ids in `shots_`; equal to never having learnt them.

        A class goes with its last shot, unless `classes` names it.
        """
        gone = [shot_id] if isinstance(shot_id, str) else list(shot_id)
        self._check_encoder()
        left = self._learnt.shots.without(gone)
        labels = np.asarray([shot.label for shot in left.table], self.classes_.dtype)
        return self._learn(
            left,
            classes=union([self._learnt.named, labels]),
            named=self._learnt.named,
            keepsakes={shot_id: kept for shot_id, kept in self._keepsakes.items() if shot_id not in gone},
            before=self._learnt,
            step=(lambda head: head.remove(gone[0])) if len(gone) == 1 else None,
        )

    # ---- asking

    def predict(self, images: object, *, views: str = "none") -> Labels:
        """(B,) the best class of each picture.    views : as in `classify`."""
        return self.predict_embeddings(self._encoded(images, views))

    def predict_proba(self, images: object, *, views: str = "none") -> FloatArray:
        """(B, C) calibrated probabilities, columns as in `classes_`; rows sum to 1.

        views : as in `classify`.
        """
        return self.head_.probabilities(self._encoded(images, views))

    def decision_function(self, images: object) -> FloatArray:
        """(B, C) scores; of two classes (B,), how much the second is ahead, as scikit-learn has it."""
        scores = self.head_.scores(self._encoded(images))
        return np.asarray(scores[:, 1] - scores[:, 0]) if scores.shape[1] == 2 else scores

    def score(self, images: object, labels: Iterable[Any], sample_weight: ArrayLike | None = None) -> float:
        """Accuracy, 0 to 1."""
        truths = as_labels(labels)
        pictures = as_pictures(images)
        if not pictures or len(pictures) != len(truths):
            raise SupportError(f"there are {len(pictures)} pictures and {len(truths)} labels to score")
        return float(
            np.average(
                self.predict(pictures) == truths,
                weights=None if sample_weight is None else np.asarray(sample_weight),
            )
        )

    def classify(
        self,
        images: object,
        top_k: int = 5,
        coverage: float | None = None,
        explain: bool | int = False,
        *,
        views: str = "none",
    ) -> list[Prediction]:
        """All there is to say about each picture.

        top_k : classes in each answer.
        coverage : adds the set of classes that holds the truth that often, on average over supports; raises
            SupportError where the shots are too few to promise it.
        explain : adds the shots that speak for the answer: True for 5, or how many.
        views : of each picture, to answer by the mean of their embeddings: "flip" (2) or "five" (5), which
            take as much longer as there are views; one of `handful.augment.ASKED`.
        """
        return self.classify_embeddings(self._encoded(images, views), top_k, coverage, explain)

    def predict_embeddings(self, Q: ArrayLike) -> Labels:
        """(B,) the best class of each row of Q (B, D)."""
        return np.asarray(self.classes_[self.head_.scores(Q).argmax(axis=1)])

    def predict_proba_embeddings(self, Q: ArrayLike) -> FloatArray:
        """(B, C) probabilities of rows Q (B, D), as `predict_proba`."""
        return self.head_.probabilities(Q)

    def classify_embeddings(
        self, Q: ArrayLike, top_k: int = 5, coverage: float | None = None, explain: bool | int = False
    ) -> list[Prediction]:
        """As `classify`, of rows Q (B, D)."""
        return predictions(
            self.head_,
            Q,
            [native(label) for label in self.classes_],
            {shot.id: shot.source for shot in self.shots_},
            top_k=top_k,
            coverage=coverage,
            explain=explain,
            unknown_threshold=self.unknown_threshold,
        )

    # ---- keeping

    def save(self, folder: str | os.PathLike[str], *, thumbnails: bool = True) -> Path:
        """Keep the classifier in a folder for `handful.load`: safetensors, JSON and a model card, no pickle.

        thumbnails : whether to keep a small copy of each shot, to show in explanations.
        The folder is new, empty, or a saved classifier, which is replaced as a whole. Raises ModelError
        otherwise, and where it cannot be written.
        """
        small = self._thumbnails() if thumbnails else ()
        save(folder, self._parameters(), self._learnt, version=__version__, thumbnails=small)
        return Path(folder)

    def thumbnail(self, shot_id: str) -> bytes | None:
        """A shot as a small JPEG; None where its picture is not at hand any more."""
        if shot_id in self._keepsakes:
            return self._keepsakes[shot_id]()
        if shot_id not in self._learnt.shots.ids:
            raise SupportError(f"there is no shot {shot_id!r}; `shots_` lists each with its id")
        return None  # of embeddings there is no picture

    def _thumbnails(self) -> Iterator[tuple[str, bytes]]:
        for shot_id, kept in self._keepsakes.items():
            if (small := kept()) is not None:
                yield shot_id, small

    def _parameters(self) -> Parameters:
        descriptions = [
            (native(label), [text] if isinstance(text, str) else list(text))
            for label, text in (self.descriptions or {}).items()
        ]
        return Parameters(
            method=self.method,
            views=self.views,
            descriptions=descriptions or None,
            templates=self.templates if isinstance(self.templates, str) else list(self.templates),
            domain=self.domain,
            use_text=self.use_text,
            unknown_threshold=self.unknown_threshold,
            options=None if self.options is None else asdict(self.options),
        )

    # ---- what is known

    @property
    def classes_(self) -> Labels:
        """(C,) the classes, sorted."""
        return self._learnt.classes

    @property
    def head_(self) -> Head:
        """What turns embeddings into answers."""
        return self._learnt.head

    @property
    def shots_(self) -> tuple[Shot, ...]:
        """The shots, in the order they came."""
        return self._learnt.shots.table

    # ---- inside

    def __sklearn_clone__(self) -> Self:
        """Untaught, with the same parameters; the encoder is shared, since its towers may be gigabytes."""
        parameters = self.get_params()
        encoder = parameters.pop("encoder")
        return type(self)(encoder, **deepcopy(parameters))

    def __sklearn_is_fitted__(self) -> bool:
        return "_learnt" in vars(self)

    def __getattr__(self, name: str) -> Any:  # Any: it only raises
        if name in _LEARNT:
            raise NotFittedError(
                f"this {type(self).__name__} was not taught yet; call fit with pictures and labels first"
            )
        raise AttributeError(f"{type(self).__name__!r} has no attribute {name!r}")

    def _repr_html_(self) -> str:
        if not self.__sklearn_is_fitted__():
            return html_summary(repr(self))
        return html_summary(repr(self), [native(label) for label in self.classes_], self.shots_)

    def _teach(
        self,
        images: object,
        labels: Iterable[Any] | None,
        groups: Iterable[Any] | None,
        *,
        named: Labels,
        afresh: bool,
    ) -> Self:
        pictures, truths, groups = labelled(images, labels, groups)
        encoder = self._seeing()
        if not afresh:
            self._check_encoder()
        taken = () if afresh else self._learnt.shots.ids
        fresh = picture_shots(
            encoder,
            pictures,
            truths,
            groups,
            policy=policy_of(self.views, self.method),
            taken=taken,
            shown=self.progress,
        )
        limits = picture_limits()
        keepsakes = {
            shot.id: keepsake(picture, shot.sha256, limits=limits)
            for shot, picture in zip(fresh.table, pictures, strict=True)
        }
        if afresh:
            return self._learn(fresh, classes=union([named, truths]), named=named, keepsakes=keepsakes)
        return self._learn(
            self._learnt.shots.joined(fresh),
            classes=union([self.classes_, named, truths]),
            named=named,
            keepsakes=self._keepsakes | keepsakes,
            before=self._learnt,
            step=self._addition(fresh) if len(fresh) == 1 else None,
        )

    def _addition(self, fresh: Shots) -> Step:
        """The step to a head with one shot more, of a class there is."""
        shot = fresh.table[0]
        company = next((other.id for other in self.shots_ if other.group == shot.group), None)
        return lambda head: head.add(
            fresh.X, int(np.searchsorted(self.classes_, shot.label)), shot.id, company
        )

    def _learn(
        self,
        shots: Shots,
        *,
        classes: Labels,
        named: Labels,
        keepsakes: dict[str, Keepsake],
        before: Learnt | None = None,
        step: Step | None = None,
    ) -> Self:
        """Change what is known, if all goes well."""
        if not 0 <= self.unknown_threshold <= 1:
            raise SupportError(f"unknown_threshold is {self.unknown_threshold}; it is a p-value, 0 to 1")
        encoder = self._loaded()
        self._learnt = Learnt.from_shots(
            shots,
            classes=classes,
            named=named,
            method=self.method,
            options=self.options,
            encoder=encoder,
            text=self._prior(classes, encoder),
            before=before,
            step=step,
        )
        self._keepsakes = keepsakes
        return self

    def _prior(self, classes: Labels, encoder: Encoder | None) -> Rows | None:
        """(C, D) the text prior, zeros for a class without words; None where there are none at all."""
        if encoder is None or not self.use_text:
            return None
        prompts = prompts_of(
            classes, templates=self.templates, domain=self.domain, descriptions=self.descriptions
        )
        known = vars(self).setdefault("_prompt_rows", {}).setdefault(encoder.fingerprint, {})
        return class_rows(encoder, prompts, known)

    def _given_classes(self) -> Labels:
        return union([] if self.classes is None else [as_labels(self.classes, name="classes")])

    # ---- the encoder

    def _loaded(self) -> Encoder | None:
        return None if self.encoder is None else load_encoder(self.encoder)

    def _seeing(self) -> Encoder:
        encoder = self._loaded()
        if encoder is None:
            raise EncoderError(
                "encoder is None, so pictures cannot be seen; set one, or give embeddings to fit_embeddings "
                "and predict_embeddings"
            )
        return encoder

    def _check_encoder(self) -> None:
        """Raises EncoderError where the encoder is not the one that saw the shots."""
        then, encoder = self._learnt.encoder, self._loaded()
        now = None if encoder is None else EncoderKey.of(encoder)
        if then != now:
            raise EncoderError(
                f"the shots were seen by {then}, and now the encoder is {now}; set the former, or fit again"
            )

    def _encoded(self, images: object, views: str = "none") -> Rows:
        self._check_encoder()
        return asked_rows(self._seeing(), as_pictures(images), views=views, shown=self.progress)

    def _own_rows(self, X: ArrayLike) -> Rows:
        encoder = self._loaded()
        if np.size(X) == 0 and encoder is not None:
            return np.zeros((0, encoder.dimension), np.float32)
        rows = as_rows(X)
        if encoder is not None and rows.shape[1] != encoder.dimension:
            raise EmbeddingError(
                f"X has {rows.shape[1]} columns, and those of encoder {encoder.name!r} {encoder.dimension}; "
                "for embeddings made elsewhere set encoder=None"
            )
        return rows


def load(folder: str | os.PathLike[str], *, encoder: str | Encoder | None = None) -> FewShotClassifier:
    """The classifier that `save` kept in a folder; it answers as it did.

    encoder : the one it was taught with, where its name alone does not find it.
    Raises ModelError for anything missing, changed, newer or foreign, and for another encoder.
    """
    told, learnt = read(folder)
    key = learnt.encoder
    if key is not None:
        encoder = key.name if encoder is None else encoder
        try:
            here = EncoderKey.of(load_encoder(encoder))
        except EncoderError as exc:
            raise ModelError(
                f"{folder} was taught with {key}, and {exc}; pass it as load(folder, encoder=…)"
            ) from exc
        if here.fingerprint != key.fingerprint:
            raise ModelError(
                f"{folder} was taught with {key}, and this is {here}; pass the former as "
                "load(folder, encoder=…), or teach the classifier again"
            )
    classifier = FewShotClassifier(
        encoder if key is not None else None,
        told.method,
        views=told.views,
        classes=learnt.named.tolist() or None,
        descriptions=None if told.descriptions is None else dict(told.descriptions),
        templates=told.templates,
        domain=told.domain,
        use_text=told.use_text,
        unknown_threshold=told.unknown_threshold,
        options=told.method_options(),
    )
    classifier._learnt = learnt
    classifier._keepsakes = {shot.id: kept_thumbnail(folder, shot.id) for shot in learnt.shots.table}
    return classifier

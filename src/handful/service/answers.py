"""Use cases that answer: what is on a picture, and which pictures to label next."""

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from handful.adapters.head import fit_head
from handful.augment import ASKED, policy_named
from handful.encoders import Encoder
from handful.errors import ConflictError, EmbeddingError, EncoderError, RequestError, SupportError
from handful.prediction import NearShot, Prediction, row_predictions
from handful.prompts import class_prompts
from handful.rows import IntArray, Rows, as_rows
from handful.service import metrics, tracing
from handful.service.changes import not_found
from handful.service.encoding import Encoding, Timings
from handful.service.heads import Heads, ReadyHead
from handful.service.names import checked_name
from handful.service.suggest import Suggestion, suggestions
from handful.service.support import SupportRows
from handful.service.words import text_rows
from handful.settings import Settings
from handful.storage.records import ClassifierRecord
from handful.storage.store import Store

if TYPE_CHECKING:
    from handful.retrieval.two_stages import TwoStages

MOST_CLASSES = 1000  # in an answer
NEIGHBOURS = 5
_MOST_NEIGHBOURS = 100
_MOST_EXPLAINED = 256  # rows of a request, as many as pictures; each looks at all shots of its class
_UNKNOWN = 0.05  # below which `known` says that none of the labels is meant, as of a new classifier
_MOST_LABELS = 10_000  # of a zero-shot request
_SCORES_TOGETHER = 20_000_000  # of a request, 8 bytes each
_SMALL = 4_000_000  # numbers to multiply; fewer take less time than handing them to a thread


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """Pictures, or rows (B, D).    pointers : to each picture in the request, for errors; () for /images/0…

    rows : may also be what makes them, told D, which stands with the classifier.
    """

    images: Sequence[bytes] = ()
    pointers: Sequence[str] = ()
    rows: ArrayLike | Callable[[int], ArrayLike] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What is said of each picture, and by what.    version : of the head, 0 for words alone."""

    predictions: list[Prediction]
    version: int
    encoder: str
    timings: Timings = field(default_factory=Timings)


class Answers:
    """Classify, by a classifier or by words alone; suggest; embed."""

    def __init__(self, store: Store, encoding: Encoding, heads: Heads, settings: Settings) -> None:
        self._store = store
        self._encoding = encoding
        self._heads = heads
        self._settings = settings

    async def classify(
        self,
        tenant: str,
        id: str,
        asked: Asked,
        *,
        top_k: int = 5,
        coverage: float | None = None,
        explain: int = 0,
        views: str = "none",
    ) -> Answer:
        """explain : how many shots to name that speak for an answer.

        views : of `augment.ASKED`; pictures are answered by the mean of their views' embeddings.
        Raises NotFoundError; RequestError; BusyError; ConflictError where there is nothing to answer by, or
        the shots are too few for the coverage.
        """
        started = time.perf_counter()
        _check_options(top_k, coverage, explain)
        self._check_views(views, asked)
        record = await self._store.classifier(tenant, id)
        if record is None:
            raise not_found(id)
        encoder = await self._heads.encoder_of(record)
        timings = Timings()
        ready = self._heads.at_hand(record)
        if ready is not None:
            Q = await self._rows(tenant, encoder, asked, timings, views)
        else:
            ready, Q = await self._compiled_and_seen(record, encoder, asked, timings, views)
        if explain and len(Q) > _MOST_EXPLAINED:
            raise RequestError(
                f"{len(Q):,} answers were to be explained; ask for {_MOST_EXPLAINED} at a time",
                pointer="/explain",
            )
        support = await self._heads.support(record) if explain else None
        scoring = time.perf_counter()
        stages = self._heads.stages(record, ready)
        if stages is None and len(Q) * ready.work <= _SMALL and not explain:
            said = _said(ready, record, Q, top_k, coverage)
        else:
            said = await asyncio.to_thread(_said, ready, record, Q, top_k, coverage, support, explain, stages)
        done = time.perf_counter()
        timings.score = done - scoring
        tracing.took("score", timings.score)
        metrics.SCORE_SECONDS.observe(timings.score)
        metrics.CLASSIFY_SECONDS.observe(done - started)
        return Answer(predictions=said, version=ready.version, encoder=record.encoder, timings=timings)

    async def zero_shot(
        self,
        tenant: str,
        labels: Sequence[str],
        asked: Asked,
        *,
        templates: str | Sequence[str] = "photo",
        encoder: str | None = None,
        top_k: int = 5,
    ) -> Answer:
        """Classify by words alone; nothing is kept. Raises RequestError, BusyError."""
        _check_options(top_k, None, 0)
        names = [
            checked_name(label, what="label", pointer=f"/labels/{at}") for at, label in enumerate(labels)
        ]
        if not names or len(names) > _MOST_LABELS or len(set(names)) < len(names):
            raise RequestError(
                f"there are {len(names)} labels, {len(set(names))} of them different; give 1 to "
                f"{_MOST_LABELS}, each once",
                pointer="/labels",
            )
        seeing = await self._encoding.encoders.named(encoder)
        timings = Timings()
        try:
            prompts = await asyncio.to_thread(class_prompts, names, templates=templates)
            text = await text_rows(self._encoding, tenant, seeing, [tuple(own) for own in prompts])
        except (SupportError, EncoderError) as exc:
            raise RequestError(str(exc), pointer="/labels") from exc
        Q = await self._rows(tenant, seeing, asked, timings)
        scoring = time.perf_counter()

        def say() -> list[Prediction]:
            head = fit_head(
                "zero-shot",
                np.zeros((0, seeing.dimension)),
                np.zeros(0, int),
                class_count=len(names),
                text=text,
                background=seeing.background,
            )
            return row_predictions(head, Q, names, top_k=top_k, coverage=None, unknown_threshold=_UNKNOWN)

        said = await asyncio.to_thread(say)
        timings.score = time.perf_counter() - scoring
        tracing.took("score", timings.score)
        return Answer(predictions=said, version=0, encoder=seeing.name, timings=timings)

    async def suggest(self, tenant: str, id: str, asked: Asked) -> list[Suggestion]:
        """Which pictures to label next, best first. Raises NotFoundError, RequestError, BusyError."""
        record = await self._store.classifier(tenant, id)
        if record is None:
            raise not_found(id)
        encoder = await self._heads.encoder_of(record)
        Q = await self._rows(tenant, encoder, asked, Timings())
        support = await self._heads.support(record)
        try:
            ready = await self._heads.ready(record)
        except ConflictError:  # nothing is known yet: the pictures themselves decide
            return await asyncio.to_thread(suggestions, Q, support.X, None, 0.0)
        shots = record.shot_count / max(record.class_count, 1)
        judged = await asyncio.to_thread(ready.head.judged, Q)
        return await asyncio.to_thread(suggestions, Q, support.X, judged.probabilities, shots)

    async def embed_images(
        self, tenant: str, encoder: str | None, images: Sequence[bytes], pointers: Sequence[str]
    ) -> Rows:
        """(N, D). Raises RequestError, BusyError."""
        seeing = await self._encoding.encoders.named(encoder)
        return await self._encoding.rows(tenant, seeing, images, pointers=pointers)

    async def embed_texts(self, tenant: str, encoder: str | None, texts: Sequence[str]) -> Rows:
        """(M, D). Raises RequestError."""
        try:
            return await self._encoding.texts(tenant, await self._encoding.encoders.named(encoder), texts)
        except EncoderError as exc:
            raise RequestError(str(exc), pointer="/input") from exc

    async def _compiled_and_seen(
        self, record: ClassifierRecord, encoder: Encoder, asked: Asked, timings: Timings, views: str
    ) -> tuple[ReadyHead, Rows]:
        """The head, and what it is asked about, at the same time; what fails of the head is told first."""
        seeing = asyncio.create_task(self._rows(record.tenant, encoder, asked, timings, views))
        try:
            return await self._heads.ready(record), await seeing
        except BaseException:
            seeing.cancel()
            await asyncio.gather(seeing, return_exceptions=True)
            raise

    def _check_views(self, views: str, asked: Asked) -> None:
        if views not in ASKED:
            raise RequestError(
                f"a picture is not asked by views {views!r}; choose one of {', '.join(ASKED)}",
                pointer="/views",
            )
        each, most = policy_named(views).count, self._settings.request_max_images
        if each > 1 and asked.rows is not None:
            raise RequestError(
                f"embeddings have no views {views!r}; send pictures, or leave `views` out", pointer="/views"
            )
        if each > 1 and each * len(asked.images) > most:
            raise RequestError(
                f"{len(asked.images)} pictures of {each} views are {each * len(asked.images)} to encode, "
                f"over {most}; send at most {most // each} at a time",
                pointer="/views",
            )

    async def _rows(
        self, tenant: str, encoder: Encoder, asked: Asked, timings: Timings, views: str = "none"
    ) -> Rows:
        if asked.rows is None:
            if not asked.images:
                raise RequestError("there is nothing to look at; give at least one picture or embedding")
            pointers = asked.pointers or [f"/images/{at}" for at in range(len(asked.images))]
            return await self._encoding.rows(
                tenant, encoder, asked.images, pointers=pointers, views=views, timings=timings
            )
        try:
            given = asked.rows(encoder.dimension) if callable(asked.rows) else asked.rows
            Q = as_rows(given, name="embeddings", dimension=encoder.dimension)
        except EmbeddingError as exc:
            raise RequestError(str(exc), pointer="/embeddings") from exc
        if not len(Q):
            raise RequestError("there is nothing to look at; give at least one picture or embedding")
        return Q


def _check_options(top_k: int, coverage: float | None, explain: int) -> None:
    if top_k < 1 or top_k > MOST_CLASSES:
        raise RequestError(f"top_k is {top_k}; give 1 to {MOST_CLASSES}", pointer="/top_k")
    if coverage is not None and not 0 < coverage < 1:
        raise RequestError(
            f"coverage is {coverage}; give a share between 0 and 1, such as 0.9", pointer="/coverage"
        )
    if not 0 <= explain <= _MOST_NEIGHBOURS:
        raise RequestError(f"explain is {explain}; give 0 to {_MOST_NEIGHBOURS} shots", pointer="/explain")


def _said(
    ready: ReadyHead,
    record: ClassifierRecord,
    Q: Rows,
    top_k: int,
    coverage: float | None,
    support: SupportRows | None = None,
    explain: int = 0,
    stages: "TwoStages | None" = None,
) -> list[Prediction]:
    together = max(_SCORES_TOGETHER // ready.head.class_count, 1)
    try:
        said = [
            one
            for at in range(0, len(Q), together)
            for one in row_predictions(
                ready.head,
                Q[at : at + together],
                ready.names,
                top_k=top_k,
                coverage=coverage,
                unknown_threshold=record.unknown_threshold,
                stages=stages,
            )
        ]
    except SupportError as exc:
        raise ConflictError(str(exc)) from exc
    if support is None:
        return said
    places = {key: place for place, key in enumerate(ready.keys)}
    y = np.array([places.get(key, -1) for key in support.keys.tolist()], np.int64)
    return [
        replace(one, neighbours=_neighbours(ready, support, y, q, explain))
        for one, q in zip(said, Q, strict=True)
    ]


def _neighbours(
    ready: ReadyHead, support: SupportRows, y: IntArray, q: Rows, count: int
) -> tuple[NearShot, ...]:
    """Shots that speak for the answer; by cosine where the head was made of others than those there now.

    y : (N,) place in the head of each row's class, -1 for none.
    """
    if ready.made_of == support.classifier.support_version and ready.head.made_of_rows(len(support.X)):
        found = ready.head.explain_by(q, support.X, y, support.ids, count)
    else:
        found = ready.head.explain_by_cosine(q, support.X, y, support.ids, count)
    return tuple(
        NearShot(
            shot=near.shot_id,
            label=ready.names[near.label],
            share=near.share,
            image=near.shot_id if near.shot_id in support.pictured else "",
        )
        for near in found
    )

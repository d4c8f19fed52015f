"""Heads: all that turns embeddings into answers, as one immutable value."""

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from pydantic import BaseModel, ConfigDict, NonNegativeInt, PositiveFloat, ValidationError

from handful.adapters import frozen as freezing
from handful.adapters.calibration import held_out_sharpness, softmax
from handful.adapters.class_rows import ClassRows
from handful.adapters.conformal import ConformalSets
from handful.adapters.ensemble_scorer import Ensemble, widths_of
from handful.adapters.frozen import ClassShots, FrozenClasses
from handful.adapters.known import KnownTest
from handful.adapters.methods import METHODS, SCORERS, Method, Options, method_named
from handful.adapters.scorer import Fitted, Scorer, Settings
from handful.adapters.support import ShotId, Support
from handful.background import Background, JoinedBackground
from handful.errors import HeadError, SupportError
from handful.rows import FloatArray, IntArray, Rows, as_rows
from handful.tensors import Arrays, pack, unpack

_FORMAT_VERSION = 2  # since compact centres are int8, and what is empty or usual is not written

_FROZEN = "frozen."
_NULL, _SETS = "known.null", "conformal.nonconformity"


@dataclass(frozen=True, slots=True)
class Neighbour:
    """A shot that speaks for an answer. share : its part of what all shots of the answer say, 0 to 1."""

    shot_id: str
    label: int
    share: float


@dataclass(frozen=True, slots=True, eq=False)
class Judged:
    """All that a head says of rows Q (B, D).    scores, probabilities : (B, C).    known : (B,)."""

    scores: FloatArray
    probabilities: FloatArray
    known: FloatArray


@dataclass(frozen=True, kw_only=True, eq=False)
class Head:
    """Turns embeddings into class scores, probabilities, a p-value for "known", and reasons.

    method, rule : which method made it, in which version (`auto/2`).    found : what the method chose.
    support : the shots it was made of; None in a compact head.
    freeze : makes `frozen`, by which classes of a compact head can be made anew; see `with_classes`.
    """

    method: str
    rule: str
    scorer: Scorer
    sharpness: float
    known_test: KnownTest
    conformal: ConformalSets
    found: Settings
    background_fingerprint: str | None = None
    support: Support | None = None
    options: Options
    state: object = None
    freeze: Callable[[], FrozenClasses] | None = None
    frozen: FrozenClasses | None = None

    @property
    def dimension(self) -> int:
        """Columns D of the embeddings."""
        return self.scorer.dimension

    @property
    def class_count(self) -> int:
        """Classes C."""
        return self.scorer.class_count

    def scores(self, Q: ArrayLike) -> FloatArray:
        """(B, C) scores of rows Q (B, D), higher is better."""
        return self.scorer.scores(self.checked(Q))

    def probabilities(self, Q: ArrayLike) -> FloatArray:
        """(B, C) calibrated probabilities; rows sum to 1."""
        return softmax(self.sharpness * self.scores(Q))

    def known(self, Q: ArrayLike) -> FloatArray:
        """(B,) p-value of "Q belongs to one of the classes"; small means unknown."""
        _, typicality = self.scorer.judged(self.checked(Q))
        return self.known_test.p_values(typicality)

    def judged(self, Q: ArrayLike) -> Judged:
        """Scores, probabilities and `known` of rows Q (B, D), scored once."""
        return self.judged_rows(self.checked(Q))

    def judged_rows(self, rows: Rows) -> Judged:
        """As `judged`, of unit rows (B, D) that were checked before."""
        scores, typicality = self.scorer.judged(rows)
        return Judged(scores, softmax(self.sharpness * scores), self.known_test.p_values(typicality))

    @property
    def class_rows(self) -> ClassRows | None:
        """Rows whose inner products with a query are the scores, if it has such."""
        return self.scorer if isinstance(self.scorer, ClassRows) else None

    def among(self, places: IntArray) -> Self:
        """The head that knows these classes alone, by place, and says the same scores of them.

        Raises HeadError for a head whose classes have no rows of their own.
        """
        if self.class_rows is None:
            raise HeadError(f"a head of {self.method!r} compares with shots, not with a row for each class")
        return replace(self, scorer=self.class_rows.among(places), support=None, state=None, freeze=None)

    def conformal_set(self, Q: ArrayLike, coverage: float = 0.9) -> NDArray[np.bool_]:
        """(B, C) classes that together hold the truth with the given coverage, on average over supports.

        Raises SupportError where the shots are too few to promise it.
        """
        return self.conformal.sets(self.probabilities(Q), coverage)

    def explain(self, q: ArrayLike, k: int = 5) -> list[Neighbour]:
        """The at most k shots that say most for the answer to one row q (D,), best first.

        Empty where the answer's class has no shot (it was named by its text).
        """
        support = self._support("explain")
        query = self.checked(q)
        if len(query) != 1:
            raise SupportError(f"explain takes one row, got {len(query)}")
        if k < 1:
            raise SupportError(f"k is {k}; ask for at least one shot")
        return self._neighbours(query, support.X, support.y, support.ids, k)

    def explain_by(
        self, q: ArrayLike, X: Rows, y: IntArray, ids: Sequence[str], k: int = 5
    ) -> list[Neighbour]:
        """As `explain`, of a compact head; X (N, D), y (N,), ids (N,): what it was made of, in order."""
        return self._neighbours(self.checked(q), X, y, ids, k)

    def made_of_rows(self, count: int) -> bool:
        """Whether it can be made of that many rows, as far as it knows; for `explain_by`."""
        return self.scorer.key_count in (None, count)

    def explain_by_cosine(
        self, q: ArrayLike, X: Rows, y: IntArray, ids: Sequence[str], k: int = 5
    ) -> list[Neighbour]:
        """As `explain_by`, with rows that need not be what the head was made of: by cosine to them."""
        query = self.checked(q)
        return self._best(query, y, ids, k, lambda own: np.maximum(X[own] @ query[0], 0).astype(np.float64))

    def _neighbours(self, query: Rows, X: Rows, y: IntArray, ids: Sequence[str], k: int) -> list[Neighbour]:
        return self._best(query, y, ids, k, lambda own: self.scorer.affinity(query, X, own))

    def _best(
        self, query: Rows, y: IntArray, ids: Sequence[str], k: int, affinity: Callable[[IntArray], FloatArray]
    ) -> list[Neighbour]:
        answer = int(self.scorer.scores(query).argmax())
        own = np.flatnonzero(y == answer)
        if not len(own):
            return []
        say = affinity(own)
        total = say.sum()
        shares: dict[str, float] = {}
        for row, part in zip(
            own.tolist(), say / total if total > 0 else np.full(len(own), 1 / len(own)), strict=True
        ):
            shares[ids[row]] = shares.get(ids[row], 0.0) + float(part)
        best = sorted(shares.items(), key=lambda item: -item[1])[:k]
        return [Neighbour(shot_id, answer, share) for shot_id, share in best]

    def add(self, x: ArrayLike, label: int, shot_id: ShotId, group: ShotId | None = None) -> Self:
        """A new head with one shot more, equal to refitting.

        x : (D,) or, views of the shot, (V, D).    group : id of a shot to be left out together with.
        """
        return self._with(self._support("add").added(x, label, shot_id, group))

    def remove(self, shot_id: ShotId) -> Self:
        """A new head without a shot and its views, equal to refitting."""
        return self._with(self._support("remove").removed(shot_id))

    def with_classes(self, origin: IntArray, shots: ClassShots) -> Self:
        """A compact head of other classes by the statistics of this one, which stay as they are.

        origin : (C',) place here of each class, -1 for those that are made of `shots`, in order.
        The rows of the others stay, bit for bit. Raises HeadError where this head has no such statistics.
        """
        rows = self.class_rows
        if self.frozen is None or rows is None:
            raise HeadError(
                f"this head of {self.method!r} keeps no statistics to make classes by; fit it anew"
            )
        own, offsets = self.frozen.rows(shots, rows.background, rows.pull)
        return replace(self, scorer=rows.with_classes(origin, own, offsets, self.frozen.origin))

    def compact(self, *, frozen: bool = False) -> Self:
        """What a service stores: int8 rows, calibration as quantiles, of shots only kernel keys.

        frozen : with what `with_classes` needs, where the method has it; about 4·D² bytes.
        """
        return replace(
            self,
            scorer=self.scorer.compact(),
            known_test=self.known_test.compact(),
            conformal=self.conformal.compact(),
            support=None,
            state=None,
            freeze=None,
            frozen=self.freeze() if frozen and self.freeze is not None else self.frozen,
        )

    def to_bytes(self) -> bytes:
        """Safetensors; `from_bytes` gives the same head again. The background is named, not included."""
        arrays: Arrays = {f"scorer.{name}": array for name, array in self.scorer.arrays().items()}
        arrays |= {
            name: _narrowest(told)
            for name, told in ((_NULL, self.known_test.null), (_SETS, self.conformal.nonconformity))
            if len(told)
        }
        if self.frozen is not None:
            arrays |= {f"{_FROZEN}{name}": own for name, own in freezing.saved(self.frozen).items()}
        saved = _SavedHead(
            method=self.method,
            rule=self.rule,
            scorer=self.scorer.kind,
            scorer_settings=self.scorer.settings(),
            sharpness=self.sharpness,
            known_count=self.known_test.count,
            known_prior=(self.known_test.prior_mean, self.known_test.prior_deviation),
            conformal_count=self.conformal.count,
            found=self.found,
            background=self.background_fingerprint,
            needs_background=self.scorer.needs_background,
        )
        if self.support is not None:
            arrays |= {
                "support.X": self.support.X,
                "support.y": self.support.y,
                "support.groups": self.support.groups,
            }
            if self.support.text is not None:
                arrays["support.text"] = self.support.text
            saved.ids = list(self.support.ids)
            saved.options = dataclasses.asdict(self.options)
        return pack("head", _FORMAT_VERSION, arrays, saved.model_dump(exclude_defaults=True))

    @classmethod
    def from_bytes(cls, data: bytes, background: Background | None = None) -> Self:
        """Read what `to_bytes` wrote.

        background : the encoder's, where the head was made with one.
        Raises HeadError for anything else, and where the background is missing or another one.
        """
        arrays, settings = unpack("head", _FORMAT_VERSION, data)
        try:
            with np.errstate(over="raise", invalid="raise"):  # numbers that overflow where they are converted
                return cls._restored(arrays, _SavedHead.model_validate(settings), background)
        except HeadError:
            raise
        except ValidationError as exc:
            first = exc.errors()[0]
            where = ".".join(map(str, first["loc"]))
            raise HeadError(f"this head is damaged: {where}: {first['msg']}; fit it again") from None
        except (KeyError, ValueError, TypeError, FloatingPointError) as exc:
            raise HeadError(f"this head is damaged: {type(exc).__name__}: {exc}; fit it again") from None

    @classmethod
    def _restored(cls, arrays: Arrays, saved: "_SavedHead", background: Background | None) -> Self:
        for kind, name, known in (("method", saved.method, METHODS), ("scorer", saved.scorer, SCORERS)):
            if name not in known:
                raise HeadError(
                    f"this head is of {kind} {name!r}, and this build knows {', '.join(sorted(known))}; "
                    "upgrade Handful, or fit it again"
                )
        method = METHODS[saved.method]
        of_scorer = {
            name.removeprefix("scorer."): array
            for name, array in arrays.items()
            if name.startswith("scorer.")
        }
        if saved.scorer == Ensemble.kind:
            unprofiled = JoinedBackground([(width, None) for width in widths_of(of_scorer)])
            if saved.background == unprofiled.fingerprint:  # it tells the parts' widths alone
                background = unprofiled
        # A head of an earlier rule keeps its meaning: it answers as it did, and only refitting changes it.
        full = "support.X" in arrays and saved.rule == method.rule_for(background)
        if saved.background is None:
            background = None
        elif background is None or background.fingerprint != saved.background:
            if full or saved.needs_background:
                given = "none was given" if background is None else f"{background.fingerprint} was given"
                raise HeadError(
                    f"this head needs the background {saved.background} of its encoder, and {given}; "
                    "pass encoder.background as `background`"
                )
            background = None
        scorer = SCORERS[saved.scorer].restore(
            of_scorer,
            saved.scorer_settings,
            background if saved.needs_background else None,
        )
        if scorer.class_count < 1 or scorer.dimension < 1:
            raise ValueError(f"it has {scorer.class_count} classes and {scorer.dimension} columns")
        frozen = {
            name.removeprefix(_FROZEN): array for name, array in arrays.items() if name.startswith(_FROZEN)
        }
        support = None
        if full:
            support = Support.checked(
                arrays["support.X"],
                arrays["support.y"],
                class_count=scorer.class_count,
                text=arrays.get("support.text"),
                groups=arrays["support.groups"],
                background=background,
                shot_ids=saved.ids,
            )
            text = arrays.get("support.text")
            support = replace(  # already unit, bit for bit
                support,
                X=arrays["support.X"].astype(np.float32).reshape(support.X.shape),
                text=None if text is None else text.astype(np.float32),
            )
        return cls(
            method=saved.method,
            rule=saved.rule,
            scorer=scorer,
            sharpness=saved.sharpness,
            known_test=KnownTest(
                _sorted(arrays.get(_NULL), saved.known_count), saved.known_count, *saved.known_prior
            ),
            conformal=ConformalSets(_sorted(arrays.get(_SETS), saved.conformal_count), saved.conformal_count),
            found=saved.found,
            background_fingerprint=saved.background,
            support=support,
            frozen=freezing.restored(frozen, scorer.dimension),
            options=method.options(**saved.options) if full else method.options(),
        )

    @classmethod
    def of(cls, method: Method, support: Support, options: Options, fitted: Fitted) -> Self:
        """Calibrate what an adapter fitted."""
        held_out = fitted.held_out
        sharpness = fitted.sharpness
        if sharpness is None:
            seen = fitted.scorer.scores(support.X) if support.class_count == 2 else None
            sharpness = held_out_sharpness(held_out, support, seen)
        typicality, truths = np.zeros(0), np.zeros(0)
        if held_out is not None:
            typicality = held_out.typicality
            rows = np.flatnonzero(held_out.judged)
            truths = softmax(sharpness * held_out.scores[rows])[
                np.arange(len(rows)), held_out.labels(support)[rows]
            ]
        mean, deviation = fitted.known_prior
        return cls(
            method=method.name,
            rule=method.rule_for(support.background),
            scorer=fitted.scorer,
            sharpness=sharpness,
            known_test=KnownTest.fit(typicality, prior_mean=mean, prior_deviation=deviation),
            conformal=ConformalSets.fit(truths),
            found=fitted.found,
            background_fingerprint=None if support.background is None else support.background.fingerprint,
            support=support,
            options=options,
            state=fitted.state,
            freeze=fitted.freeze,
        )

    def _with(self, support: Support) -> Self:
        """The head of another support, by the cheapest way that equals refitting."""
        method = method_named(self.method)
        if method.change is not None and self.state is not None:
            fitted = method.change(self.state, self._support("change"), support, self.options)
        else:
            fitted = method.made(support, self.options)
        return self.of(method, support, self.options, fitted)

    def _support(self, what: str) -> Support:
        if self.support is None:
            now = METHODS[self.method].rule
            if self.rule.partition(" of ")[0] != now:
                raise HeadError(
                    f"this head was made by rule {self.rule!r}, and this build has {now!r}, so it cannot "
                    f"{what}; refit from the support with fit_head"
                )
            raise HeadError(
                f"a compact head holds no shots, so it cannot {what}; refit from the support with fit_head"
            )
        return self.support

    def checked(self, Q: ArrayLike) -> Rows:
        """Unit rows (B, D). Raises EmbeddingError for others than its dimension's."""
        if np.shape(Q) == (0, self.dimension):
            return np.zeros((0, self.dimension), np.float32)
        return as_rows(Q, name="Q", dimension=self.dimension)


def named_background(data: bytes) -> str | None:
    """Fingerprint of the background that a head's bytes name; None: it was made without one.

    Raises HeadError for bytes that are no head.
    """
    _, settings = unpack("head", _FORMAT_VERSION, data)
    named = settings.get("background")
    return None if named is None else str(named)


def fit_head(
    method: str,
    X: ArrayLike,
    y: ArrayLike,
    *,
    class_count: int,
    text: ArrayLike | None = None,
    groups: ArrayLike | None = None,
    background: Background | None = None,
    shot_ids: Sequence[ShotId] | None = None,
    options: Options | None = None,
    parts: Sequence[int] | None = None,
) -> Head:
    """Make a head from shots, texts, or both.

    X : (N, D) embeddings, a row per shot or view.    y : (N,) ints, 0 ≤ y < class_count.
    text : (C, D) rows, a row of zeros or NaN for a class without text.
    groups : (N,) names; rows of a group are left out together (views of a shot, pictures of a patient).
    background : the encoder's.    shot_ids : (N,) names for `add` and `remove`; default 0..N-1.
    options : the method's own, such as `TipOptions(beta=3.0)`.
    parts : columns of each encoder, of rows that are several encoders' side by side; a `JoinedBackground`
    says them too.

    Raises SupportError or EmbeddingError, saying what was found and what to do.

    >>> head = fit_head("prototype", np.eye(2), [0, 1], class_count=2)
    >>> head.scores(np.eye(2)).argmax(axis=1)
    array([0, 1])
    """
    chosen = method_named(method)
    if options is None:
        options = chosen.options()
    elif not isinstance(options, chosen.options):
        raise SupportError(f"method {method!r} takes {chosen.options.__name__}, got {type(options).__name__}")
    if parts is not None:
        background = _of_parts(parts, background)
    support = Support.checked(
        X, y, class_count=class_count, text=text, groups=groups, background=background, shot_ids=shot_ids
    )
    try:
        return Head.of(chosen, support, options, chosen.made(support, options))
    except MemoryError as exc:
        raise SupportError(
            f"{method!r} of {len(support.y)} rows and {class_count} classes does not fit in memory; "
            "'auto' takes the least, or teach fewer classes"
        ) from exc


def _of_parts(parts: Sequence[int], background: Background | None) -> JoinedBackground:
    if background is None:
        return JoinedBackground([(width, None) for width in parts])
    if not isinstance(background, JoinedBackground) or background.widths != tuple(parts):
        raise SupportError(
            f"parts of {tuple(parts)} columns do not fit this background; give JoinedBackground([(columns, "
            "background or None), ...]), which says both"
        )
    return background


class _SavedHead(BaseModel):
    """The settings of a head in its file."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    method: str
    rule: str
    scorer: str
    scorer_settings: Settings = {}
    sharpness: PositiveFloat
    known_count: NonNegativeInt = 0
    known_prior: tuple[float, PositiveFloat]
    conformal_count: NonNegativeInt = 0
    found: Settings = {}
    background: str | None = None
    needs_background: bool = False
    ids: list[str] = []
    options: dict[str, bool | int | float | str | None] = {}


def _narrowest(values: FloatArray) -> NDArray[np.floating]:
    """The same numbers in the smallest type that holds them exactly."""
    with np.errstate(over="ignore"):
        half, single = values.astype(np.float16), values.astype(np.float32)
    if (half == values).all():
        return half
    return single if (single == values).all() else values


def _sorted(array: NDArray[np.generic] | None, count: int) -> FloatArray:
    """Checked quantiles of `count` numbers, or all of them; None stands for none."""
    values = np.zeros(0) if array is None else np.asarray(array, np.float64)
    if values.ndim != 1 or len(values) > count or (count > 0 and not len(values)):
        raise ValueError(f"an array of shape {values.shape} stands for {count} numbers")
    if (np.diff(values) < 0).any():
        raise ValueError("numbers that are kept in order are out of order")
    return values

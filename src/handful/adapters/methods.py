"""The table of methods: a name, its options, and how it is fitted."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from handful.adapters import (
    auto,
    clip_adapter,
    ensemble,
    lda,
    proker,
    prototype,
    scorers,
    tip,
    tip_f,
    zero_shot,
)
from handful.adapters.ensemble_scorer import Ensemble
from handful.adapters.scorer import Fitted, Scorer
from handful.adapters.support import Support
from handful.background import Background, JoinedBackground
from handful.errors import SupportError

_MOST_COMPARED = 500_000_000  # numbers, 4 GB

Options = Any  # the frozen dataclass of a method; each method has its own


@dataclass(frozen=True)
class Method:
    """A way to make heads.

    rule : name and version of what it computes; a change of meaning is a new version.
    change : (state, support before, support after, options) → what fitting afresh would give, cheaper.
    compares : rows with shots, in a matrix of N×C numbers, which very many classes leave no room for.
    """

    name: str
    rule: str
    options: type[Any]
    fit: Callable[[Support, Options], Fitted]
    change: Callable[[object, Support, Support, Options], Fitted] | None = None
    compares: bool = False

    def made(self, support: Support, options: Options) -> Fitted:
        """What it makes of a support; of rows of several encoders, of each part, mixed.

        Raises SupportError where it has no room for so many rows and classes.
        """
        if self.compares and len(support.y) * support.class_count > _MOST_COMPARED:
            raise SupportError(
                f"{self.name!r} compares {len(support.y):,} rows with {support.class_count:,} classes, over "
                f"{_MOST_COMPARED:,} numbers; choose 'auto', 'lda' or 'prototype', or teach fewer classes"
            )
        if isinstance(support.background, JoinedBackground):
            return ensemble.fit(lambda part: self.fit(part, options), support)
        return self.fit(support, options)

    def rule_for(self, background: Background | None) -> str:
        """The rule, and how parts are mixed where rows are of several encoders."""
        joined = isinstance(background, JoinedBackground)
        return f"{self.rule} of {ensemble.RULE}" if joined else self.rule


METHODS = {
    method.name: method
    for method in (
        Method("auto", "auto/2", auto.AutoOptions, auto.fit),
        Method("zero-shot", "zero-shot/1", zero_shot.ZeroShotOptions, zero_shot.fit),
        Method("prototype", "prototype/1", prototype.PrototypeOptions, prototype.fit),
        Method("tip", "tip/1", tip.TipOptions, tip.fit, compares=True),
        Method("tip-f", "tip-f/1", tip_f.TipFOptions, tip_f.fit, compares=True),
        Method(
            "clip-adapter", "clip-adapter/1", clip_adapter.ClipAdapterOptions, clip_adapter.fit, compares=True
        ),
        Method("lda", "lda/1", lda.LdaOptions, lda.fit, lda.change),
        Method("proker", "proker/1", proker.ProkerOptions, proker.fit, compares=True),
    )
}

SCORERS: dict[str, type[Scorer]] = scorers.SCORERS | {Ensemble.kind: Ensemble}


def method_named(name: str) -> Method:
    """Raises SupportError for a name that is no method, naming those that are."""
    try:
        return METHODS[name]
    except KeyError:
        raise SupportError(
            f"there is no method {name!r}; choose one of {', '.join(sorted(METHODS))}"
        ) from None

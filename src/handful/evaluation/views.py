"""Policies of views compared by the shots themselves, left out: does augmentation help here?"""

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from handful.augment import AUTO, policy_named, policy_of
from handful.classifier import FewShotClassifier
from handful.encoders import load_encoder
from handful.encoders.cache import CachedEncoder
from handful.errors import SupportError
from handful.evaluation.classifier import shots_of, support_teacher, text_of
from handful.evaluation.curve import Progress, Teach
from handful.evaluation.evaluation import with_words
from handful.evaluation.held_out import HeldOut, hold_out
from handful.evaluation.metrics import Estimate, paired_shares, share
from handful.images import ImageSource
from handful.rows import IntArray, Rows
from handful.teaching import labelled

CANDIDATES = ("none", "flip", "five", "standard")  # compared where nobody says which
PLAIN = "none"
_TIMED = 8  # pictures
_SURE = 0.95  # that a policy is no worse than the default, all comparisons together


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyFound:
    """A policy of views as the left-out shots judge it.

    encodings : of each shot.    accuracy : of the plain pictures of left-out shots.
    gain : of it over that without views, the same shots asked of both; None for that one itself.
    """

    policy: str
    encodings: int
    accuracy: Estimate
    gain: Estimate | None

    def as_dict(self) -> dict[str, object]:
        """For JSON."""
        return {
            "policy": self.policy,
            "encodings": self.encodings,
            "accuracy": self.accuracy.as_dict(),
            "gain": None if self.gain is None else self.gain.as_dict(),
        }


@dataclass(frozen=True, kw_only=True)
class ViewsFound:
    """What views are worth for these shots, the policy to choose, and why.

    default : what is kept unless another is surely better.    judged : shots that could be left out.
    seconds : that encoding one view took; None where all were known.
    """

    policies: tuple[PolicyFound, ...]
    default: str
    chosen: str
    why: str
    judged: int
    seconds: float | None = None

    def as_dict(self) -> dict[str, object]:
        """For JSON."""
        cost = {} if self.seconds is None else {"milliseconds": round(1000 * self.seconds, 2)}
        return {
            "chosen": self.chosen,
            "why": self.why,
            "default": self.default,
            "judged": self.judged,
            "policies": [one.as_dict() for one in self.policies],
            **cost,
        }


def choose_views(
    classifier: FewShotClassifier,
    images: object = (),
    labels: Iterable[Any] | None = None,
    groups: Iterable[Any] | None = None,
    *,
    policies: Sequence[str] = CANDIDATES,
    progress: Progress | None = None,
) -> ViewsFound:
    """Compare policies of views for a classifier that is yet to be taught these pictures; it stays untaught.

    images, labels, groups : as for `FewShotClassifier.fit`.    policies : "none" and the method's own default
    are compared besides. All views of all pictures are encoded.

    Raises as `fit`, and SupportError where no shot can be left out.
    """
    pictures, truths, together = labelled(images, labels, groups)
    named = None if together is None else list(together)
    taught = {
        policy: classifier.__sklearn_clone__().set_params(views=policy).fit(pictures, truths, named)
        for policy in dict.fromkeys([PLAIN, policy_of(AUTO, classifier.method), *policies])
    }
    return compare_taught(taught, seconds=seconds_of(classifier, pictures), progress=progress)


def compare_taught(
    classifiers: Mapping[str, FewShotClassifier],
    *,
    seconds: float | None = None,
    progress: Progress | None = None,
) -> ViewsFound:
    """`compare_views` of classifiers that were taught the same pictures in the same order, by policy."""
    first = next(iter(classifiers.values()))
    X, y, groups = shots_of(first.head_)
    for policy, one in classifiers.items():
        if not np.array_equal(shots_of(one.head_)[1], y):
            raise SupportError(f"{policy!r} was taught other pictures; teach it the same ones, in order")
    return compare_views(
        X,
        y,
        {policy: support_teacher(one.head_) for policy, one in classifiers.items()},
        default=policy_of(AUTO, first.method),
        class_count=first.head_.class_count,
        groups=groups,
        from_words=with_words(text_of(first.head_)),
        seconds=seconds,
        progress=progress,
    )


def compare_views(
    X: Rows,
    y: IntArray,
    teachers: Mapping[str, Teach],
    *,
    default: str,
    class_count: int,
    groups: Sequence[object] | None = None,
    from_words: bool = False,
    seconds: float | None = None,
    progress: Progress | None = None,
) -> ViewsFound:
    """Leave shots out with all their views, and ask their plain pictures of classifiers of each policy.

    X : (N, D) embeddings of the plain pictures.    y : (N,) classes.    teachers : by policy, one of them
    "none", each of which teaches positions in X with their views.    default : one of the policies.
    groups, from_words : as for `hold_out`.    seconds : that encoding one view took.

    The choice leaves the default only for a policy that is better at it with 95 % certainty, with as many
    comparisons counted as there are (Bonferroni): by which of the shots that just one of the two names
    rightly it is (McNemar's exact test). Of several such, that of the largest sure gain.
    Raises SupportError where no shot can be left out, or the default or "none" are not among the policies.
    """
    for name in (PLAIN, default):
        if name not in teachers:
            raise SupportError(f"policies are compared with {name!r}, and it is not among {list(teachers)}")
    held: dict[str, HeldOut] = {}
    for number, (policy, teach) in enumerate(teachers.items()):
        held[policy] = hold_out(
            X,
            y,
            teach,
            class_count=class_count,
            groups=groups,
            from_words=from_words,
            progress=_part(progress, number, len(teachers)),
        )
    judged = held[default].judged
    right = {policy: (one.answers == one.y)[judged] for policy, one in held.items()}
    found = tuple(
        PolicyFound(
            policy=policy,
            encodings=policy_named(policy).count,
            accuracy=share(right[policy]),
            gain=None if policy == PLAIN else paired_shares(right[policy], right[PLAIN]),
        )
        for policy in teachers
    )
    chosen, why = _choice(right, default)
    return ViewsFound(
        policies=found,
        default=default,
        chosen=chosen,
        why=why,
        judged=int(judged.sum()),
        seconds=seconds,
    )


def _choice(right: Mapping[str, np.ndarray], default: str) -> tuple[str, str]:
    rivals = [policy for policy in right if policy != default]
    if not rivals:
        return default, "nothing was compared with it"
    certainty = 1 - (1 - _SURE) / len(rivals)
    gains = {policy: paired_shares(right[policy], right[default], certainty=certainty) for policy in rivals}
    best = max(rivals, key=lambda policy: (gains[policy].low, -policy_named(policy).count))
    gain = gains[best]
    if gain.low > 0:
        return best, (
            f"{best} names {100 * gain.value:.1f} points more of the left-out shots rightly than {default}, "
            f"at least {100 * gain.low:.1f} with {len(rivals)} comparisons counted"
        )
    best = max(rivals, key=lambda policy: (gains[policy].value, -policy_named(policy).count))
    gain = gains[best]
    return default, (
        f"no policy is surely better than {default}: of {len(right[default])} left-out shots {best} names "
        f"{100 * gain.value:+.1f} points rightly, and that may be {100 * gain.low:+.1f} with {len(rivals)} "
        f"{'comparison' if len(rivals) == 1 else 'comparisons'} counted"
    )


def _part(progress: Progress | None, number: int, count: int) -> Progress | None:
    """The progress of one of `count` comparisons as that of all."""
    if progress is None:
        return None
    return lambda done, rounds: progress(number * rounds + done, count * rounds)


def seconds_of(classifier: FewShotClassifier, pictures: Sequence[ImageSource]) -> float | None:
    """That reading and encoding a picture takes, whether its embedding is remembered or not; None for none
    that can be read again."""
    some = [picture for picture in pictures[:_TIMED] if not hasattr(picture, "read")]
    if classifier.encoder is None or not some:
        return None
    encoder = load_encoder(classifier.encoder)
    bare = encoder.encoder if isinstance(encoder, CachedEncoder) else encoder
    started = time.perf_counter()
    bare.encode_images(some)
    return (time.perf_counter() - started) / len(some)

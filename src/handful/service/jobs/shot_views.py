"""Rows of shots under any policy of views, made of kept pictures where they are not there already."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Collection
from functools import partial

import numpy as np

from handful.augment import POLICIES, policy_named
from handful.encoders import Encoder
from handful.errors import ConflictError, RequestError
from handful.evaluation.classifier import first_rows
from handful.rows import IntArray, Rows
from handful.service.encoding import Encoding, Picture, Timings
from handful.service.jobs.work import Work
from handful.service.support import SupportRows
from handful.storage.blobs import Blobs
from handful.storage.store import Store

_MOST_BYTES = 2**30  # of all views of a classifier's shots
_TOGETHER = 96  # views that are encoded before progress is told
_TOLD = {
    count for count, policies in Counter(one.count for one in POLICIES.values()).items() if policies == 1
}

Note = Callable[[float], Awaitable[None]]  # told how far it is, 0 to 1


def checked_policy(views: object, known: Collection[str] = tuple(POLICIES)) -> str:
    """The name of a policy. Raises RequestError for what is none of those known."""
    if not isinstance(views, str) or views not in known:
        raise RequestError(
            f"there is no policy of views {views!r}; choose one of {', '.join(known)}", pointer="/views"
        )
    return views


class ShotViews:
    """Sees kept pictures by any policy."""

    def __init__(self, store: Store, blobs: Blobs, encoding: Encoding) -> None:
        self._store = store
        self._blobs = blobs
        self._encoding = encoding

    async def rows(
        self,
        work: Work,
        support: SupportRows,
        encoder: Encoder,
        policy: str,
        note: Note,
        *,
        timings: Timings | None = None,
    ) -> tuple[Rows, IntArray]:
        """(R, D) rows of the shots under a policy, the plain picture first, and (R,) the first row of each
        one's shot in `support`.

        A shot that was seen by this policy has the rows it has; their number tells, but where two policies
        make as many. One without a kept picture keeps its rows, too; without views it is the plain one.
        Raises ConflictError where they are too many.
        """
        first = first_rows(support.ids)
        each = policy_named(policy).count
        if each == 1:
            return support.X[first], first
        if 4 * each * len(first) * support.X.shape[1] > _MOST_BYTES:
            raise ConflictError(
                f"{len(first):,} shots of classifier {support.classifier.id} in {each} views each are more "
                "than is held in memory at once; choose a policy of fewer views, or none"
            )
        last = np.append(first[1:], len(support.ids))
        seen_so = (last - first == each) & (each in _TOLD)
        wanted = {support.ids[at] for at in first[~seen_so]} & support.pictured
        made = await self._seen(work, support, encoder, policy, wanted, note, timings or Timings())
        parts = [
            # The plain picture as it was taught, which what is kept of it may be a smaller copy of.
            np.concatenate([support.X[start : start + 1], made[support.ids[start]][1:]])
            if support.ids[start] in made
            else support.X[start:end]
            for start, end in zip(first, last, strict=True)
        ]
        X = np.concatenate(parts) if parts else support.X
        return X, np.repeat(first, [len(part) for part in parts])

    async def _seen(
        self,
        work: Work,
        support: SupportRows,
        encoder: Encoder,
        policy: str,
        wanted: set[str],
        note: Note,
        timings: Timings,
    ) -> dict[str, Rows]:
        """(V, D) by shot, of those wanted whose picture is there."""
        tenant, id = support.classifier.tenant, support.classifier.id
        shots = await self._store.shots_named(tenant, id, sorted(wanted))
        kept = [shot for shot in shots.values() if shot.blob is not None]
        made: dict[str, Rows] = {}
        step = max(_TOGETHER // policy_named(policy).count, 1)
        for start in range(0, len(kept), step):
            some = kept[start : start + step]
            data = await asyncio.gather(*(self._blobs.get(str(shot.blob)) for shot in some))
            there = [(shot, one) for shot, one in zip(some, data, strict=True) if one is not None]
            ask = partial(
                self._encoding.pictures,
                tenant,
                encoder,
                [one for _, one in there],
                pointers=[f"/shots/{shot.id}" for shot, _ in there],
                views=policy,
                timings=timings,
            )
            pictures: list[Picture] = await work.patiently(ask)
            made |= {shot.id: picture.X for (shot, _), picture in zip(there, pictures, strict=True)}
            await note((start + len(some)) / len(kept))
        return made

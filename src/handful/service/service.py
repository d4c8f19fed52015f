"""The service as a whole: every use case over one store, one place for blobs and one encoder."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta

from handful.encoders import Encoder
from handful.service.answers import Answers
from handful.service.changes import Changes
from handful.service.classes import Classes
from handful.service.classifiers import Classifiers
from handful.service.encoding import Encoding
from handful.service.heads import Heads
from handful.service.jobs import Jobs
from handful.service.jobs.change_views import ChangeViews
from handful.service.jobs.evaluate import Evaluate
from handful.service.jobs.import_classifiers import ImportClassifiers
from handful.service.jobs.import_shots import ImportShots
from handful.service.jobs.train import Train
from handful.service.keys import Keys
from handful.service.readiness import Readiness
from handful.service.removals import Removals
from handful.service.shots import Shots
from handful.service.transfer import Transfer
from handful.service.upkeep import Upkeep
from handful.service.versions import Versions
from handful.settings import Settings
from handful.storage.blobs import Blobs
from handful.storage.open import open_store
from handful.storage.store import Store


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """The use cases, by what they are about."""

    settings: Settings
    store: Store
    blobs: Blobs
    encoding: Encoding
    classifiers: Classifiers
    classes: Classes
    removals: Removals
    shots: Shots
    heads: Heads
    answers: Answers
    versions: Versions
    jobs: Jobs
    transfer: Transfer
    keys: Keys
    readiness: Readiness


@asynccontextmanager
async def open_service(settings: Settings, encoder: Encoder | None = None) -> AsyncIterator[Service]:
    """The service, from here to the end of the block, where it finishes what it has accepted.

    encoder : in place of the one that the settings name. It warms up meanwhile: `encoding.ready`.
    Raises StorageError where the store or the blobs cannot be opened.
    """
    async with AsyncExitStack() as stack:
        blobs = blobs_of(settings)
        store = store_of(settings)
        stack.push_async_callback(store.close)
        encoding = Encoding(settings, encoder)
        stack.push_async_callback(encoding.close)
        heads = Heads(store, encoding, settings)
        stack.push_async_callback(heads.close)
        changes = Changes(store, settings)
        jobs = Jobs(store, settings)
        stack.push_async_callback(jobs.close)
        shots = Shots(store, blobs, changes, encoding, heads)
        stack.push_async_callback(shots.close)
        classifiers = Classifiers(store, changes, encoding)
        transfer = Transfer(store, blobs, changes, classifiers, heads, jobs, settings)
        upkeep = Upkeep(store, blobs, transfer.uploads, timedelta(days=settings.job_days))
        stack.push_async_callback(upkeep.close)
        readiness = Readiness(store, encoding)
        stack.push_async_callback(readiness.close)
        warming = asyncio.create_task(encoding.start(), name="handful-warm-up")
        stack.push_async_callback(_done, warming)
        jobs.start(
            [
                Train(store, blobs, changes, encoding, heads),
                Evaluate(encoding, heads, store, blobs),
                ChangeViews(store, blobs, changes, encoding, heads),
                ImportShots(transfer.uploads, shots, settings),
                ImportClassifiers(transfer.uploads, classifiers, shots, heads, store, settings),
            ]
        )
        yield Service(
            settings=settings,
            store=store,
            blobs=blobs,
            encoding=encoding,
            classifiers=classifiers,
            classes=Classes(store, changes),
            removals=Removals(store),
            shots=shots,
            heads=heads,
            answers=Answers(store, encoding, heads, settings),
            versions=Versions(store, changes, heads),
            jobs=jobs,
            transfer=transfer,
            keys=Keys(store, settings.admin_key_file),
            readiness=readiness,
        )


def store_of(settings: Settings) -> Store:
    """The store that the settings name. Raises StorageError."""
    wait_replicas = settings.redis_wait_replicas
    return open_store(settings.store_place, blobs_of(settings), redis_wait_replicas=wait_replicas)


def blobs_of(settings: Settings) -> Blobs:
    """The place for kept pictures that the settings name."""
    return Blobs(settings.blobs_place)


async def _done(warming: "asyncio.Task[None]") -> None:
    await asyncio.gather(warming, return_exceptions=True)

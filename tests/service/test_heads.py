"""Heads are compiled when they are behind, once; they count every write, and outlive a restart."""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from handful.adapters.head import fit_head
from handful.adapters.methods import METHODS
from handful.background import Background
from handful.errors import ConflictError
from handful.service import heads
from handful.service.answers import Asked
from handful.service.classes import NewClass
from handful.service.classifiers import ClassifierPatch, NewClassifier
from handful.service.new_shots import NewShot
from handful.service.service import open_service
from handful.settings import Settings
from handful.storage.records import HeadRecord, Pinned
from handful.storage.store import Change

pytestmark = pytest.mark.anyio


@pytest.fixture
def fits(monkeypatch):
    """The methods of heads that were fitted, in order."""
    fitted = []

    def counting(method, *given, **named):
        fitted.append(method)
        return fit_head(method, *given, **named)

    monkeypatch.setattr(heads, "fit_head", counting)
    return fitted


async def record_of(service, id):
    return (await service.classifiers.get("default", id)).record


async def asked(service, id, Q):
    return await service.answers.classify("default", id, Asked(rows=Q), top_k=1000)


def probabilities(answer):
    return [{one.label: one.probability for one in said.classes} for said in answer.predictions]


async def test_many_who_ask_at_once_wait_for_one_head(opened, taught, rows, fits):
    async with opened() as service:
        id = await taught(service)
        answers = await asyncio.gather(*(asked(service, id, rows(0)) for _ in range(20)))
        assert fits == ["auto"]
        assert len({answer.version for answer in answers}) == 1
        await asked(service, id, rows(1))
        assert fits == ["auto"]


async def test_who_stops_waiting_does_not_stop_the_head_of_others(opened, taught, rows, fits):
    async with opened() as service:
        id = await taught(service)
        impatient = asyncio.create_task(asked(service, id, rows(0)))
        patient = asyncio.create_task(asked(service, id, rows(0)))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        impatient.cancel()
        with pytest.raises(asyncio.CancelledError):
            await impatient
        assert len((await patient).predictions) == 1
        assert fits == ["auto"]


async def test_after_a_restart_the_kept_head_answers_just_as_before(opened, taught, rows, fits):
    Q = rows(0, 20, blur=1.0)
    async with opened() as service:
        id = await taught(service)
        before = await asked(service, id, Q)
    async with opened() as service:
        after = await asked(service, id, Q)
        assert fits == ["auto"]
    assert (after.predictions, after.version) == (before.predictions, before.version)


async def test_every_write_counts_in_the_next_answer(opened, rows):
    async with opened() as service:
        id = (await service.classifiers.create("default", NewClassifier(name="x", use_text=False))).record.id
        for axis in range(4):
            await service.shots.add("default", id, [NewShot(label=f"c{axis}", row=rows(axis)[0])])
            answer = await asked(service, id, rows(axis, seed=1))
            assert answer.predictions[0].label == f"c{axis}"
            assert answer.version == (await record_of(service, id)).support_version


async def test_a_write_of_another_process_counts_in_the_next_answer(opened, taught, rows, tiny_encoder_class):
    async with opened() as one, opened(tiny_encoder_class()) as other:
        id = await taught(one, use_text=False)
        await asked(other, id, rows(0))
        await one.shots.add("default", id, [NewShot(label="blue", row=row) for row in rows(2, 4)])
        answer = await asked(other, id, rows(2, seed=1))
        assert answer.predictions[0].label == "blue"
        assert probabilities(answer) == probabilities(await asked(one, id, rows(2, seed=1)))


async def test_a_head_is_of_one_moment_while_shots_come_in(opened, taught, rows):
    async with opened() as service:
        id = await taught(service, use_text=False)
        done = asyncio.Event()

        async def add():
            for at in range(20):
                await service.shots.add("default", id, [NewShot(label=f"n{at}", row=rows(3, seed=at)[0])])
            done.set()

        async def ask():
            versions = []
            while not done.is_set():
                versions.append((await asked(service, id, rows(0))).version)
            return versions

        _, *seen = await asyncio.gather(add(), *(ask() for _ in range(3)))
        for versions in seen:
            assert versions == sorted(versions)
        answer = await asked(service, id, rows(3))
        assert len(answer.predictions[0].classes) == 22
        assert answer.version == (await record_of(service, id)).support_version


@pytest.mark.parametrize("method", sorted(METHODS))
async def test_a_class_that_has_nothing_yet_is_left_out_until_it_has(opened, rows, method):
    bare, spoken = NewClass(name="17"), NewClass(name="red")
    async with opened() as service:
        view = await service.classifiers.create(
            "default", NewClassifier(name="x", method=method, classes=(bare, spoken))
        )
        id = view.record.id
        answer = await service.answers.classify("default", id, Asked(rows=rows(0)), explain=3)
        assert [one.label for one in answer.predictions[0].classes] == ["red"]
        assert answer.predictions[0].neighbours == ()
        await service.shots.add("default", id, [NewShot(label="17", row=row) for row in rows(0, 2)])
        if method == "zero-shot":
            with pytest.raises(ConflictError, match="class '17' say nothing; describe it"):
                await asked(service, id, rows(0))
            await service.classes.put("default", id, [NewClass(name="17", description="a green thing")])
        answer = await asked(service, id, rows(0))
        assert {one.label for one in answer.predictions[0].classes} == {"17", "red"}


@pytest.mark.parametrize("classes", [(), (NewClass(name="17"),)])
async def test_a_classifier_with_nothing_to_answer_by_says_what_to_do(opened, rows, classes):
    async with opened() as service:
        view = await service.classifiers.create("default", NewClassifier(name="x", classes=classes))
        with pytest.raises(ConflictError, match="add shots, or classes whose names say something"):
            await asked(service, view.record.id, rows(0))
        await service.shots.add("default", view.record.id, [NewShot(label="17", row=rows(0)[0])])
        assert (await asked(service, view.record.id, rows(0))).predictions[0].label == "17"


async def test_until_it_is_trained_auto_answers_for_a_trained_method(opened, taught, rows, fits):
    async with opened() as service:
        id = await taught(service, method="tip-f")
        await asked(service, id, rows(0))
        assert fits == ["auto"]
        (version,) = await service.versions.list("default", id)
        assert version.method == "auto"


async def test_the_newest_closed_form_heads_are_kept(opened, taught, rows):
    async with opened() as service:
        id = await taught(service)
        for at in range(heads.KEPT + 3):
            await service.shots.add("default", id, [NewShot(label="red", row=rows(0, seed=at)[0])])
            await asked(service, id, rows(0))
        await service.heads.settled("default", id)
        kept = [head.version for head in await service.store.heads("default", id)]
        newest = (await record_of(service, id)).support_version
        assert kept == list(range(newest, newest - heads.KEPT, -1))


async def test_a_kept_head_that_cannot_be_read_is_compiled_again(opened, taught, rows, fits):
    async with opened() as service:
        id = await taught(service)
        version = (await record_of(service, id)).support_version
        broken = HeadRecord(
            version=version,
            support_version=version,
            method="auto",
            trained=False,
            held=False,
            created=datetime.now(UTC),
        )
        await service.store.keep_head("default", id, broken, b"no head", newest=5)
        answer = await asked(service, id, rows(0))
        assert (answer.version, fits) == (version, ["auto"])


async def test_a_background_that_changed_makes_no_classifier_unusable(
    opened, taught, rows, tiny_encoder_class, fits
):
    first, second = (Background.fit(np.random.default_rng(seed).standard_normal((64, 28))) for seed in (0, 1))
    async with opened(tiny_encoder_class(background=first)) as service:
        id = await taught(service)
        await asked(service, id, rows(0))
    async with opened(tiny_encoder_class(background=second)) as service:
        assert (await asked(service, id, rows(0))).predictions[0].label == "red"
        assert fits == ["auto", "auto"]


async def test_a_head_made_without_a_background_is_compiled_again_once_there_is_one(
    opened, taught, rows, tiny_encoder_class, fits
):
    async with opened(tiny_encoder_class()) as service:
        id = await taught(service)
        before = await asked(service, id, rows(0))
    async with opened(tiny_encoder_class(background=_background(1))) as service:
        after = await asked(service, id, rows(0))
        assert fits == ["auto", "auto"]
        assert after.predictions[0].probability != before.predictions[0].probability
    async with opened(tiny_encoder_class(background=_background(1))) as service:
        assert (await asked(service, id, rows(0))).predictions == after.predictions


async def test_heads_that_stay_answer_as_they_did_when_the_background_is_another(
    opened, taught, rows, tiny_encoder_class, tmp_path
):
    Q = rows(0, 5, blur=0.8)
    answers = {}
    async with opened(tiny_encoder_class(background=_background(1))) as service:
        for method in ("auto", "lda"):
            id = await taught(service, method=method)
            await pinned(service, id, rows)
            answers[id] = (await asked(service, id, Q)).predictions
        for method in ("tip-f", "clip-adapter"):
            id = await taught(service)
            job = await service.jobs.submit("default", "train", id, {"method": method})
            *_, last = [state async for state in service.jobs.events("default", job.id)]
            assert last.status == "succeeded", last.error
            answers[id] = (await asked(service, id, Q)).predictions
    async with opened(tiny_encoder_class(background=_background(2))) as service:
        assert {id: (await asked(service, id, Q)).predictions for id in answers} == answers
    for file in (tmp_path / "backgrounds" / "kept").iterdir():
        file.unlink()
    async with opened(tiny_encoder_class(background=_background(2))) as service:
        first, *_ = answers
        with pytest.raises(ConflictError, match=r"needs the background [0-9a-f]{16} of its encoder"):
            await asked(service, first, Q)
        await service.classifiers.patch("default", first, ClassifierPatch(method="auto"))
        assert (await asked(service, first, Q)).predictions


async def test_a_package_is_read_by_the_background_that_its_head_names(
    opened, taught, rows, tiny_encoder_class
):
    Q = rows(0, 5, blur=0.8)
    async with opened(tiny_encoder_class(background=_background(1))) as service:
        id = await taught(service)
        await pinned(service, id, rows)
        before = (await asked(service, id, Q)).predictions
    async with opened(tiny_encoder_class(background=_background(2))) as service:
        package = await service.transfer.export("default", id)
        view = await service.transfer.import_classifier("default", package)
        assert (await asked(service, view.record.id, Q)).predictions == before


async def test_a_folder_that_cannot_be_written_keeps_no_background_and_hinders_no_answer(
    opened, taught, rows, tiny_encoder_class, tmp_path, caplog
):
    (tmp_path / "backgrounds").write_text("a file where the folder should be")
    async with opened(tiny_encoder_class(background=_background(1))) as service:
        id = await taught(service)
        assert (await asked(service, id, rows(0))).predictions[0].label == "red"
    assert "background of encoder tiny could not be kept" in caplog.text


async def pinned(service, id, rows):
    """An older version answers, in closed form."""
    version = (await asked(service, id, rows(0))).version
    await service.shots.add("default", id, [NewShot(label="red", row=rows(0)[0])])
    await service.versions.activate("default", id, version)


def _background(seed):
    """As it comes out of a file."""
    return Background.from_bytes(
        Background.fit(np.random.default_rng(seed).standard_normal((64, 28))).to_bytes()
    )


async def test_a_pinned_head_that_is_gone_is_said(opened, taught, rows):
    async with opened() as service:
        id = await taught(service)
        before = await record_of(service, id)
        after = replace(before, revision=before.revision + 1, pinned=Pinned(version=99, since=1))
        await service.store.apply(Change(before=before, after=after))
        with pytest.raises(ConflictError, match=r"head 99 of classifier .* is gone; activate another"):
            await asked(service, id, rows(0))
        await service.classifiers.patch("default", id, ClassifierPatch(method="auto"))
        assert (await asked(service, id, rows(0))).predictions


async def test_memory_for_heads_is_bounded(opened, taught, rows):
    async with opened(heads_cache_bytes=60_000) as service:
        ids = [await taught(service) for _ in range(6)]
        for id in ids * 2:
            await asked(service, id, rows(0))
            assert service.heads.nbytes <= 60_000
    async with opened(heads_cache_bytes=10) as service:
        assert (await asked(service, ids[0], rows(0))).predictions[0].label == "red"
        assert service.heads.nbytes == 0


ROWS = np.random.default_rng(0).standard_normal((12, 28)).astype(np.float32)
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("add"), st.integers(0, 11), st.sampled_from("abc")),
        st.tuples(st.just("drop"), st.integers(0, 11), st.just("")),
        st.tuples(st.just("label"), st.integers(0, 11), st.sampled_from("abc")),
    ),
    max_size=12,
)


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(steps=STEPS, method=st.sampled_from(["auto", "lda", "prototype", "tip"]))
async def test_any_order_of_writes_leaves_the_head_of_what_is_left(
    tmp_path_factory, tiny_encoder_class, steps, method
):
    """Against a classifier that was given at once what the other has left, in the order it came."""
    folder = tmp_path_factory.mktemp("law")
    async with open_service(Settings(data_dir=folder), tiny_encoder_class()) as service:
        new = NewClassifier(name="x", method=method, classes=tuple(NewClass(name=name) for name in "abc"))
        one = (await service.classifiers.create("default", new)).record.id
        other = (await service.classifiers.create("default", new)).record.id
        left: dict[int, tuple[str, str]] = {}
        for what, at, label in [("add", 0, "a"), *steps]:
            if what == "add" and at not in left:
                shot = NewShot(label=label, row=ROWS[at])
                (view,) = await service.shots.add("default", one, [shot])
                left[at] = (view.record.id, label)
            elif what == "drop" and at in left and len(left) > 1:
                await service.shots.delete("default", one, left.pop(at)[0])
            elif what == "label" and at in left:
                await service.shots.relabel("default", one, left[at][0], label)
                left[at] = (left[at][0], label)
            if at % 3 == 0:
                await asked(service, one, ROWS)
        await service.shots.add(
            "default", other, [NewShot(label=label, row=ROWS[at]) for at, (_, label) in left.items()]
        )
        found, wanted = await asked(service, one, ROWS), await asked(service, other, ROWS)
        assert found.predictions == wanted.predictions
        classes = (await service.classifiers.get("default", one)).classes
        counts = [sum(label == one.name for _, label in left.values()) for one in classes]
        assert [one.shots for one in classes] == counts

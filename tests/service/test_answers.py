"""Answers: by a classifier, by words alone, and with reasons."""

import asyncio

import numpy as np
import pytest

from handful.adapters.head import fit_head
from handful.errors import ConflictError, RequestError
from handful.rows import unit
from handful.service.answers import Asked
from handful.service.classifiers import NewClassifier
from handful.service.new_shots import NewShot
from handful.service.support import support_rows

pytestmark = pytest.mark.anyio

CLOSED = ["auto", "lda", "prototype", "tip", "proker"]


async def fitted(service, id, method):
    """The head that the library makes of what the store holds, and its support."""
    rows = support_rows(await service.store.support("default", id))
    head = fit_head(
        method,
        rows.X,
        rows.keys,
        class_count=len(rows.classes),
        groups=rows.groups,
        shot_ids=rows.ids,
    )
    return head, rows


@pytest.mark.parametrize("method", CLOSED)
async def test_answers_are_those_of_the_librarys_compact_head(opened, taught, rows, method):
    Q = np.concatenate([rows(axis, 4, seed=7, blur=0.4) for axis in range(3)])
    async with opened() as service:
        id = await taught(service, classes=("a", "b", "c"), method=method, use_text=False)
        answer = await service.answers.classify("default", id, Asked(rows=Q))
        compact = (await fitted(service, id, method))[0].compact().judged(Q)
        assert answer.encoder == "tiny"
        for said, probabilities, known in zip(
            answer.predictions, compact.probabilities, compact.known, strict=True
        ):
            order = np.argsort(-probabilities)
            assert [one.label for one in said.classes] == ["abc"[at] for at in order]
            assert [one.probability for one in said.classes] == pytest.approx(probabilities[order])
            assert (said.label, said.probability) == (said.classes[0].label, said.classes[0].probability)
            assert said.known == pytest.approx(known)
            assert said.unknown == (known < 0.05)
            assert (said.neighbours, said.set) == (None, None)


@pytest.mark.parametrize("method", CLOSED)
async def test_reasons_are_those_of_the_head_that_holds_its_shots(opened, taught, rows, method):
    Q = rows(1, 3, seed=3, blur=0.3)
    async with opened() as service:
        id = await taught(service, classes=("a", "b", "c"), method=method, use_text=False)
        answer = await service.answers.classify("default", id, Asked(rows=Q), explain=3)
        head, _ = await fitted(service, id, method)
        for said, q in zip(answer.predictions, Q, strict=True):
            wanted = head.explain(q, 3)
            assert [near.shot for near in said.neighbours] == [near.shot_id for near in wanted]
            assert [near.share for near in said.neighbours] == pytest.approx(
                [near.share for near in wanted], abs=0.02
            )
            assert {near.label for near in said.neighbours} == {said.label}


async def test_reasons_name_pictures_where_they_are_kept(opened, png):
    async with opened() as service:
        id = (await service.classifiers.create("default", NewClassifier(name="x"))).record.id
        pictured = await service.shots.add(
            "default", id, [NewShot(label="red", image=png("red", seed)) for seed in range(2)]
        )
        await service.shots.add("default", id, [NewShot(label="red", row=[1.0] * 28)])
        asked = Asked(images=[png("red", 9)], pointers=["/files/0"])
        answer = await service.answers.classify("default", id, asked, explain=10)
        named = {near.shot: bool(near.image) for near in answer.predictions[0].neighbours}
        assert len(named) == 3
        assert [named[view.record.id] for view in pictured] == [True, True]
        assert sum(near.share for near in answer.predictions[0].neighbours) == pytest.approx(1)


async def test_a_warm_classifier_is_read_once_and_looked_at_once(
    opened, taught, rows, png, calls, tiny_encoder
):
    async with opened() as service:
        id = await taught(service)
        await service.answers.classify("default", id, Asked(rows=rows(0)))
        await service.heads.settled("default", id)
        await service.encoding.start()
        seen = tiny_encoder.pictures_seen
        calls.clear()
        await service.answers.classify("default", id, Asked(rows=rows(0)))
        assert calls == {"classifier": 1}
        pictures = Asked(images=[png("red"), png("blue"), png("red")], pointers=["/0", "/1", "/2"])
        answer = await service.answers.classify("default", id, pictures)
        assert calls == {"classifier": 2}
        assert tiny_encoder.pictures_seen == seen + 2
        assert answer.predictions[0] == answer.predictions[2]
        await service.answers.classify("default", id, pictures)
        assert tiny_encoder.pictures_seen == seen + 2


async def test_words_are_read_once(opened, taught, rows, tiny_encoder):
    async with opened() as service:
        id = await taught(service)
        await service.answers.classify("default", id, Asked(rows=rows(0)))
        read = tiny_encoder.texts_read
        await service.shots.add("default", id, [NewShot(label="red", row=rows(0)[0])])
        await service.answers.classify("default", id, Asked(rows=rows(0)))
        assert tiny_encoder.texts_read == read


async def test_large_questions_are_answered_like_small_ones(opened, taught, rows, monkeypatch):
    Q = rows(0, 300, blur=1.0)
    async with opened() as service:
        id = await taught(service)
        aside = []
        to_thread = asyncio.to_thread

        async def noted(work, *given, **named):
            aside.append(work.__name__)
            return await to_thread(work, *given, **named)

        await service.answers.classify("default", id, Asked(rows=Q[:1]))
        await service.heads.settled("default", id)
        monkeypatch.setattr(asyncio, "to_thread", noted)
        one_by_one = [
            (await service.answers.classify("default", id, Asked(rows=q))).predictions[0] for q in Q[:5]
        ]
        assert "_said" not in aside
        monkeypatch.setattr("handful.service.answers._SMALL", 0)
        together = (await service.answers.classify("default", id, Asked(rows=Q))).predictions
        assert "_said" in aside
        for one, other in zip(one_by_one, together, strict=False):
            assert one.label == other.label
            assert one.probability == pytest.approx(other.probability, abs=1e-5)


async def test_rows_of_any_length_say_the_same(opened, taught, rows):
    async with opened() as service:
        id = await taught(service)
        (one,) = (await service.answers.classify("default", id, Asked(rows=rows(0)))).predictions
        (other,) = (await service.answers.classify("default", id, Asked(rows=1000 * rows(0)))).predictions
        assert one.probability == pytest.approx(other.probability, abs=1e-6)


async def test_as_many_classes_as_asked_and_sets_that_cover(opened, taught, rows):
    async with opened() as service:
        id = await taught(service, classes=[f"c{at}" for at in range(12)], shots=6, use_text=False)
        asked = Asked(rows=rows(3, seed=1))
        few = await service.answers.classify("default", id, asked, top_k=2, coverage=0.9)
        assert len(few.predictions[0].classes) == 2
        assert "c3" in few.predictions[0].set
        many = await service.answers.classify("default", id, asked, top_k=1000)
        assert len(many.predictions[0].classes) == 12
        assert sum(one.probability for one in many.predictions[0].classes) == pytest.approx(1)


async def test_sets_cannot_be_promised_by_few_shots(opened, taught, rows):
    async with opened() as service:
        id = await taught(service, shots=1)
        with pytest.raises(ConflictError, match="coverage"):
            await service.answers.classify("default", id, Asked(rows=rows(0)), coverage=0.99)


@pytest.mark.parametrize(
    ("options", "pointer"),
    [
        ({"top_k": 0}, "/top_k"),
        ({"top_k": 1001}, "/top_k"),
        ({"coverage": 1.0}, "/coverage"),
        ({"explain": 101}, "/explain"),
        ({"explain": -1}, "/explain"),
    ],
)
async def test_options_out_of_bounds_are_pointed_at(opened, taught, rows, options, pointer):
    async with opened() as service:
        id = await taught(service)
        with pytest.raises(RequestError) as refused:
            await service.answers.classify("default", id, Asked(rows=rows(0)), **options)
        assert refused.value.pointer == pointer


@pytest.mark.parametrize("given", [[[1.0] * 27], [[0.0] * 28], [[float("inf")] * 28], [["a"] * 28], [[]]])
async def test_rows_that_are_no_embeddings_are_refused(opened, taught, given):
    async with opened() as service:
        id = await taught(service)
        with pytest.raises(RequestError) as refused:
            await service.answers.classify("default", id, Asked(rows=given))
        assert refused.value.pointer == "/embeddings"


async def test_nothing_to_look_at_is_refused(opened, taught):
    async with opened() as service:
        id = await taught(service)
        for nothing in (Asked(), Asked(rows=np.zeros((0, 28)))):
            with pytest.raises(RequestError, match="nothing to look at"):
                await service.answers.classify("default", id, nothing)


async def test_words_alone_answer_and_nothing_is_kept(opened, png, calls, tmp_path):
    async with opened() as service:
        calls.clear()
        answer = await service.answers.zero_shot(
            "default",
            ["red", "blue", "green"],
            Asked(images=[png("blue"), png("red")], pointers=["/0", "/1"]),
            top_k=2,
        )
        assert [said.label for said in answer.predictions] == ["blue", "red"]
        assert [len(said.classes) for said in answer.predictions] == [2, 2]
        assert (answer.version, answer.encoder) == (0, "tiny")
        assert calls == {}
        assert await service.blobs.names() == []
        for labels in ([], ["red", " red"], ["a/b"], ["x" * 201]):
            with pytest.raises(RequestError) as refused:
                await service.answers.zero_shot("default", labels, Asked(rows=[[1.0] * 28]))
            assert refused.value.pointer.startswith("/labels")


async def test_embeddings_are_the_encoders(opened, png, tiny_encoder):
    async with opened() as service:
        pictures = await service.answers.embed_images("default", "tiny", [png("red")], ["/0"])
        texts = await service.answers.embed_texts("default", None, ["a red thing", "a blue thing"])
        assert np.allclose(pictures, tiny_encoder.encode_images([png("red")]), atol=1e-6)
        assert np.allclose(texts, tiny_encoder.encode_texts(["a red thing", "a blue thing"]))
        assert np.allclose(np.linalg.norm(pictures, axis=1), 1)
        with pytest.raises(RequestError, match="no encoder 'none'"):
            await service.answers.embed_texts("default", "none", ["x"])


async def test_time_is_told_by_its_parts(opened, png):
    async with opened() as service:
        id = (await service.classifiers.create("default", NewClassifier(name="x"))).record.id
        await service.shots.add("default", id, [NewShot(label="red", image=png("red"))])
        asked = Asked(images=[png("blue")], pointers=["/0"])
        timings = (await service.answers.classify("default", id, asked)).timings
        assert min(timings.decode, timings.encode, timings.score) > 0


async def test_the_builtin_encoder_learns_two_kinds_of_waste(opened, encoder, trashnet_shots):
    kinds = ["glass", "paper"]
    pictures, labels = trashnet_shots(8, classes=kinds)
    async with opened(encoder) as service:
        id = (await service.classifiers.create("default", NewClassifier(name="waste"))).record.id
        words = await service.answers.zero_shot(
            "default", kinds, Asked(images=[pictures[0].read_bytes()], pointers=["/0"])
        )
        assert {one.label for one in words.predictions[0].classes} == set(kinds)
        await service.shots.add(
            "default",
            id,
            [
                NewShot(label=label, image=picture.read_bytes(), pointer=f"/{at}")
                for at, (picture, label) in enumerate(zip(pictures, labels, strict=True))
            ],
        )
        asked, truths = trashnet_shots(10, first=20, classes=kinds)
        answer = await service.answers.classify(
            "default",
            id,
            Asked(
                images=[picture.read_bytes() for picture in asked],
                pointers=[f"/{at}" for at in range(len(asked))],
            ),
            explain=1,
        )
        right = [said.label == truth for said, truth in zip(answer.predictions, truths, strict=True)]
        assert np.mean(right) >= 0.75
        rows = await service.answers.embed_images("default", None, [asked[0].read_bytes()], ["/0"])
        assert np.allclose(unit(rows), rows, atol=1e-6)


async def test_one_row_is_scored_at_once_and_a_batch_aside_whatever_the_head(opened, encoder, monkeypatch):
    rng = np.random.default_rng(0)
    async with opened(encoder) as service:
        id = (await service.classifiers.create("default", NewClassifier(name="x"))).record.id
        new = [NewShot(label=label, row=rng.standard_normal(512)) for label in "ab" for _ in range(3)]
        await service.shots.add("default", id, new)
        await service.answers.classify("default", id, Asked(rows=rng.standard_normal(512)))
        await service.heads.settled("default", id)
        aside = []
        to_thread = asyncio.to_thread

        async def noted(work, *given, **named):
            aside.append(work.__name__)
            return await to_thread(work, *given, **named)

        monkeypatch.setattr(asyncio, "to_thread", noted)
        await service.answers.classify("default", id, Asked(rows=rng.standard_normal(512)))
        assert "_said" not in aside
        await service.answers.classify("default", id, Asked(rows=rng.standard_normal((64, 512))))
        assert "_said" in aside


async def test_reasons_are_given_for_as_many_rows_as_pictures(opened, taught, rows):
    async with opened() as service:
        id = await taught(service)
        answer = await service.answers.classify("default", id, Asked(rows=rows(0, 256)), explain=1)
        assert all(said.neighbours for said in answer.predictions)
        with pytest.raises(RequestError, match="ask for 256 at a time") as refused:
            await service.answers.classify("default", id, Asked(rows=rows(0, 257)), explain=1)
        assert refused.value.pointer == "/explain"

"""What the words of classes say."""

import asyncio
from dataclasses import replace

import numpy as np
import pytest

from handful.errors import EncoderError
from handful.prompts import TEMPLATES
from handful.service.answers import Asked
from handful.service.classes import NewClass
from handful.service.classifiers import ClassifierPatch, NewClassifier
from handful.service.new_shots import NewShot
from handful.service.words import class_prompts

pytestmark = pytest.mark.anyio


async def until(condition):
    async with asyncio.timeout(30):
        while not condition():
            await asyncio.sleep(0.001)


async def view_of(service, *classes, **settings):
    return await service.classifiers.create("default", NewClassifier(name="x", classes=classes, **settings))


async def prompts(service, *classes, **settings):
    view = await view_of(service, *classes, **settings)
    return class_prompts(view.record, view.classes)


async def test_templates_speak_of_names_and_descriptions_are_said_beside_them(opened):
    async with opened() as service:
        bare, described = await prompts(
            service,
            NewClass(name="dent"),
            NewClass(name="rust", description="brown spots"),
            templates=("a {} on metal", "one {}"),
        )
        assert bare == ("a dent on metal", "one dent")
        assert set(described) > {"a rust on metal", "one rust"}
        assert any("brown spots" in prompt for prompt in described)


async def test_prompts_of_ones_own_stand_in_for_templates(opened):
    async with opened() as service:
        (own, both) = await prompts(
            service,
            NewClass(name="a", prompts=("a hollow in a pan", " ")),
            NewClass(name="b", prompts=("a line in a pan",), description="a cut"),
        )
        assert own == ("a hollow in a pan",)
        assert both == ("a line in a pan", "a cut")


async def test_a_number_says_nothing_until_it_is_described(opened):
    async with opened() as service:
        number, described = await prompts(
            service, NewClass(name="17"), NewClass(name="18", description="a red thing")
        )
        assert number == ()
        assert described == ("a red thing",)


async def test_words_that_shall_not_count_do_not(opened):
    async with opened() as service:
        view = await view_of(service, NewClass(name="red", description="x", prompts=("y",)), use_text=False)
        assert class_prompts(view.record, view.classes) == [()]
        spoken = replace(view.record, use_text=True)
        assert class_prompts(spoken, view.classes) == [("y", "x")]


async def test_words_answer_before_there_is_a_shot_and_what_they_say_may_change(opened, tiny_encoder):
    Q = tiny_encoder.encode_texts(["red", "blue"])
    async with opened() as service:
        view = await view_of(service, NewClass(name="red"), NewClass(name="blue"))
        id = view.record.id
        answer = await service.answers.classify("default", id, Asked(rows=Q))
        assert [said.label for said in answer.predictions] == ["red", "blue"]
        await service.classes.put("default", id, [NewClass(name="red", prompts=("like blue",))])
        await service.classes.put("default", id, [NewClass(name="blue", prompts=("like red",))])
        answer = await service.answers.classify("default", id, Asked(rows=Q))
        assert [said.label for said in answer.predictions] == ["blue", "red"]
        patched = await service.classifiers.patch("default", id, ClassifierPatch(domain="paint"))
        answer = await service.answers.classify("default", id, Asked(rows=Q))
        assert answer.version == patched.record.revision


async def test_the_text_of_the_library_is_the_text_of_the_service(opened, tiny_encoder):
    from handful.prompts import class_prompts as made
    from handful.prompts import text_prior
    from handful.service.words import text_rows

    async with opened() as service:
        view = await view_of(service, NewClass(name="red"), NewClass(name="17"), NewClass(name="green"))
        own = class_prompts(view.record, view.classes)
        rows = await text_rows(service.encoding, "default", tiny_encoder, own)
        wanted = text_prior(tiny_encoder.encode_texts, made(["red", "green"]))
        assert np.allclose(rows[[0, 2]], wanted, atol=1e-6)
        assert not rows[1].any()
        assert await text_rows(service.encoding, "default", tiny_encoder, [(), ()]) is None


async def test_words_are_read_while_pictures_are_taught(opened, tiny_encoder, png, warm):
    async with opened() as service:
        await warm()
        view = await view_of(service, NewClass(name="red", prompts=("like fire",)))
        before = tiny_encoder.texts_read
        new = [NewShot(label=name, image=png(name)) for name in ("red", "blue")]
        await service.shots.add("default", view.record.id, new)
        await until(lambda: tiny_encoder.texts_read > before)
        read = tiny_encoder.texts_read
        assert read == before + 1 + len(TEMPLATES["photo"])
        answer = await service.answers.classify("default", view.record.id, Asked(images=[png("red", 1)]))
        assert answer.predictions[0].label == "red"
        assert tiny_encoder.texts_read == read


async def test_words_that_could_not_be_read_meanwhile_stop_nobody(
    opened, tiny_encoder, png, warm, monkeypatch
):
    async with opened() as service:
        await warm()
        view = await view_of(service)
        failed = []

        def failing(texts):
            failed.append(texts)
            raise EncoderError("the text tower is gone")

        with monkeypatch.context() as broken:
            broken.setattr(tiny_encoder, "encode_texts", failing)
            new = [NewShot(label="red", image=png("red"))]
            await service.shots.add("default", view.record.id, new)
            await until(lambda: failed)
        answer = await service.answers.classify("default", view.record.id, Asked(images=[png("red", 1)]))
        assert answer.predictions[0].label == "red"


@pytest.mark.parametrize(("remembered", "use_text"), [(0, True), (2**20, False)])
async def test_words_that_would_be_read_for_nothing_are_not(
    opened, tiny_encoder, png, warm, remembered, use_text
):
    async with opened(embeddings_cache_bytes=remembered) as service:
        await warm()
        view = await view_of(service, use_text=use_text)
        before = tiny_encoder.texts_read
        await service.shots.add("default", view.record.id, [NewShot(label="red", image=png("red"))])
        await service.shots.add("default", view.record.id, [NewShot(label="red", image=png("red", 1))])
        assert tiny_encoder.texts_read == before

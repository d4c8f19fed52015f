"""Several encoders in one service: who may name which, and when they are in memory."""

import asyncio
import threading

import numpy as np
import pytest

from handful.encoders.builtin import BuiltinEncoder
from handful.errors import EncoderError, RequestError
from handful.service.answers import Asked
from handful.service.classifiers import NewClassifier
from handful.service.encoding import Encoding, encoders
from handful.service.encoding.encoders import Encoders
from handful.service.new_shots import NewShot
from handful.service.service import open_service

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend():
    return "asyncio"


class Slow:
    """Finds an encoder of any name, each its own, once it may. Counts."""

    def __init__(self, make):
        self.make, self.asked, self.go, self.began = make, [], threading.Event(), threading.Event()
        self.go.set()

    def __call__(self, name, *, settings, cached):
        self.asked.append(name)
        self.began.set()
        if not self.go.wait(30):
            raise TimeoutError
        if name == "missing":
            raise EncoderError("the hub has no such file; give another")
        own = self.make(fingerprint=f"{name}-1")
        own.name = name
        return own


@pytest.fixture
def slow(monkeypatch, tiny_encoder_class):
    one = Slow(tiny_encoder_class)
    monkeypatch.setattr(encoders, "load_encoder", one)
    return one


def with_settings(settings, **others):
    return settings.model_copy(update=others)


async def test_callers_name_builtin_and_the_default_one_unless_more_are_listed(settings, tiny_encoder):
    plain = Encoders(with_settings(settings, encoder="mine"), None)
    assert plain.names() == ["mine", "builtin"]
    refused = ["/etc", ".", "../models/x", "org/model", "clip-vit-b-32", "", "builtin+/etc", "builtin+", "*"]
    for name in refused:
        with pytest.raises(
            RequestError, match=r"no encoder .* for callers; there is mine, builtin"
        ) as caught:
            await plain.named(name)
        assert caught.value.pointer == "/encoder"
    plain.check("mine+builtin")
    await plain.close()
    listed = Encoders(with_settings(settings, encoders=("*", "/models/own", "org/model@abc")), None)
    for name in ("builtin", "clip-vit-b-32", "/models/own", "org/model@abc", "clip-vit-b-32+org/model@abc"):
        listed.check(name)
    for name in ("/models", "/models/own/../other", "org/model", "org/model@other"):
        with pytest.raises(RequestError, match="no encoder"):
            listed.check(name)
    await listed.close()
    given = Encoders(settings, tiny_encoder)
    assert given.names() == ["tiny"]
    assert await given.named("tiny") is await given.named(None) is tiny_encoder
    await given.close()


async def test_a_name_is_found_once_for_all_who_ask_while_the_loop_goes_on(settings, slow):
    found = Encoders(with_settings(settings, encoders=("one", "two")), None)
    slow.go.clear()
    asking = [asyncio.create_task(found.named("one")) for _ in range(5)]
    while not slow.began.is_set():
        await asyncio.sleep(0.001)  # the loop is free
    asking[0].cancel()  # one gives up; the others do not suffer
    slow.go.set()
    cancelled, *others = await asyncio.gather(*asking, return_exceptions=True)
    assert isinstance(cancelled, asyncio.CancelledError)
    assert len({id(one) for one in others}) == 1
    assert await found.named("one") is others[0]
    assert slow.asked == ["one"]
    await found.close()


async def test_what_could_not_be_found_is_said_and_tried_again(settings, slow):
    found = Encoders(with_settings(settings, encoders=("missing",)), None)
    for _ in range(2):
        with pytest.raises(RequestError, match="the hub has no such file") as caught:
            await found.named("missing")
        assert caught.value.pointer == "/encoder"
    assert slow.asked == ["missing"] * 2
    await found.close()


async def test_a_classifier_answers_though_its_encoder_is_no_longer_listed(settings, slow, tiny_encoder):
    row = np.eye(28)[0]
    async with open_service(with_settings(settings, encoders=("other",)), tiny_encoder) as service:
        view = await service.classifiers.create("a", NewClassifier(name="x", encoder="other"))
        assert (view.record.encoder, view.record.fingerprint) == ("other", "other-1")
        await service.shots.add("a", view.record.id, [NewShot(label="red", row=row)])
    async with open_service(settings, tiny_encoder) as service:
        answer = await service.answers.classify("a", view.record.id, Asked(rows=row[None]))
        assert (answer.encoder, answer.predictions[0].label) == ("other", "red")
        with pytest.raises(RequestError, match="no encoder 'other'"):
            await service.classifiers.create("a", NewClassifier(name="y", encoder="other"))


async def test_an_idle_encoder_leaves_memory_and_comes_again_with_the_next_request(
    settings, tiny_encoder, picture
):
    encoding = Encoding(with_settings(settings, encoders_idle_minutes=0.005), tiny_encoder)
    await encoding.start()
    builtin = BuiltinEncoder()
    images = [picture(red) for red in range(20)]
    for turn in range(2):
        X = await encoding.rows("a", builtin, images[10 * turn : 10 * turn + 10], pointers=["/"] * 10)
        assert X.shape == (10, 512)
        async with asyncio.timeout(30):
            while builtin.loaded_bytes:
                await asyncio.sleep(0.01)
    (_, of_builtin) = sorted(encoding.encoders.residency.listed(), key=lambda one: one.name, reverse=True)
    assert (of_builtin.name, of_builtin.loads) == ("builtin", 2)
    assert encoding.ready
    await encoding.close()


async def test_an_encoder_stays_while_its_pictures_wait(settings, held, picture):
    held.loaded_bytes, held.unload = 100, lambda: unloaded.append("held")
    unloaded = []
    encoding = Encoding(with_settings(settings, encoders_idle_minutes=0.0001, encoders_bytes=1), held)
    held.go.clear()
    asking = asyncio.create_task(encoding.rows("a", held, [picture(1)], pointers=["/"]))
    while not held.started.is_set():
        await asyncio.sleep(0.001)
    await asyncio.sleep(0.05)  # longer than it may be idle
    assert encoding.encoders.residency.unload_idle() == encoding.encoders.residency.make_room() == []
    held.go.set()
    await asking
    await asyncio.sleep(0.05)
    assert encoding.encoders.residency.unload_idle() == ["held"]
    assert unloaded == ["held"]
    await encoding.close()


async def test_words_of_one_encoder_do_not_wait_for_another_that_is_being_loaded(
    settings, held, tiny_encoder
):
    encoding = Encoding(settings, tiny_encoder)
    gate = threading.Event()
    held.encode_texts = lambda texts: gate.wait(30) and np.ones((len(texts), 2), np.float32)
    loading = asyncio.create_task(encoding.texts("a", held, ["slow"]))
    assert (await encoding.texts("a", tiny_encoder, ["red"])).shape == (1, 28)
    assert not loading.done()
    gate.set()
    await loading
    await encoding.close()

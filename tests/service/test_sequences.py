"""Whatever was done to a classifier, it answers as one that was taught what is left."""

import asyncio
from contextlib import asynccontextmanager

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from handful.errors import ConflictError
from handful.service.answers import Asked
from handful.service.classes import NewClass
from handful.service.classifiers import NewClassifier
from handful.service.new_shots import NewShot
from handful.service.service import open_service
from handful.settings import Settings

NAMES = ("red", "green", "blue", "7")  # the last one's name says nothing
ROWS = np.random.default_rng(0).standard_normal((40, 28))
QUERIES = np.random.default_rng(1).standard_normal((5, 28))

_name = st.sampled_from(NAMES)
_step = st.one_of(
    st.tuples(st.just("add"), _name, st.integers(1, 3)),
    st.tuples(st.just("delete"), st.integers(0, 9)),
    st.tuples(st.just("relabel"), st.integers(0, 9), _name),
    st.tuples(st.just("rename"), _name, _name),
    st.tuples(st.just("drop"), _name),
    st.tuples(st.just("put"), _name, st.sampled_from([None, "as the sky"])),
    st.tuples(st.just("ask")),
)


class Model:
    """What is left, by the plainest means: label by row, and a description by class."""

    def __init__(self):
        self.shots = []  # [id, label, row]
        self.classes = {}  # description by name, in order of their keys

    def done(self, step, views):
        what, *given = step
        if what == "add":
            self.shots += [[view.record.id, given[0], row] for view, row in views]
            self.classes.setdefault(given[0], None)
        elif what == "delete":
            del self.shots[given[0]]
        elif what == "relabel":
            self.shots[given[0]][1] = given[1]
            self.classes.setdefault(given[1], None)
        elif what == "rename":
            old, new = given
            self.classes = {new if name == old else name: told for name, told in self.classes.items()}
            self.shots = [[id, new if label == old else label, row] for id, label, row in self.shots]
        elif what == "drop":
            del self.classes[given[0]]
            self.shots = [shot for shot in self.shots if shot[1] != given[0]]
        elif what == "put":
            self.classes[given[0]] = given[1]

    def possible(self, step):
        what, *given = step
        if what in ("delete", "relabel"):
            return given[0] < len(self.shots)
        if what == "rename":
            return given[0] in self.classes and (given[1] not in self.classes or given[0] == given[1])
        return what != "drop" or given[0] in self.classes


@asynccontextmanager
async def a_service(folder, encoder):
    async with open_service(Settings(data_dir=folder), encoder) as service:
        yield service


async def do(service, id, step, model, rows):
    what, *given = step
    if what == "add":
        some = [next(rows) for _ in range(given[1])]
        views = await service.shots.add("default", id, [NewShot(label=given[0], row=row) for row in some])
        return list(zip(views, some, strict=True))
    if what == "delete":
        await service.shots.delete("default", id, model.shots[given[0]][0])
    elif what == "relabel":
        await service.shots.relabel("default", id, model.shots[given[0]][0], given[1])
    elif what == "rename":
        await service.classes.rename("default", id, *given)
    elif what == "drop":
        await service.classes.delete("default", id, given[0])
    elif what == "put":
        await service.classes.put("default", id, [NewClass(name=given[0], description=given[1])])
    else:
        await said(service, id)
    return []


async def said(service, id):
    """Every class's probability and `known`, or that there is nothing to answer by."""
    try:
        answer = await service.answers.classify("default", id, Asked(rows=QUERIES), top_k=10)
    except ConflictError:
        return None
    return [
        ({one.label: one.probability for one in told.classes} | {"known": told.known})
        for told in answer.predictions
    ]


async def taught_what_is_left(service, model):
    classes = tuple(NewClass(name=name, description=told) for name, told in model.classes.items())
    view = await service.classifiers.create("default", NewClassifier(name="again", classes=classes))
    if model.shots:
        new = [NewShot(label=label, row=row) for _, label, row in sorted(model.shots)]
        await service.shots.add("default", view.record.id, new)
    return view.record.id


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("data")


@given(steps=st.lists(_step, min_size=1, max_size=14))
@settings(max_examples=25, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
def test_any_sequence_of_writes_answers_as_what_is_left(folder, tiny_encoder_class, steps):
    async def check():
        async with a_service(folder, tiny_encoder_class()) as service:
            model, rows = Model(), iter(ROWS.repeat(2, axis=0))
            id = (await service.classifiers.create("default", NewClassifier(name="once"))).record.id
            for step in steps:
                if model.possible(step):
                    model.done(step, await do(service, id, step, model, rows))
            again = await taught_what_is_left(service, model)
            assert_equal(await said(service, id), await said(service, again))
            one = await service.classifiers.get("default", id)
            other = await service.classifiers.get("default", again)
            assert counts(one) == counts(other)
            assert {view.name: view.shots for view in one.classes} == {
                name: sum(label == name for _, label, _ in model.shots) for name in model.classes
            }
            for each in (id, again):
                await service.classifiers.delete("default", each)
            assert (await service.classifiers.usage("default")).shots == 0

    asyncio.run(check())


def counts(view):
    record = view.record
    return record.class_count, record.shot_count, record.image_bytes


def assert_equal(one, other):
    assert (one is None) == (other is None)
    for mine, theirs in zip(one or [], other or [], strict=True):
        assert mine == pytest.approx(theirs, abs=1e-6)

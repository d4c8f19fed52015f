"""Classifiers as one file, out and in again."""

import io
import json
import zipfile
from dataclasses import replace

import numpy as np
import pytest

from handful.errors import ConflictError, NotFoundError, RequestError
from handful.service.answers import Asked
from handful.service.classifiers import ClassifierPatch, NewClassifier
from handful.service.new_shots import NewShot
from handful.service.service import open_service
from handful.service.transfer.uploads import FOLDER
from handful.settings import Settings

pytestmark = pytest.mark.anyio
Q = np.random.default_rng(5).standard_normal((20, 28))


async def streamed(data):
    yield data


async def exported(service, id):
    return b"".join([chunk async for chunk in await service.transfer.export("default", id)])


async def scores(service, id, tenant="default"):
    answer = await service.answers.classify(tenant, id, Asked(rows=Q), top_k=9)
    return [[(one.label, one.probability) for one in p.classes] + [p.known] for p in answer.predictions]


def edited(package, change):
    """The package with its parts changed; `change` gets their bytes by name, and the manifest as JSON."""
    with zipfile.ZipFile(io.BytesIO(package)) as old:
        parts = {name: old.read(name) for name in old.namelist()}
    manifest = json.loads(parts["manifest.json"])
    change(parts, manifest)
    if "manifest.json" in parts:
        parts["manifest.json"] = json.dumps(manifest).encode()
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as new:
        for name, data in parts.items():
            new.writestr(name, data)
    return buffer.getvalue()


@pytest.fixture
def pictured(png):
    async def make(service):
        view = await service.classifiers.create("default", NewClassifier(name="colours", domain="paint"))
        new = [
            NewShot(label=colour, image=png(colour, seed), metadata={"seed": seed}, pointer="/x")
            for colour in ("red", "blue", "green")
            for seed in range(3)
        ]
        await service.shots.add("default", view.record.id, new)
        return view.record.id

    return make


async def test_an_imported_classifier_answers_as_the_exported_one_to_another_tenant_too(opened, pictured):
    async with opened() as service:
        id = await pictured(service)
        await service.classes.rename("default", id, "green", "grass")
        before = await scores(service, id)
        package = await exported(service, id)
        await service.classifiers.delete("default", id)
        view = await service.transfer.import_classifier("other", streamed(package))
        assert view.record.id != id
        assert (view.record.name, view.record.domain, view.record.shot_count) == ("colours", "paint", 9)
        assert [one.name for one in view.classes] == ["red", "blue", "grass"]
        assert await scores(service, view.record.id, "other") == before
        page = await service.shots.list("other", view.record.id, limit=100)
        assert [one.record.metadata["seed"] for one in page.items] == [0, 1, 2] * 3
        for shot in page.items:
            assert (await service.shots.image("other", view.record.id, shot.record.id))[:2] == b"\xff\xd8"
        usage = await service.classifiers.usage("other")
        assert (usage.shots, usage.image_bytes) == (9, view.record.image_bytes)


async def test_a_trained_head_comes_along_and_can_still_be_written_to(opened, blurred, ended):
    async with opened() as service:
        id, _ = await blurred(service, shots=12, blur=0.4)
        await ended(service, await service.jobs.submit("default", "train", id, {"method": "tip-f"}))
        before = await scores(service, id)
        view = await service.transfer.import_classifier("default", streamed(await exported(service, id)))
        assert view.record.pinned is not None
        assert await scores(service, view.record.id) == before
        await service.shots.add("default", view.record.id, [NewShot(label="new", row=np.eye(28)[9])])
        assert (await service.classifiers.get("default", view.record.id)).record.stale
        await service.classifiers.patch("default", view.record.id, ClassifierPatch(method="auto"))
        assert "new" in {label for label, _ in (await scores(service, view.record.id))[0][:-1]}


async def test_an_empty_classifier_is_exported_too(opened):
    async with opened() as service:
        view = await service.classifiers.create("default", NewClassifier(name="empty"))
        package = await exported(service, view.record.id)
        again = await service.transfer.import_classifier("default", streamed(package))
        assert (again.record.name, again.record.shot_count) == ("empty", 0)


async def test_an_export_is_sent_in_parts_and_as_of_one_moment(opened, pictured):
    async with opened() as service:
        id = await pictured(service)
        chunks = await service.transfer.export("default", id)
        first = await anext(chunks)
        await service.classifiers.delete("default", id)
        package = first + b"".join([chunk async for chunk in chunks])
        assert len(first) < len(package) / 2
        view = await service.transfer.import_classifier("default", streamed(package))
        assert view.record.shot_count == 9


async def test_what_is_not_there_or_another_s_is_not_exported(opened, pictured):
    async with opened() as service:
        id = await pictured(service)
        with pytest.raises(NotFoundError, match=f"there is no classifier {id!r}"):
            await service.transfer.export("other", id)


async def test_other_weights_of_the_encoder_are_refused_by_name(
    opened, pictured, tiny_encoder_class, tmp_path
):
    async with opened() as service:
        package = await exported(service, await pictured(service))
    other = tiny_encoder_class(fingerprint="tiny-2")
    async with open_service(Settings(data_dir=tmp_path / "other"), other) as service:
        with pytest.raises(ConflictError, match=r"fingerprint tiny-1, and this service has tiny-2"):
            await service.transfer.import_classifier("default", streamed(package))


def drop(name):
    return lambda parts, manifest: parts.pop(next(part for part in parts if part.startswith(name)))


def say(*path, value):
    def change(parts, manifest):
        place = manifest
        for step in path[:-1]:
            place = place[step]
        place[path[-1]] = value

    return change


def swap_picture(parts, manifest):
    name = next(part for part in parts if part.startswith("images/"))
    parts[name] = parts[name][:-2] + b"\0\0"


def add_file(parts, manifest):
    parts["extra"] = b"x"


def no_picture(parts, manifest):
    parts[next(part for part in parts if part.startswith("images/"))] = b"<script>"


WRONG = {
    "no manifest": (drop("manifest"), "holds no manifest.json"),
    "a picture is missing": (drop("images/"), "is missing in this package"),
    "rows are missing": (drop("rows"), "'rows.safetensors' is missing"),
    "a picture was changed": (swap_picture, "was changed"),
    "a picture is none": (no_picture, "is no picture"),
    "a file too many": (add_file, "'extra' does not belong to this package"),
    "a newer format": (say("format", value="handful.package/2"), "format version 2, newer than 1"),
    "another format": (say("format", value="zoo/1"), "this is a 'zoo/1'"),
    "a name that is none": (say("classifier", "name", value="a/b"), "holds a '/'"),
    "a class name that is none": (say("classes", 0, "name", value="a/b"), "holds a '/'"),
    "a class twice": (say("classes", 0, "name", value="blue"), "given twice"),
    "keys out of bounds": (say("classes", 0, "key", value=-1), "is of no class"),
    "a shot of no class": (say("shots", 0, "class_key", value=77), "is of no class"),
    "a shot that leads elsewhere": (say("shots", 0, "id", value="../../x"), "is no shot|is of"),
    "an impossible version": (say("classifier", "support_version", value=99), "which no classifier has"),
    "a pinned head that is missing": (
        say("classifier", "pinned", value={"version": 1, "since": 1}),
        "has heads|lacks head",
    ),
    "too much metadata": (say("shots", 0, "metadata", value={"a": "x" * 2000}), "metadata takes over"),
    "a method there is none of": (say("classifier", "method", value="magic"), "there is no method 'magic'"),
    "a member too many": (say("classifier", "colour", value=1), "manifest of this package|is of|Unexpected"),
}


@pytest.mark.parametrize("case", WRONG)
async def test_a_package_that_is_not_as_it_was_exported_is_refused_and_leaves_nothing(
    opened, pictured, tmp_path, case
):
    change, says = WRONG[case]
    async with opened() as service:
        id = await pictured(service)
        await scores(service, id)
        await service.heads.settled("default", id)
        package = edited(await exported(service, id), change)
        held = await service.classifiers.usage("default"), await service.blobs.names()
        with pytest.raises(RequestError, match=says):
            await service.transfer.import_classifier("default", streamed(package))
        assert (await service.classifiers.usage("default"), await service.blobs.names()) == held
    assert [path for path in (tmp_path / "blobs" / FOLDER).rglob("*") if path.is_file()] == []


async def test_a_head_that_does_not_fit_is_refused(opened, pictured):
    async with opened() as service:
        id = await pictured(service)
        await scores(service, id)
        await service.heads.settled("default", id)
        support = await service.store.support("default", id)
        kept, data = await service.store.head("default", id, support.classifier.head_version)
        from handful.service.transfer.package import Writer

        for head, says in (
            ((kept, data[:-8]), "cannot be read"),
            ((replace(kept, classes=kept.classes[:1]), data), "is of 3 classes and 28 columns, not 1 and 28"),
        ):
            package = b"".join(Writer(support, [head]).finish())
            with pytest.raises(RequestError, match=says):
                await service.transfer.import_classifier("default", streamed(package))

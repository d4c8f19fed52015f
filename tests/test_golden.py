"""Files of earlier builds load and answer as they did; newer ones, and broken ones, are refused by name."""

import io
import json
import re
import shutil
import sqlite3
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import handful
from handful.adapters import methods
from handful.adapters.head import Head
from handful.background import Background
from handful.errors import HandfulError, HeadError, ModelError, RequestError, StorageError
from handful.service.answers import Asked
from handful.service.service import open_service
from handful.settings import Settings
from handful.storage.backup import restore
from handful.storage.blobs import Blobs
from handful.storage.open import open_store

GOLDEN = Path(__file__).with_name("golden")
FOLDERS = sorted(folder for folder in GOLDEN.iterdir() if folder.is_dir())
TOLD = {folder.name: json.loads((folder / "answers.json").read_text()) for folder in FOLDERS}
HEADS = [(name, file) for name, told in TOLD.items() for file in told["heads"]["files"]]
BACKGROUNDS = [(folder.name, file.name) for folder in FOLDERS for file in sorted(folder.glob("background-*"))]
WHOLE = [name for name, told in TOLD.items() if "service" in told]  # folders with more than heads
TOLERANCE = {"rtol": 0, "atol": 1e-6}


@pytest.fixture
def anyio_backend():
    return "asyncio"


@pytest.fixture
def no_fitting(monkeypatch):
    """All methods have newer rules, and none may be fitted: what answers was read."""

    def fit(support, options):
        pytest.fail("a file was refitted")

    for name, method in methods.METHODS.items():
        newer = replace(method, rule=f"{name}/999", fit=fit, change=None)
        monkeypatch.setitem(methods.METHODS, name, newer)


def read_head(name, file, data=None):
    told = TOLD[name]["heads"]["files"][file]
    background = told["background"]
    return Head.from_bytes(
        (GOLDEN / name / file).read_bytes() if data is None else data,
        background and Background.from_bytes((GOLDEN / name / background).read_bytes()),
    )


def agrees(head, name, file):
    told, judged = TOLD[name]["heads"]["files"][file], head.judged(TOLD[name]["heads"]["Q"])
    for what in ("scores", "probabilities", "known"):
        np.testing.assert_allclose(getattr(judged, what), told[what], **TOLERANCE)


def agree(predictions, told):
    """Predictions of all classes, against [label, known, {class: probability}] of each."""
    assert [one.label for one in predictions] == [label for label, _, _ in told]
    np.testing.assert_allclose(
        [one.known for one in predictions], [known for _, known, _ in told], **TOLERANCE
    )
    for one, (_, _, confidences) in zip(predictions, told, strict=True):
        assert one.confidences == pytest.approx(confidences, rel=0, abs=1e-6)


def flipped(data, count=40):
    """The data with one bit of a byte turned, at places all over it."""
    for at in np.linspace(0, len(data) - 1, count).astype(int):
        yield data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]


def unzipped(name, what, folder):
    with zipfile.ZipFile(GOLDEN / name / f"{what}.zip") as archive:
        archive.extractall(folder / what)
    return folder / what


def raised(data):
    """The bytes with every format version of ours as none is yet."""
    for kind in (b"head", b"background", b"rows", b"classifier", b"package", b"backup"):
        data = data.replace(b"handful.%s/1" % kind, b"handful.%s/9" % kind)
    return data


# ---- heads and backgrounds


@pytest.mark.parametrize(("name", "file"), HEADS)
def test_a_head_answers_as_it_did_whatever_its_method_means_by_now(name, file, no_fitting):
    head = read_head(name, file)
    assert head.rule == TOLD[name]["heads"]["files"][file]["rule"]
    agrees(head, name, file)


@pytest.mark.parametrize(("name", "file"), HEADS)
def test_a_head_that_is_read_and_written_again_answers_the_same(name, file):
    head = read_head(name, file)
    agrees(read_head(name, file, head.to_bytes()), name, file)


def test_every_method_and_rule_of_this_build_has_its_files():
    rules = {told["rule"] for name in TOLD for told in TOLD[name]["heads"]["files"].values()}
    assert rules >= {method.rule for method in methods.METHODS.values()}


@pytest.mark.parametrize(("name", "file"), HEADS)
def test_a_head_of_a_newer_format_is_refused_by_name(name, file):
    with pytest.raises(HeadError, match=r"head has format version 9, newer than 2.*upgrade Handful"):
        read_head(
            name, file, re.sub(rb"handful\.head/\d", b"handful.head/9", (GOLDEN / name / file).read_bytes())
        )


@pytest.mark.parametrize(
    ("name", "file"), [head for head in HEADS if head[0] != "auto-1"]
)  # it has no digest
def test_a_head_with_a_flipped_byte_is_refused(name, file):
    data = (GOLDEN / name / file).read_bytes()
    whole = read_head(name, file).to_bytes()
    refused = 0
    for broken in flipped(data):
        try:
            head = read_head(name, file, broken)
        except HeadError:
            refused += 1
        else:  # the last of too many decimals, or a blank
            assert head.to_bytes() == whole
    assert refused >= 38


@pytest.mark.parametrize(("name", "file"), BACKGROUNDS)
def test_a_background_keeps_its_fingerprint_and_a_newer_or_broken_one_is_refused(name, file):
    data = (GOLDEN / name / file).read_bytes()
    assert Background.from_bytes(Background.from_bytes(data).to_bytes()).fingerprint in {
        head_background(name, head) for folder, head in HEADS if folder == name
    }
    with pytest.raises(HeadError, match=r"background has format version 9, newer than 2"):
        Background.from_bytes(raised(data))
    if name != "auto-1":  # it has no digest
        for broken in flipped(data):
            with pytest.raises(HeadError):
                Background.from_bytes(broken)


def head_background(name, file):
    return read_head(name, file).background_fingerprint


# ---- a saved classifier


@pytest.mark.parametrize("name", WHOLE)
def test_a_saved_classifier_answers_as_it_did(name, tmp_path, tiny_encoder, no_fitting):
    loaded = handful.load(unzipped(name, "classifier", tmp_path), encoder=tiny_encoder)
    agree(loaded.classify_embeddings(TOLD[name]["classifier"]["Q"]), TOLD[name]["classifier"]["answers"])
    assert all(loaded.thumbnail(shot.id) for shot in loaded.shots_)


@pytest.mark.parametrize("name", WHOLE)
def test_a_saved_classifier_of_a_newer_format_is_refused_by_name(name, tmp_path, tiny_encoder):
    folder = unzipped(name, "classifier", tmp_path)
    config = folder / "config.json"
    config.write_bytes(raised(config.read_bytes()))
    with pytest.raises(ModelError, match=r"format version 9, newer than 1.*upgrade Handful"):
        handful.load(folder, encoder=tiny_encoder)


@pytest.mark.parametrize("name", WHOLE)
def test_a_saved_classifier_with_a_flipped_byte_in_its_model_is_refused(name, tmp_path, tiny_encoder):
    folder = unzipped(name, "classifier", tmp_path)
    model = folder / "model.safetensors"
    for data in flipped(model.read_bytes(), 10):
        model.write_bytes(data)
        with pytest.raises(ModelError, match="not what was saved"):
            handful.load(folder, encoder=tiny_encoder)


# ---- what a service keeps


async def answers_as_it_did(data, name, encoder):
    told = TOLD[name]["service"]
    async with open_service(Settings(data_dir=data), encoder) as service:
        for classifier in ("colours", "trained"):
            asked = Asked(rows=np.asarray(told["Q"], np.float32))
            answer = await service.answers.classify("default", told[classifier]["id"], asked, top_k=9)
            assert answer.version == told[classifier]["version"]
            agree(answer.predictions, told[classifier]["answers"])
        page = await service.shots.list("default", told["colours"]["id"], limit=100)
        for shot in page.items:
            await service.shots.image("default", told["colours"]["id"], shot.record.id)
        assert {shot.label for shot in page.items} == {"red", "grass", "blue"}


@pytest.mark.anyio
@pytest.mark.parametrize("name", WHOLE)
async def test_a_data_folder_answers_as_it_did(name, tmp_path, tiny_encoder, no_fitting):
    await answers_as_it_did(unzipped(name, "data", tmp_path), name, tiny_encoder)


@pytest.mark.anyio
@pytest.mark.parametrize("name", WHOLE)
async def test_a_data_folder_goes_on_learning(name, tmp_path, tiny_encoder):
    told = TOLD[name]["service"]["colours"]
    async with open_service(Settings(data_dir=unzipped(name, "data", tmp_path)), tiny_encoder) as service:
        await service.classes.rename("default", told["id"], "grass", "green")
        view = await service.classifiers.get("default", told["id"])
        asked = Asked(rows=np.asarray(TOLD[name]["service"]["Q"], np.float32))
        answer = await service.answers.classify("default", told["id"], asked, top_k=9)
        assert answer.version == view.record.head_version > told["version"]
        assert {one.label for one in answer.predictions[0].classes} >= {"red", "green", "blue", "sky"}


@pytest.mark.parametrize("name", WHOLE)
def test_a_data_folder_of_a_newer_schema_is_refused_by_name_and_left_alone(name, tmp_path):
    file = unzipped(name, "data", tmp_path) / "store.sqlite"
    disk = sqlite3.connect(file)
    (version,) = disk.execute("PRAGMA user_version").fetchone()
    disk.execute("PRAGMA user_version = 1000")
    disk.close()
    before = file.read_bytes()
    with pytest.raises(StorageError, match=r"schema 1000, newer than .*upgrade Handful"):
        open_store(f"sqlite:///{file}")
    assert file.read_bytes() == before
    assert version >= 1


@pytest.mark.anyio
@pytest.mark.parametrize("name", WHOLE)
async def test_a_data_folder_with_a_flipped_byte_answers_as_it_did_or_says_so(name, tmp_path, tiny_encoder):
    folder, told = unzipped(name, "data", tmp_path), TOLD[name]["service"]
    asked = Asked(rows=np.asarray(told["Q"], np.float32))
    file = folder / "store.sqlite"
    whole = file.read_bytes()
    places = [0, 20, 100, whole.index(b'{"tenant":"default","id":"' + told["colours"]["id"].encode())]
    places += [whole.index(b"handful.head/1"), whole.rindex(b"scorer.rows")]
    refused = 0
    for at in places:
        for beside in ("-wal", "-shm"):
            file.with_name(file.name + beside).unlink(missing_ok=True)
        file.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
        try:
            async with open_service(Settings(data_dir=folder), tiny_encoder) as service:
                await service.classifiers.list("default", limit=100)
                for classifier in ("colours", "trained"):
                    answer = await service.answers.classify("default", told[classifier]["id"], asked, top_k=9)
                    agree(answer.predictions, told[classifier]["answers"])
        except HandfulError:
            refused += 1
    assert refused >= 2


@pytest.mark.anyio
@pytest.mark.parametrize("name", WHOLE)
async def test_a_backup_is_restored_and_answers_as_it_did(name, tmp_path, tiny_encoder, no_fitting):
    data = tmp_path / "restored"
    folder = unzipped(name, "backup", tmp_path)
    await restore(folder, data / "store.sqlite", Blobs(str(data / "blobs")))
    await answers_as_it_did(data, name, tiny_encoder)


@pytest.mark.anyio
@pytest.mark.parametrize("name", WHOLE)
async def test_a_backup_that_is_newer_or_has_a_flipped_byte_is_refused_by_name(name, tmp_path):
    folder, data = unzipped(name, "backup", tmp_path), tmp_path / "restored"

    async def refused(said):
        with pytest.raises(StorageError, match=said):
            await restore(folder, data / "store.sqlite", Blobs(str(data / "blobs")))
        assert not (data / "store.sqlite").exists()
        shutil.rmtree(data, ignore_errors=True)

    for part in ("store.sqlite", str(next(folder.rglob("*.jpg")).relative_to(folder))):
        whole = (folder / part).read_bytes()
        for broken in flipped(whole, 5):
            (folder / part).write_bytes(broken)
            await refused("changed|damaged")
        (folder / part).write_bytes(whole)
    manifest = folder / "manifest.json"
    manifest.write_bytes(raised(manifest.read_bytes()))
    await refused("handful.backup/9")


@pytest.mark.anyio
@pytest.mark.parametrize("name", WHOLE)
async def test_a_package_is_imported_and_answers_as_it_did(name, tmp_path, tiny_encoder, no_fitting):
    told = TOLD[name]["service"]
    asked = Asked(rows=np.asarray(told["Q"], np.float32))
    async with open_service(Settings(data_dir=tmp_path), tiny_encoder) as service:
        view = await imported(service, (GOLDEN / name / "package.zip").read_bytes())
        answer = await service.answers.classify("default", view.record.id, asked, top_k=9)
        agree(answer.predictions, told["colours"]["answers"])
        assert view.record.shot_count == 9


@pytest.mark.anyio
@pytest.mark.parametrize("name", WHOLE)
async def test_a_package_that_is_newer_is_refused_and_one_with_a_flipped_byte_never_answers_otherwise(
    name, tmp_path, tiny_encoder
):
    told = TOLD[name]["service"]
    asked = Asked(rows=np.asarray(told["Q"], np.float32))
    data = (GOLDEN / name / "package.zip").read_bytes()
    refused = 0
    async with open_service(Settings(data_dir=tmp_path), tiny_encoder) as service:
        with pytest.raises(RequestError, match="format version 9, newer than 1"):
            await imported(service, newer_package(data))
        for broken in flipped(data, 60):
            try:
                view = await imported(service, broken)
            except HandfulError:
                refused += 1
            else:  # a date, or another field of the zip that says nothing
                answer = await service.answers.classify("default", view.record.id, asked, top_k=9)
                agree(answer.predictions, told["colours"]["answers"])
    assert refused > 45


async def imported(service, data):
    async def stream():
        yield data

    return await service.transfer.import_classifier("default", stream())


def newer_package(data):
    buffer = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(buffer, "w") as new:
        for entry in old.namelist():
            part = old.read(entry)
            new.writestr(entry, raised(part) if entry == "manifest.json" else part)
    return buffer.getvalue()


def test_all_files_together_are_small():
    assert sum(file.stat().st_size for file in GOLDEN.rglob("*") if file.is_file()) < 300_000

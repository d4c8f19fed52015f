"""handful backup and restore: all that a service holds, taken while it runs, brought back elsewhere."""

import asyncio
import json
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
from tests.storage.test_copying import pictured
from typer.testing import Result

import handful
from handful.storage.blobs import Blobs
from handful.storage.open import open_store

Run = Callable[..., Result]


def test_a_service_goes_on_elsewhere_from_its_backup(
    run: Run,
    serving: Callable[..., AbstractContextManager[str]],
    tmp_path: Path,
    trashnet_shots: Callable[..., tuple[list[Path], list[str]]],
) -> None:
    first, second, folder = tmp_path / "first", tmp_path / "second", tmp_path / "backup"
    first.mkdir()
    second.mkdir()
    pictures, labels = trashnet_shots(3, classes=["glass", "metal"])
    with serving(data=first) as url, handful.Client(url) as client:
        id = client.create_classifier("waste").id
        client.add_shots(id, pictures, labels)
        told = client.classify(id, pictures[:2], explain=True)
        looked = run("backup", folder, "--dry-run", "--json", "--data", first)
        assert not folder.exists()
        taken = run("backup", folder, "--json", "--data", first)
        assert taken.exit_code == 0, taken.stderr
        held = json.loads(taken.stdout)
        assert (held["classifiers"], held["shots"], held["blobs"]) == (1, 6, 6)
        assert {**json.loads(looked.stdout), "store_bytes": 0} == {**held, "store_bytes": 0}
        client.delete_classifier(id)
    assert run("restore", folder, "--dry-run", "--data", second).exit_code == 0
    assert not (second / "store.sqlite").exists()
    restored = run("restore", folder, "--data", second)
    assert restored.exit_code == 0, restored.stderr
    with serving(data=second) as url, handful.Client(url) as client:
        assert client.classify(id, pictures[:2], explain=True) == told
        shot = next(iter(client.shots(id)))
        assert client.shot_image(id, shot.id).startswith(b"\xff\xd8")
    again = run("restore", folder, "--data", second)
    assert (again.exit_code, "already" in again.stderr) == (1, True)


@pytest.mark.parametrize("what", ["store.sqlite", "manifest.json"])
def test_a_backup_that_is_not_whole_is_refused(run: Run, tmp_path: Path, what: str) -> None:
    run("keys", "create", "x", "--data", tmp_path / "data")
    folder = tmp_path / "backup"
    assert run("backup", folder, "--data", tmp_path / "data").exit_code == 0
    damaged = folder / what
    damaged.write_bytes(damaged.read_bytes()[:-1] + b"!")
    refused = run("restore", folder, "--data", tmp_path / "new")
    assert refused.exit_code == 1
    assert str(folder) in refused.stderr
    assert not (tmp_path / "new" / "store.sqlite").exists()


def test_what_cannot_be_backed_up_is_said(run: Run, tmp_path: Path) -> None:
    nothing = run("backup", tmp_path / "b", "--data", tmp_path / "nothing")
    assert (nothing.exit_code, "--data" in nothing.stderr) == (1, True)
    other = run("backup", tmp_path / "b", "--store", "postgres://u:secret@x", "--data", tmp_path)
    assert (other.exit_code, "'postgres'" in other.stderr, "secret" in other.stderr) == (1, True, False)
    run("keys", "create", "x", "--data", tmp_path / "data")
    (tmp_path / "b").mkdir()
    there = run("backup", tmp_path / "b", "--data", tmp_path / "data")
    assert (there.exit_code, "new folder" in there.stderr) == (1, True)


def test_a_picture_that_is_missing_is_named_and_the_exit_code_says_so(run: Run, tmp_path: Path) -> None:
    data, folder = tmp_path / "data", tmp_path / "backup"
    blobs = Blobs(str(data / "blobs"))

    async def fill() -> None:
        store = open_store(f"sqlite:///{data}/store.sqlite")
        await pictured(store, blobs, 3)
        await store.close()

    asyncio.run(fill())
    name, *_ = asyncio.run(blobs.names())
    asyncio.run(blobs.remove(name))
    taken = run("backup", folder, "--data", data)
    assert (taken.exit_code, f"{name} is missing or damaged" in taken.stderr) == (1, True)
    assert "1 classifiers, 3 shots, 2 pictures" in taken.stdout
    restored = run("restore", folder, "--data", tmp_path / "new", "--json")
    assert restored.exit_code == 0, restored.stderr
    assert json.loads(restored.stdout)["missing"] == [name]

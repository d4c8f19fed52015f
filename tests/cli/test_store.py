"""handful store migrate and handful gc: a service goes on in another store, and nothing is left behind."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Coroutine
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, TypeVar

import pytest
from tests.redis_servers import Server
from tests.storage.conftest import job, taught
from tests.storage.test_copying import contents, pictured
from typer.testing import Result

import handful
from handful.storage.blobs import Blobs
from handful.storage.ids import new_id
from handful.storage.open import open_store
from handful.storage.store import Change, Store

T = TypeVar("T")
Run = Callable[..., Result]
On = Callable[..., Any]


@pytest.fixture
def on(tmp_path: Path) -> On:
    """Do something with a store; those in Redis have the blobs of the data folder."""

    def done(url: str, work: Callable[[Store], Coroutine[object, object, T]]) -> T:
        async def opened() -> T:
            store = open_store(url, Blobs(str(tmp_path / "data" / "blobs")))
            try:
                return await work(store)
            finally:
                await store.close()

        return asyncio.run(opened())

    return done


@pytest.fixture(params=["sqlite to sqlite", "sqlite to redis", "redis to sqlite"])
def urls(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[str, str]:
    """Of the source and of the target; Redis is empty."""
    one, other = f"sqlite:///{tmp_path}/data/store.sqlite", f"sqlite:///{tmp_path}/other/store.sqlite"
    if request.param == "sqlite to sqlite":
        return one, other
    redis: Server = request.getfixturevalue("redis_8")
    redis.command("FLUSHALL")
    return (one, redis.url) if request.param == "sqlite to redis" else (redis.url, other)


def test_a_service_goes_on_in_another_store(
    run: Run,
    serving: Callable[..., AbstractContextManager[str]],
    tmp_path: Path,
    trashnet_shots: Callable[..., tuple[list[Path], list[str]]],
) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    first.mkdir()
    second.mkdir()
    urls = f"sqlite:///{first}/store.sqlite", f"sqlite:///{second}/store.sqlite"
    move = ["store", "migrate", *urls, "--data", first, "--target-blobs", second / "blobs", "--json"]
    pictures, labels = trashnet_shots(3, classes=["glass", "metal"])
    with serving(data=first) as url, handful.Client(url) as client:
        id = client.create_classifier("waste").id
        client.add_shots(id, pictures[:4], labels[:4])
        looked = run(*move, "--dry-run")
        assert not (second / "store.sqlite").exists()
        moved = run(*move)
        assert moved.exit_code == 0, moved.stderr
        held = json.loads(moved.stdout)
        assert (held["classifiers"], held["shots"], held["pictures"]) == (1, 4, 4)
        assert {**json.loads(looked.stdout), "heads": 0} == {**held, "heads": 0}
        client.add_shots(id, pictures[4:], labels[4:])
        late = client.create_classifier("late").id
        told = client.classify(id, pictures[:2], explain=True)
    moved = run(*move)
    assert moved.exit_code == 0, moved.stderr
    held = json.loads(moved.stdout)
    assert (held["classifiers"], held["updated"], held["shots"], held["pictures"]) == (1, 1, 2, 2)
    with serving(data=second) as url, handful.Client(url) as client:
        assert client.classify(id, pictures[:2], explain=True) == told
        assert {one.id for one in client.classifiers()} == {id, late}
        assert client.shot_image(id, next(iter(client.shots(id))).id).startswith(b"\xff\xd8")
        assert client.add_shots(id, pictures[:1], "glass")
    used = run(*move)
    assert (used.exit_code, f"classifier {id} of default was written to" in used.stderr) == (1, True)


def test_a_service_moves_to_redis_and_back(
    run: Run,
    serving: Callable[..., AbstractContextManager[str]],
    tmp_path: Path,
    redis_8: Server,
    trashnet_shots: Callable[..., tuple[list[Path], list[str]]],
) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    first.mkdir()
    second.mkdir()
    redis_8.command("FLUSHALL")
    pictures, labels = trashnet_shots(3, classes=["glass", "metal"])
    with serving(data=first) as url, handful.Client(url) as client:
        id = client.create_classifier("waste").id
        client.add_shots(id, pictures[:4], labels[:4])
        told = client.classify(id, pictures, explain=True)
    there = run("store", "migrate", f"sqlite:///{first}/store.sqlite", redis_8.url, "--data", first)
    assert there.exit_code == 0, there.stderr
    assert "copied 1 classifiers, 4 shots, 1 heads, 0 keys, 0 pictures" in there.stdout
    with serving(data=first, store_url=redis_8.url) as url, handful.Client(url) as client:
        assert client.classify(id, pictures, explain=True) == told
        client.add_shots(id, pictures[4:], labels[4:])
        told = client.classify(id, pictures, explain=True)
    file = second / "store.sqlite"
    move = ["store", "migrate", redis_8.url, f"sqlite:///{file}", "--data", first]
    back = run(*move, "--target-blobs", second / "blobs", "--json")
    assert back.exit_code == 0, back.stderr
    held = json.loads(back.stdout)
    assert (held["classifiers"], held["shots"], held["pictures"]) == (1, 6, 6)
    with serving(data=second) as url, handful.Client(url) as client:
        assert client.classify(id, pictures, explain=True) == told
        assert client.shot_image(id, next(iter(client.shots(id))).id).startswith(b"\xff\xd8")
        assert client.add_shots(id, pictures[:1], "glass")


_COPYING = """
import asyncio, sys
from handful.storage import copying
from handful.cli import app

settle = copying._Copy._settle

async def told(self, tenant, id, theirs):
    await settle(self, tenant, id, theirs)
    print(id, flush=True)

copying._Copy._settle = told
app(sys.argv[1:])
"""


def test_a_migration_that_is_killed_goes_on_where_it_was(
    run: Run, tmp_path: Path, on: On, urls: tuple[str, str]
) -> None:
    async def fill(store: Store) -> dict[tuple[str, str], str]:
        for _ in range(120):
            await taught(store, 2)
        return await contents(store)

    async def count(store: Store) -> int:
        return len(await store.classifiers("shop", limit=1000))

    there = on(urls[0], fill)
    command = ["store", "migrate", *urls, "--data", str(tmp_path / "data")]
    done, kills = 0, 0
    while kills < 2:
        process = subprocess.Popen(
            [sys.executable, "-c", _COPYING, *command], stdout=subprocess.PIPE, text=True
        )
        assert process.stdout is not None
        for _ in range(20):
            assert process.stdout.readline()
        process.send_signal(signal.SIGKILL)
        process.communicate()
        kills += 1
        before, done = done, on(urls[1], count)
        assert max(20, before) <= done < 120
    report = run(*command, "--json")
    assert report.exit_code == 0, report.stderr
    held = json.loads(report.stdout)
    assert (held["same"], held["classifiers"], held["failures"]) == (done, 120 - done, [])
    assert on(urls[1], contents) == there
    again = json.loads(run(*command, "--json").stdout)
    assert (again["same"], again["classifiers"]) == (120, 0)


@pytest.mark.parametrize("urls", ["sqlite to redis"], indirect=True)
def test_a_dry_run_leaves_no_trace_in_redis(
    run: Run, tmp_path: Path, on: On, redis_8: Server, urls: tuple[str, str]
) -> None:
    on(urls[0], taught)
    looked = run("store", "migrate", *urls, "--data", tmp_path / "data", "--dry-run")
    assert looked.exit_code == 0, looked.stderr
    assert "would copy 1 classifiers, 3 shots" in looked.stdout
    folder = tmp_path / "backup"
    assert run("backup", folder, "--data", tmp_path / "data").exit_code == 1  # pictures that never were
    restored = run("restore", folder, "--store", urls[1], "--data", tmp_path / "new", "--dry-run")
    assert restored.exit_code == 0, restored.stderr
    assert redis_8.command("DBSIZE") == 0
    assert not (tmp_path / "data" / "blobs" / "store-id").exists()
    gone = run("gc", "--store", urls[1], "--data", tmp_path / "data")
    assert (gone.exit_code, "there is no store in redis://" in gone.stderr) == (1, True)
    assert redis_8.command("DBSIZE") == 0


def test_a_target_that_holds_anything_else_is_refused(
    run: Run, tmp_path: Path, on: On, urls: tuple[str, str]
) -> None:
    source, target = urls
    on(source, taught)
    theirs = on(target, taught)
    command = ["store", "migrate", source, target, "--data", tmp_path / "data"]
    for extra in ([], ["--dry-run"]):
        refused = run(*command, *extra)
        assert (refused.exit_code, "none of them from a migration" in refused.stderr) == (1, True)
    assert set(on(target, contents)) == {("shop", theirs.id)}


def test_a_target_that_came_from_elsewhere_is_refused(
    run: Run, tmp_path: Path, on: On, urls: tuple[str, str]
) -> None:
    source, target = urls
    other = f"sqlite:///{tmp_path}/third.sqlite"
    for url in (source, other):
        on(url, taught)
    assert run("store", "migrate", source, target, "--data", tmp_path / "data").exit_code == 0
    refused = run("store", "migrate", other, target, "--data", tmp_path / "data")
    assert (refused.exit_code, f"filled from {source}" in refused.stderr) == (1, True)
    assert on(target, contents) == on(source, contents)


def test_what_was_deleted_in_the_target_does_not_come_back(
    run: Run, tmp_path: Path, on: On, urls: tuple[str, str]
) -> None:
    source, target = urls
    record = on(source, taught)
    command = ["store", "migrate", source, target, "--data", tmp_path / "data"]
    assert run(*command).exit_code == 0
    on(target, lambda store: store.apply(Change(before=record, after=None)))
    refused = run(*command)
    assert (refused.exit_code, "is gone there" in refused.stderr) == (1, True)
    assert on(target, contents) == {}


def test_jobs_that_are_not_over_are_not_forgotten_by_accident(
    run: Run, tmp_path: Path, on: On, urls: tuple[str, str]
) -> None:
    source, target = urls
    on(source, taught)
    on(source, lambda store: store.put_job(job()))
    command = ["store", "migrate", source, target, "--data", tmp_path / "data"]
    refused = run(*command)
    assert (refused.exit_code, "not over: 1;" in refused.stderr) == (1, True)
    assert not (tmp_path / "other" / "store.sqlite").exists() or on(target, contents) == {}
    assert run(*command, "--leave-jobs").exit_code == 0
    assert on(target, contents) == on(source, contents)
    assert on(target, lambda store: store.jobs_left()) == 0


@pytest.mark.parametrize("urls", ["sqlite to sqlite"], indirect=True)
def test_pictures_that_are_missing_are_named_and_the_exit_code_says_so(
    run: Run, tmp_path: Path, on: On, urls: tuple[str, str]
) -> None:
    source, target = urls
    here, there = Blobs(str(tmp_path / "data" / "blobs")), Blobs(str(tmp_path / "other" / "blobs"))
    on(source, lambda store: pictured(store, here, 3))
    name, *others = asyncio.run(here.names())
    asyncio.run(here.remove(name))
    command = ["store", "migrate", source, target, "--data", tmp_path / "data", "--target-blobs", there.url]
    moved = run(*command)
    assert moved.exit_code == 1
    assert f"{name} is missing or damaged" in moved.stderr
    assert "copied 1 classifiers, 3 shots" in moved.stdout
    assert asyncio.run(there.names()) == others
    assert on(target, contents) == on(source, contents)


def test_the_target_is_that_of_the_settings_where_none_is_named(
    run: Run, tmp_path: Path, on: On, urls: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    source, target = urls
    on(source, taught)
    missing = run("store", "migrate", source, "--data", tmp_path / "data")
    assert (missing.exit_code, "HANDFUL_STORE_URL" in missing.stderr) == (2, True)
    monkeypatch.setenv("HANDFUL_STORE_URL", target)
    assert run("store", "migrate", source, "--data", tmp_path / "data").exit_code == 0
    assert on(target, contents) == on(source, contents)


@pytest.mark.parametrize("urls", ["sqlite to sqlite"], indirect=True)
def test_what_cannot_be_migrated_is_said(run: Run, tmp_path: Path, on: On, urls: tuple[str, str]) -> None:
    source, target = urls
    nothing = run("store", "migrate", source, target, "--data", tmp_path / "data")
    assert (nothing.exit_code, "there is no store in" in nothing.stderr) == (1, True)
    on(source, taught)
    same = run("store", "migrate", source, f"sqlite:///{tmp_path}/data/../data/store.sqlite")
    assert (same.exit_code, "both source and target" in same.stderr) == (1, True)
    unknown = run("store", "migrate", source, "postgres://app:secret@db", "--data", tmp_path / "data")
    assert (unknown.exit_code, "secret" in unknown.stderr) == (1, False)


# ---- gc


def aged(folder: Path) -> None:
    then = time.time() - 25 * 3600
    for path in folder.rglob("*"):
        os.utime(path, (then, then))


def test_garbage_is_counted_first_and_removed_when_that_is_asked_for(
    run: Run, on: On, tmp_path: Path
) -> None:
    data = tmp_path / "data"
    blobs = Blobs(str(data / "blobs"))
    on(f"sqlite:///{data}/store.sqlite", lambda store: pictured(store, blobs, 3))
    named = asyncio.run(blobs.names())
    asyncio.run(blobs.put(f"shop/{new_id()}/{new_id()}-0123456789abcdef.jpg", b"12345"))
    asyncio.run(blobs.put("shop/notes.txt", b"mine"))
    young = run("gc", "--data", data, "--delete")
    assert (young.exit_code, "too young" in young.stderr) == (0, True)
    aged(data / "blobs")
    looked = run("gc", "--data", data)
    assert looked.exit_code == 0, looked.stderr
    assert looked.stdout.startswith("1 of 4 blobs are garbage, 5 bytes: 1 of classifiers that are gone")
    assert "--delete" in looked.stderr
    assert "shop/notes.txt" in looked.stderr
    assert len(asyncio.run(blobs.names())) == 5
    removed = json.loads(run("gc", "--data", data, "--delete", "--json").stdout)
    assert (removed["removed"], removed["removed_bytes"], removed["unknown"]) == (1, 5, 1)
    assert asyncio.run(blobs.names()) == sorted([*named, "shop/notes.txt"])


@pytest.mark.parametrize("kind", ["sqlite", "redis"])
def test_gc_beside_a_service_leaves_it_all_that_it_has(
    run: Run,
    redis_8: Server,
    kind: str,
    serving: Callable[..., AbstractContextManager[str]],
    tmp_path: Path,
    trashnet_shots: Callable[..., tuple[list[Path], list[str]]],
) -> None:
    pictures, labels = trashnet_shots(2, classes=["glass", "metal"])
    redis_8.command("FLUSHALL")
    settings = {"store_url": redis_8.url} if kind == "redis" else {}
    with serving(data=tmp_path, **settings) as url, handful.Client(url) as client:
        id = client.create_classifier("waste").id
        for picture, label in zip(pictures, labels, strict=True):
            client.add_shots(id, [picture], label)
            client.classify(id, [picture])
        aged(tmp_path / "blobs")
        store = ["--store", redis_8.url] if kind == "redis" else []
        looked = run("gc", "--data", tmp_path, *store, "--delete", "--json")
        assert looked.exit_code == 0, looked.stderr
        report = json.loads(looked.stdout)
        assert report["blobs"] >= 4
        assert (report["gone"], report["unnamed"], report["removed"], report["unknown"]) == (0, 0, 0, 0)
        client.classify(id, pictures)
        assert client.add_shots(id, pictures[:1], "glass")
        for one in client.shots(id):
            assert client.shot_image(id, one.id).startswith(b"\xff\xd8")


def test_gc_of_the_wrong_store_is_refused(run: Run, on: On, tmp_path: Path) -> None:
    blobs = Blobs(str(tmp_path / "blobs"))
    on(f"sqlite:///{tmp_path}/store.sqlite", lambda store: pictured(store, blobs, 2))
    aged(tmp_path / "blobs")
    missing = run("gc", "--data", tmp_path / "nothing", "--delete")
    assert (missing.exit_code, "there is no store" in missing.stderr) == (1, True)
    on(f"sqlite:///{tmp_path}/other.sqlite", taught)
    wrong = run("gc", "--data", tmp_path, "--store", f"sqlite:///{tmp_path}/other.sqlite", "--delete")
    assert (wrong.exit_code, "knows none of the 1 classifiers" in wrong.stderr) == (1, True)
    assert len(asyncio.run(blobs.names())) == 2

"""Two services on one folder: nothing is lost or doubled, and each answers with what the other wrote."""

import asyncio
import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

from handful.errors import NotFoundError
from handful.service.answers import Asked
from handful.service.classes import NewClass
from handful.service.classifiers import NewClassifier
from handful.service.new_shots import NewShot
from handful.service.service import open_service
from handful.settings import Settings

_ROOT = Path(__file__).parents[2]
_SHARED = _ROOT / "tests" / "conftest.py"
_EACH = 40  # shots that a writer adds


@pytest.mark.anyio
async def test_what_one_service_wrote_counts_in_the_next_answer_of_the_other(opened, taught, rows):
    async with opened() as one, opened() as other:
        id = await taught(one, use_text=False)
        asked = Asked(rows=rows(5))
        first = await other.answers.classify("default", id, asked)
        assert {said.label for said in first.predictions[0].classes} == {"red", "green"}
        await one.shots.add("default", id, [NewShot(label="blue", row=row) for row in rows(5, 4)])
        (said,) = (await other.answers.classify("default", id, asked)).predictions
        assert said.label == "blue"
        await other.classes.rename("default", id, "blue", "sky")
        (said,) = (await one.answers.classify("default", id, asked)).predictions
        assert said.label == "sky"
        await other.classifiers.delete("default", id)
        with pytest.raises(NotFoundError):
            await one.answers.classify("default", id, asked)


@pytest.mark.anyio
async def test_both_answer_with_the_same_numbers(opened, taught, rows):
    async with opened() as one, opened() as other:
        id = await taught(one, shots=6)
        asked = Asked(rows=rows(0, 5))
        mine, theirs = await asyncio.gather(
            one.answers.classify("default", id, asked), other.answers.classify("default", id, asked)
        )
        assert (mine.version, mine.predictions) == (theirs.version, theirs.predictions)


@pytest.mark.anyio
async def test_changes_of_many_kinds_at_once_are_all_there(opened, rows):
    async with opened() as one, opened() as other:
        id = (await one.classifiers.create("default", NewClassifier(name="x"))).record.id
        added = await one.shots.add("default", id, [NewShot(label="old", row=row) for row in rows(0, 20)])
        ids = [view.record.id for view in added]
        changes = []
        for at, service in enumerate([one, other] * 5):
            new = [NewShot(label=f"new {at}", row=rows(at, seed=at)[0])]
            changes += [
                service.shots.add("default", id, new),
                service.shots.delete("default", id, ids[at]),
                service.shots.relabel("default", id, ids[10 + at], "moved"),
                service.classes.put("default", id, [NewClass(name=f"put {at}")]),
            ]
        await asyncio.gather(*changes)
        view = await other.classifiers.get("default", id)
        shots = {one.name: one.shots for one in view.classes}
        assert shots == {
            "old": 0,
            "moved": 10,
            **{f"new {at}": 1 for at in range(10)},
            **{f"put {at}": 0 for at in range(10)},
        }
        assert (view.record.shot_count, view.record.class_count) == (20, 22)
        assert view.record.revision == 2 + len(changes)
        usage = await one.classifiers.usage("default")
        assert (usage.shots, usage.classes) == (20, 22)


@pytest.mark.anyio
async def test_two_processes_that_add_shots_at_once_lose_and_double_none(opened):
    async with opened() as service:
        id = (await service.classifiers.create("default", NewClassifier(name="x"))).record.id
        folder = service.settings.data_dir
        writers = [
            subprocess.Popen(
                [sys.executable, __file__, str(folder), id, name], stdout=subprocess.PIPE, text=True
            )
            for name in ("left", "right")
        ]
        said = await asyncio.gather(*(asyncio.to_thread(writer.communicate) for writer in writers))
        assert [writer.returncode for writer in writers] == [0, 0]
        acknowledged = {shot for out, _ in said for shot in out.split()}
        there, cursor = [], None
        while True:
            page = await service.shots.list("default", id, limit=100, cursor=cursor)
            there += [view.record.id for view in page.items]
            cursor = page.next_cursor
            if cursor is None:
                break
        assert len(there) == 2 * _EACH
        assert set(there) == acknowledged
        view = await service.classifiers.get("default", id)
        assert {one.name: one.shots for one in view.classes} == {"left": _EACH, "right": _EACH, "both": 0}
        assert view.record.shot_count == 2 * _EACH


async def _write(folder, id, name):
    """Add shots one by one, and say of each that it was acknowledged."""
    sys.path.insert(0, str(_ROOT))  # where `tests` is, for what conftest.py imports
    spec = importlib.util.spec_from_file_location("shared", _SHARED)
    shared = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(shared)
    async with open_service(Settings(data_dir=folder), shared.TinyEncoder()) as service:
        for at in range(_EACH):
            row = [1.0 + at] + [1.0] * 27
            (view,) = await service.shots.add("default", id, [NewShot(label=name, row=row)])
            sys.stdout.write(f"{view.record.id}\n")
            await service.classes.put("default", id, [NewClass(name="both", description=f"{name} {at}")])


if __name__ == "__main__":
    asyncio.run(_write(Path(sys.argv[1]), *sys.argv[2:]))

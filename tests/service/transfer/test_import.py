"""Imports as jobs: archives into a classifier, lines of JSON into many."""

import base64
import io
import json
import os
import zipfile

import numpy as np
import pytest

from handful.errors import ConflictError, NotFoundError, TooLargeError
from handful.service.answers import Asked
from handful.service.classifiers import NewClassifier
from handful.service.transfer import ndjson
from handful.service.transfer.uploads import FOLDER

pytestmark = pytest.mark.anyio


async def streamed(data):
    for start in range(0, len(data), 1000):
        yield data[start : start + 1000]


def archive(files):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as packed:
        for name, data in files.items():
            packed.writestr(name, data)
    return buffer.getvalue()


def lines(*bodies):
    return b"\n".join(body if isinstance(body, bytes) else json.dumps(body).encode() for body in bodies)


async def all_shots(service, id, tenant="default"):
    found, cursor = [], None
    while True:
        page = await service.shots.list(tenant, id, limit=100, cursor=cursor)
        found += page.items
        cursor = page.next_cursor
        if cursor is None:
            return found


async def new(service, **settings):
    return (await service.classifiers.create("default", NewClassifier(name="new", **settings))).record.id


# ---- archives


async def test_an_archive_becomes_shots_in_its_order_and_answers(opened, png, ended, tmp_path):
    files = {f"parts/{colour}/{at}.png": png(colour, at) for at in range(25) for colour in ("red", "blue")}
    async with opened() as service:
        id = await new(service)
        last = await ended(
            service, await service.transfer.start_archive("default", id, streamed(archive(files)))
        )
        assert last.result == {"shots": 50, "skipped_count": 0, "skipped": []}
        shots = await all_shots(service, id)
        assert [(one.record.source_id, one.label) for one in shots] == [
            (name, name.split("/")[1]) for name in files
        ]
        answer = await service.answers.classify(
            "default", id, Asked(images=[png("blue", 99)], pointers=["/images/0"])
        )
        assert answer.predictions[0].label == "blue"
    assert [path for path in (tmp_path / "blobs" / FOLDER).rglob("*") if path.is_file()] == []


async def test_what_cannot_be_read_is_named_and_the_rest_is_taken(opened, png, ended):
    inner = archive({"red/1.png": png("red")})
    files = {
        "red/1.png": png("red", 1),
        "red/text.jpg": b"no picture",
        "red/inner.zip": inner,
        "lost.png": png("red", 2),
        "red/2.png": png("red", 3),
    }
    async with opened() as service:
        id = await new(service)
        last = await ended(
            service, await service.transfer.start_archive("default", id, streamed(archive(files)))
        )
        assert (last.status, last.result["shots"], last.result["skipped_count"]) == ("succeeded", 2, 3)
        reasons = {one["name"]: one["reason"] for one in last.result["skipped"]}
        assert "not a picture" in reasons["red/text.jpg"]
        assert "red/inner.zip" in reasons
        assert reasons["lost.png"] == "it lies in no class folder"
        assert len(await all_shots(service, id)) == 2


async def test_an_archive_of_which_nothing_can_be_read_fails(opened, ended):
    async with opened() as service:
        id = await new(service)
        for files, says in (
            (
                {"red/1.jpg": b"nothing"},
                "none of the 1 files of this archive could be added; the first: red/1",
            ),
            ({".x": b"nothing"}, "this archive holds no files; put pictures into a folder for each class"),
        ):
            last = await ended(
                service, await service.transfer.start_archive("default", id, streamed(archive(files)))
            )
            assert last.status == "failed"
            assert says in last.error["detail"]


async def test_an_import_over_the_quota_says_how_far_it_came(opened, png, ended):
    files = {f"red/{at}.png": png("red", at) for at in range(40)}
    async with opened(tenant_max_shots=35) as service:
        id = await new(service)
        last = await ended(
            service, await service.transfer.start_archive("default", id, streamed(archive(files)))
        )
        assert last.status == "failed"
        assert "35 are allowed" in last.error["detail"]
        assert "32 shots of this archive were added before" in last.error["detail"]
        assert len(await all_shots(service, id)) == 32


async def test_an_archive_waits_while_the_encoder_is_busy(opened, png, ended):
    files = {f"red/{at}.png": png("red", at) for at in range(40)}
    async with opened(queue_images=1) as service:
        id = await new(service)
        other = await new(service)
        jobs = [
            await service.transfer.start_archive("default", one, streamed(archive(files)))
            for one in (id, other)
        ]
        assert [(await ended(service, job)).result["shots"] for job in jobs] == [40, 40]


async def test_too_large_an_archive_and_a_stranger_s_classifier_are_refused_before_a_job(
    opened, png, tmp_path
):
    async with opened(upload_max_bytes=3000) as service:
        id = await new(service)
        with pytest.raises(TooLargeError, match="over 3,000 bytes"):
            await service.transfer.start_archive("default", id, streamed(os.urandom(5000)))
        with pytest.raises(NotFoundError):
            await service.transfer.start_archive("other", id, streamed(b"x"))
    assert [path for path in (tmp_path / "blobs" / FOLDER).rglob("*") if path.is_file()] == []


# ---- lines


async def test_each_line_becomes_a_classifier_with_its_shots(opened, png, ended):
    row = np.eye(28, dtype="<f4")[3]
    bodies = [
        {
            "name": "numbers",
            "classes": [{"name": "green", "description": "like grass"}],
            "shots": [
                {"label": "red", "embedding": row.tolist(), "source_id": "7", "metadata": {"a": 1}},
                {"label": "green", "embedding": base64.b64encode(row.tobytes()).decode(), "group": "g"},
            ],
        },
        {
            "name": "pictures",
            "shots": [
                {
                    "label": "red",
                    "image": "data:image/png;base64," + base64.b64encode(png("red")).decode(),
                }
            ],
        },
        {"name": "empty", "method": "prototype"},
    ]
    async with opened() as service:
        last = await ended(service, await service.transfer.start_lines("default", streamed(lines(*bodies))))
        assert (last.status, last.result["classifiers"], last.result["failed_count"]) == ("succeeded", 3, 0)
        views = [await service.classifiers.get("default", id) for id in last.result["ids"]]
        assert [view.record.name for view in views] == ["numbers", "pictures", "empty"]
        assert [(one.name, one.description, one.shots) for one in views[0].classes] == [
            ("green", "like grass", 1),
            ("red", None, 1),
        ]
        first = (await all_shots(service, views[0].record.id))[0].record
        assert (first.source_id, first.metadata) == ("7", {"a": 1})
        assert views[1].record.image_bytes > 0
        assert views[2].record.method == "prototype"
        answer = await service.answers.classify("default", views[0].record.id, Asked(rows=[row]))
        assert answer.predictions[0].label in ("red", "green")


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        (b"{", "EOF while parsing"),
        (b"[" * 100_000, "recursion limit"),
        ({"nane": "x"}, "/name: Field required"),
        ({"name": "x", "colour": 1}, "/colour: Extra inputs"),
        ({"name": "a/b"}, "holds a '/'"),
        ({"name": "x", "method": "magic"}, "there is no method 'magic'"),
        ({"name": "x", "encoder": "other"}, "there is no encoder 'other'"),
        ({"name": "x", "shots": [{"label": "a"}]}, "give one of them"),
        ({"name": "x", "shots": [{"label": "a", "embedding": [1.0, 2.0]}]}, "28"),
        ({"name": "x", "shots": [{"label": "a", "embedding": [1e300] * 28}]}, "finite"),
        ({"name": "x", "shots": [{"label": "a", "embedding": "!"}]}, "no base64"),
        ({"name": "x", "shots": [{"label": "a", "image": "data:,x"}]}, "picture"),
        ({"name": "x", "shots": [{"label": "a", "image": "/etc/passwd"}]}, "picture"),
        (b'{"name": "' + b"x" * 3000 + b'"}', "the line has over 2,000 bytes"),
    ],
)
async def test_a_wrong_line_is_named_by_its_number_and_the_others_are_taken(
    opened, ended, monkeypatch, wrong, says
):
    monkeypatch.setattr(ndjson, "LONGEST_LINE", 2000 if "2,000" in says else ndjson.LONGEST_LINE)
    monkeypatch.setattr("handful.service.jobs.import_classifiers.LONGEST_LINE", ndjson.LONGEST_LINE)
    body = lines({"name": "one"}, b"", wrong, {"name": "two"})
    async with opened() as service:
        last = await ended(service, await service.transfer.start_lines("default", streamed(body)))
        assert (last.status, last.result["classifiers"], last.result["failed_count"]) == ("succeeded", 2, 1)
        (failed,) = last.result["failed"]
        assert failed["line"] == 3
        assert says in failed["reason"]
        assert (await service.classifiers.usage("default")).classifiers == 2


async def test_lines_of_which_none_is_right_fail(opened, ended):
    async with opened() as service:
        for body, says in ((b"x", "no line could be imported; the first, line 1:"), (b"", "there is none")):
            last = await ended(service, await service.transfer.start_lines("default", streamed(body)))
            assert last.status == "failed"
            assert says in last.error["detail"]


async def test_lines_over_the_quota_stop_and_leave_whole_classifiers(opened, ended):
    body = lines(*({"name": f"{at}", "classes": [{"name": "a"}]} for at in range(10)))
    async with opened(tenant_max_classifiers=4) as service:
        last = await ended(service, await service.transfer.start_lines("default", streamed(body)))
        assert last.status == "failed"
        assert "4 are allowed" in last.error["detail"]
        usage = await service.classifiers.usage("default")
        assert (usage.classifiers, usage.classes) == (4, 4)


async def test_imported_lines_bring_their_heads_and_answer_without_a_fit(
    opened, ended, png, monkeypatch, rows
):
    shots = [{"label": "ab"[axis], "embedding": row.tolist()} for axis in (0, 1) for row in rows(axis, 3)]
    picture = {"label": "red", "image": "data:image/png;base64," + base64.b64encode(png("red")).decode()}
    bodies = [
        {"name": "rows", "shots": shots, "use_text": False},
        {"name": "words and rows", "shots": shots, "classes": [{"name": "green"}]},
        {"name": "words", "classes": [{"name": "green"}, {"name": "blue"}], "method": "zero-shot"},
        {"name": "pictures", "shots": [picture], "views": "standard", "method": "lda"},
        {"name": "to be trained", "shots": shots, "method": "tip-f"},
    ]
    async with opened() as service:
        last = await ended(service, await service.transfer.start_lines("default", streamed(lines(*bodies))))
        imported = {}
        for body, id in zip(bodies, last.result["ids"], strict=True):
            (kept,) = await service.store.heads("default", id)
            record = (await service.classifiers.get("default", id)).record
            assert kept.version == kept.support_version == record.head_version
            imported[body["name"]] = (record, await service.store.head("default", id, kept.version))
        # What is compiled of what is in the store has the same bytes.
        for record, (kept, data) in imported.values():
            again, same = (await service.heads.recipe(await service.heads.support(record))).made()
            assert (again.method, again.classes, same) == (kept.method, kept.classes, data)
        assert imported["to be trained"][1][0].method == "auto"
    monkeypatch.setattr("handful.service.heads.fit_head", lambda *given, **named: pytest.fail("a fit"))
    async with opened() as service:
        for record, _ in imported.values():
            answer = await service.answers.classify("default", record.id, Asked(rows=rows(0)))
            assert answer.version == record.head_version


async def test_what_can_answer_nothing_is_imported_and_says_so_when_it_is_asked(opened, ended, rows):
    row = rows(0)[0].tolist()
    bodies = [
        {"name": "no class"},
        {
            "name": "no words",
            "method": "zero-shot",
            "use_text": False,
            "shots": [{"label": "a", "embedding": row}],
        },
    ]
    async with opened() as service:
        last = await ended(service, await service.transfer.start_lines("default", streamed(lines(*bodies))))
        assert last.result["classifiers"] == 2
        for id in last.result["ids"]:
            assert await service.store.heads("default", id) == []
            with pytest.raises(ConflictError, match=r"add shots|describe it"):
                await service.answers.classify("default", id, Asked(rows=rows(0)))


async def test_an_import_that_stops_leaves_no_picture_that_nothing_names(opened, ended, png, tmp_path):
    picture = {"label": "red", "image": "data:image/png;base64," + base64.b64encode(png("red")).decode()}
    body = lines(*({"name": f"{at}", "shots": [picture]} for at in range(150)))
    async with opened(tenant_max_classifiers=10) as service:
        last = await ended(service, await service.transfer.start_lines("default", streamed(body)))
        assert "10 are allowed" in last.error["detail"]
        assert (await service.classifiers.usage("default")).classifiers == 10
        assert len([name for name in await service.blobs.names() if name.endswith(".jpg")]) == 10

"""`handful.Client` against a real server: each operation once."""

import hashlib
import io
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import handful
from handful.augment import views as augmented
from handful.client import Job
from handful.errors import ClientError, DatasetError, ImageError, JobError, SupportError
from handful.images import decode


def test_a_classifier_goes_from_made_to_deleted(client):
    made = client.create_classifier(
        "parts", domain="metal part", classes=["dent", {"name": "rust", "description": "brown stains"}]
    )
    assert [one.name for one in made.classes] == ["dent", "rust"]
    assert made.classes[1].description == "brown stains"
    changed = client.update_classifier(made.id, name="parts, line 2", if_match=made.etag)
    assert changed.name == "parts, line 2"
    with pytest.raises(ClientError) as stale:
        client.update_classifier(made.id, name="too late", if_match=made.etag)
    assert stale.value.status == 412
    assert client.classifier(made.id).name == "parts, line 2"
    client.delete_classifier(made.id)
    with pytest.raises(ClientError) as gone:
        client.classifier(made.id)
    assert gone.value.status == 404
    assert gone.value.problem["type"] == "/problems/not-found"


def test_lists_go_over_all_pages(client):
    made = client.create_classifier("wide", classes=[f"class {number:03}" for number in range(230)])
    assert [one.name for one in client.classes(made.id)] == [f"class {number:03}" for number in range(230)]
    assert made.id in {one.id for one in client.classifiers()}


def test_a_classifier_is_found_by_id_or_by_its_only_name(client):
    first = client.create_classifier("found by name")
    assert client.find_classifier("found by name").id == first.id
    assert client.find_classifier(first.id).name == "found by name"
    second = client.create_classifier("found by name")
    with pytest.raises(ClientError, match="2 classifiers are named") as several:
        client.find_classifier("found by name")
    assert first.id in str(several.value)
    assert second.id in str(several.value)
    with pytest.raises(ClientError, match="no classifier of id or name 'a/b'"):
        client.find_classifier("a/b")


def test_classes_are_made_renamed_and_deleted(client):
    made = client.create_classifier("classes")
    client.put_classes(made.id, ["dent", {"name": "rust", "prompts": ["brown stains on steel"]}])
    put = client.put_class(made.id, "50 % off?", description="a sticker")
    assert (put.name, put.description) == ("50 % off?", "a sticker")
    client.rename_class(made.id, "dent", "hollow")
    client.delete_class(made.id, "50 % off?")
    assert [(one.name, one.prompts) for one in client.classes(made.id)] == [
        ("hollow", ()),
        ("rust", ("brown stains on steel",)),
    ]


def test_a_class_of_dots_is_a_class(client):
    made = client.create_classifier("dots", classes=["..", ".", "a"])
    client.delete_class(made.id, "..")
    client.rename_class(made.id, ".", "...")
    assert [one.name for one in client.classes(made.id)] == ["...", "a"]


def test_every_kind_of_picture_is_taught_and_asked(client, trashnet):
    path = trashnet / "glass" / "000.jpg"
    picture = Image.open(path)
    made = client.create_classifier("kinds")
    shots = client.add_shots(
        made.id,
        [path, str(path), path.read_bytes(), io.BytesIO(path.read_bytes()), picture, np.asarray(picture)],
        ["a", "a", "a", "b", "b", "b"],
        groups=["g", None, None, None, None, None],
        source_ids=[None, "second", None, None, None, None],
        metadata=[None, None, {"line": 3}, None, None, None],
    )
    assert [shot.label for shot in shots] == ["a", "a", "a", "b", "b", "b"]
    assert [(shot.width, shot.height) for shot in shots] == [picture.size] * 6
    assert shots[0].sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert [shots[0].group, shots[1].source_id, shots[2].metadata] == ["g", "second", {"line": 3}]
    assert shots[1].group is None
    answer = client.classify(made.id, [path, picture], top_k=1, explain=True)
    assert [len(one.classes) for one in answer.predictions] == [1, 1]
    assert answer.version == client.classifier(made.id).head_version
    assert {near.shot for near in answer.predictions[0].neighbours} <= {shot.id for shot in shots}


def test_more_pictures_than_a_request_takes_go_in_several(client, waste, trashnet_shots):
    told = []
    pictures, labels = trashnet_shots(30, first=3, classes=["glass", "metal", "paper"])
    client.add_shots(waste.id, pictures, labels, progress=lambda done, count: told.append((done, count)))
    assert told[-1] == (90, 90)
    assert len(told) > 1
    assert len(list(client.shots(waste.id))) == 99
    assert len(list(client.shots(waste.id, label="glass"))) == 33
    answer = client.classify(waste.id, pictures)
    agreed = [one.label == label for one, label in zip(answer.predictions, labels, strict=True)]
    assert np.mean(agreed) > 0.8


def test_views_count_as_pictures_of_a_request(client, waste, encoder, trashnet_shots):
    pictures, _ = trashnet_shots(10, first=40, classes=["glass", "metal"])
    told = []
    answer = client.classify(
        waste.id, pictures, views="five", progress=lambda done, count: told.append((done, count))
    )
    assert told == [(12, 20), (20, 20)]
    rows = [encoder.encode_images(augmented(decode(one), "five")).mean(axis=0) for one in pictures[:3]]
    expected = client.classify_embeddings(waste.id, rows).predictions
    assert [one.label for one in answer.predictions[:3]] == [one.label for one in expected]
    assert [one.known for one in answer.predictions[:3]] == pytest.approx(
        [one.known for one in expected], abs=0.02
    )
    with pytest.raises(ClientError) as refused:
        client.classify(waste.id, pictures, views="strong")
    assert refused.value.status == 422


def test_a_shot_is_seen_moved_and_forgotten(client, waste):
    shot = next(iter(client.shots(waste.id)))
    small = Image.open(io.BytesIO(client.shot_image(waste.id, shot.id, size=64)))
    assert max(small.size) == 64
    assert client.relabel_shot(waste.id, shot.id, "new class").label == "new class"
    client.delete_shot(waste.id, shot.id)
    assert shot.id not in {one.id for one in client.shots(waste.id)}


def test_a_dry_run_says_what_a_deletion_would_take(client, waste):
    part = client.delete_class(waste.id, "glass", dry_run=True)
    assert (part.classes, part.shots, part.versions) == (1, 3, 0)
    whole = client.delete_classifier(waste.id, dry_run=True)
    assert (whole.classes, whole.shots, whole.versions) == (3, 9, 1)
    assert whole.image_bytes > part.image_bytes > 0
    assert client.classifier(waste.id) == waste
    assert client.delete_class(waste.id, "glass") is None
    assert client.classifier(waste.id).shots == 6


def test_a_folder_of_class_folders_is_taught(client, tmp_path, trashnet):
    for name in ("glass", "metal"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "0.jpg").write_bytes((trashnet / name / "000.jpg").read_bytes())
    made = client.create_classifier("folder")
    assert [shot.label for shot in client.add_folder(made.id, tmp_path)] == ["glass", "metal"]
    with pytest.raises(DatasetError):
        client.add_folder(made.id, tmp_path / "glass" / "nothing")


def test_an_archive_is_taught_by_a_job(client, tmp_path, trashnet):
    with (
        zipfile.ZipFile(tmp_path / "waste.zip", "w") as zipped,
        tarfile.open(tmp_path / "waste.tar.gz", "w:gz") as tarred,
    ):
        for name in ("glass", "metal"):
            zipped.write(trashnet / name / "000.jpg", f"{name}/0.jpg")
            tarred.add(trashnet / name / "001.jpg", f"{name}/1.jpg")
    made = client.create_classifier("archive")
    for file in ("waste.zip", "waste.tar.gz"):
        assert client.wait(client.add_archive(made.id, tmp_path / file)).status == "succeeded"
    assert client.classifier(made.id).shots == 4
    with pytest.raises(SupportError, match=r"no \.zip, \.tar or \.tar\.gz"):
        client.add_archive(made.id, tmp_path / "waste.rar")


def test_embeddings_stand_in_for_pictures(client, encoder, trashnet_shots):
    pictures, labels = trashnet_shots(2, classes=["glass", "metal"])
    X = encoder.encode_images(pictures)
    np.testing.assert_allclose(client.embed_images(pictures), X, atol=2e-3)
    made = client.create_classifier("rows")
    shots = client.add_embeddings(made.id, X, labels, groups=["a", None, None, None])
    assert [shot.group for shot in shots] == ["a", None, None, None]
    answer = client.classify_embeddings(made.id, X, top_k=1)
    assert [one.label for one in answer.predictions] == labels


def test_texts_are_embedded_into_the_space_of_pictures(client, encoder):
    T = client.embed_texts(["a photo of a cat", "a photo of a dog"])
    np.testing.assert_allclose(T, encoder.encode_texts(["a photo of a cat", "a photo of a dog"]), atol=1e-5)
    assert client.encoders()[0]["name"] == "builtin"


def test_words_alone_classify(client, trashnet):
    answer = client.zero_shot(["glass", "cardboard"], [trashnet / "cardboard" / "000.jpg"], top_k=1)
    assert answer.version == 0
    assert len(answer.predictions[0].classes) == 1


def test_coverage_adds_a_set(client, waste, trashnet):
    client.add_shots(waste.id, sorted((trashnet / "glass").iterdir())[10:30], "glass")
    (one,) = client.classify(waste.id, [trashnet / "glass" / "059.jpg"], coverage=0.8).predictions
    assert one.set


def test_what_to_label_next_is_suggested(client, waste, trashnet_shots):
    pictures, _ = trashnet_shots(2, first=10)
    suggestions = client.suggest(waste.id, pictures)
    assert sorted(one.index for one in suggestions) == list(range(len(pictures)))
    assert all(one.reason for one in suggestions)


def test_views_change_for_the_shots_that_are_there(client, waste):
    told = client.wait(client.change_views(waste.id, "flip")).result
    assert (told["views"], told["shots"], told["changed"]) == ("flip", 9, 9)
    assert client.classifier(waste.id).views == "flip"
    compared = client.wait(client.evaluate(waste.id, method="prototype", views=["five"])).result["views"]
    assert [one["policy"] for one in compared["policies"]] == ["none", "five"]


def test_training_is_waited_for_and_an_old_head_comes_back(client, waste):
    before = client.classifier(waste.id).head_version
    told = []
    job = client.wait(
        client.train(waste.id, "tip-f", options={"epochs": 2}), progress=lambda done, _: told.append(done)
    )
    assert job.result["method"] == "tip-f"
    assert told == sorted(told)
    assert told[-1] == 100
    active = next(one for one in client.versions(waste.id) if one.active)
    assert (active.version, active.method) == (job.result["version"], "tip-f")
    assert client.activate(waste.id, before).active
    assert client.classifier(waste.id).head_version == before


def test_an_evaluation_says_how_good_it_is(client, waste):
    job = client.wait(client.evaluate(waste.id).id)
    assert 0 <= job.result["accuracy"]["value"] <= 1
    assert client.job(job.id) == job
    assert [one.status for one in client.events(job.id)][-1] == "succeeded"  # opened late
    assert client.cancel_job(job.id).status == "succeeded"  # over, and stays as it is


def test_a_job_that_fails_says_why(client):
    lonely = client.create_classifier("nothing in it")
    with pytest.raises(JobError, match=lonely.id) as failed:
        client.wait(client.evaluate(lonely.id))
    assert failed.value.problem["title"]


def test_a_classifier_is_exported_and_imported_whole(client, waste, tmp_path, trashnet):
    photo = trashnet / "paper" / "030.jpg"
    file = client.export(waste.id, tmp_path / "waste.zip")
    assert [path.name for path in tmp_path.iterdir()] == ["waste.zip"]
    copy = client.import_classifier(file)
    assert copy.id != waste.id
    assert copy.etag == client.classifier(copy.id).etag
    assert client.classify(copy.id, [photo]).predictions == client.classify(waste.id, [photo]).predictions
    with pytest.raises(ClientError):
        client.export("nothing", tmp_path / "other.zip")
    assert not (tmp_path / "other.zip").exists()


def test_many_classifiers_come_from_lines_of_json(client, tmp_path):
    (tmp_path / "many.ndjson").write_text(
        '{"name": "line 1", "classes": [{"name": "a"}]}\n{"name": "line 2"}\n'
    )
    job = client.wait(client.import_classifiers(tmp_path / "many.ndjson"))
    assert isinstance(job, Job)
    assert {"line 1", "line 2"} <= {one.name for one in client.classifiers()}


def test_what_is_no_picture_is_said_before_anything_is_sent(client, waste, tmp_path):
    with pytest.raises(ImageError, match="put it in a list"):
        client.classify(waste.id, tmp_path / "one.jpg")
    with pytest.raises(ImageError, match=r"gone\.jpg.*no such file"):
        client.classify(waste.id, [tmp_path / "gone.jpg"])
    with pytest.raises(SupportError, match="labels are 2 for 1 shots"):
        client.add_shots(waste.id, [b"x"], ["a", "b"])
    with pytest.raises(SupportError, match="nothing to teach"):
        client.add_shots(waste.id, [], "a")


def test_no_pictures_and_one_text_as_labels_are_said_before_anything_is_sent(client, waste, trashnet):
    for ask in (lambda: client.classify(waste.id, []), lambda: client.suggest(waste.id, [])):
        with pytest.raises(ImageError, match="give at least one"):
            ask()
    with pytest.raises(SupportError, match="put it in a list"):
        client.zero_shot("glass", [trashnet / "glass" / "000.jpg"])


def test_a_picture_that_the_service_cannot_read_is_named(client, waste):
    with pytest.raises(ClientError) as refused:
        client.classify(waste.id, [b"no picture at all"])
    assert refused.value.status == 422
    assert refused.value.problem["errors"][0]["pointer"] == "/files/0"


def test_neither_repr_nor_errors_show_the_key(url):
    client = handful.Client(url, api_key="hfl_secret")
    assert repr(client) == f"Client({url!r})"
    client.close()


def test_the_folder_of_an_export_must_be_there(client, waste):
    with pytest.raises(FileNotFoundError):
        client.export(waste.id, Path("no/such/folder/waste.zip"))

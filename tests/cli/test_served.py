"""The commands with --url, as processes, against a real server."""

import json
import os
import shutil
import subprocess
import sys

import pytest

import handful


@pytest.fixture
def handful_at(url):
    """Run `handful … --url`; returns the finished process."""

    def command(*arguments, environment=None):
        return subprocess.run(
            [
                sys.executable,
                "-c",
                "from handful.cli import app; app()",
                *map(str, arguments),
                *["--url", url],
            ],
            capture_output=True,
            text=True,
            env={**os.environ, **(environment or {})},
            timeout=120,
        )

    return command


@pytest.fixture
def client(url):
    with handful.Client(url) as client:
        yield client


@pytest.fixture
def parts(client, trashnet_shots):
    made = client.create_classifier("parts of a test")
    client.add_shots(made.id, *trashnet_shots(3, classes=["glass", "metal"]))
    yield made.id
    client.delete_classifier(made.id)


def test_a_folder_becomes_a_classifier_of_that_name_with_its_settings(handful_at, client, waste):
    arguments = ("fit", waste, "-o", "fitted", "--domain", "waste", "--unknown-threshold", "0.1")
    described = ("--describe", "glass=a bottle", "--describe", "metal=a tin", "--describe", "metal=a can")
    result = handful_at(*arguments, *described, "--json")
    assert result.returncode == 0, result.stderr
    said = json.loads(result.stdout)
    assert (said["name"], said["shots"], said["unknown_threshold"]) == ("fitted", 15, 0.1)
    classes = {one.name: one for one in client.classes(said["id"])}
    assert classes["glass"].description == "a bottle"
    assert any("a tin" in prompt for prompt in classes["metal"].prompts)
    refused = handful_at("fit", waste, "-o", "fitted")
    assert refused.returncode == 2
    assert "has a classifier fitted; replace it?" in refused.stderr
    replaced = handful_at("fit", waste, "-o", "fitted", "--yes")
    assert replaced.stdout.startswith("fitted: 3 classes, 15 shots, ")
    assert client.find_classifier("fitted").id != said["id"]


def test_a_trained_method_is_trained_before_it_is_said_to_be_there(handful_at, client, waste):
    assert handful_at("fit", waste, "-o", "trained", "--method", "tip-f").returncode == 0
    made = client.find_classifier("trained")
    assert next(one for one in client.versions(made.id) if one.active).method == "tip-f"


def test_views_are_compared_chosen_and_asked_by_the_service(handful_at, client, waste, trashnet):
    chosen = handful_at("fit", waste, "-o", "chosen", "--views", "choose")
    assert chosen.returncode == 0, chosen.stderr
    table = [line.split("\t") for line in chosen.stdout.splitlines()]
    assert [row[:2] for row in table[1:5]] == [
        ["none", "1"],
        ["flip", "2"],
        ["five", "5"],
        ["standard", "12"],
    ]
    made = client.find_classifier("chosen")
    assert f"Choose {'none' if made.views == 'auto' else made.views}: " in chosen.stderr
    compared = handful_at("evaluate", made.id, "--views", "flip", "--json")
    said = json.loads(compared.stdout)["views"]
    assert [one["policy"] for one in said["policies"]] == ["none", "flip"]
    shown = handful_at("evaluate", made.id, "--views", "flip")
    assert f"Choose {said['chosen']}: " in shown.stderr
    asked = handful_at("classify", made.id, trashnet / "glass" / "030.jpg", "--views", "five", "--json")
    assert json.loads(asked.stdout)["predictions"][0]["classes"]
    client.delete_classifier(made.id)


def test_a_fit_that_fails_leaves_nothing(handful_at, client, waste, tmp_path):
    folder = shutil.copytree(waste, tmp_path / "broken")
    (folder / "glass" / "zzz.jpg").write_bytes((folder / "glass" / "000.jpg").read_bytes()[:2000])
    result = handful_at("fit", folder, "-o", "broken")
    assert result.returncode == 1
    assert result.stderr.startswith("handful: ")
    assert "broken" not in {one.name for one in client.classifiers()}


@pytest.mark.parametrize("name", ["parts of a test", "id"])
def test_pictures_are_classified_by_name_and_by_id(handful_at, client, parts, trashnet, name):
    photos = [trashnet / "glass" / "030.jpg", trashnet / "metal" / "030.jpg"]
    result = handful_at("classify", parts if name == "id" else name, *photos, "--json", "--explain")
    said = json.loads(result.stdout)
    assert said.keys() == {"predictions", "version", "encoder"}
    ours = client.classify(parts, photos, explain=True)
    assert [one.pop("picture") for one in said["predictions"]] == [str(photo) for photo in photos]
    assert said["predictions"] == [one.as_dict() for one in ours.predictions]
    assert said["version"] == ours.version


def test_piped_answers_name_the_shots_by_their_ids(handful_at, client, parts, trashnet):
    result = handful_at("classify", parts, trashnet / "glass" / "030.jpg", "--explain")
    header, line = result.stdout.splitlines()
    assert header.split("\t")[:4] == ["picture", "answer", "probability", "known"]
    assert any(shot.id in line for shot in client.shots(parts))


def test_words_alone_classify(handful_at, trashnet):
    photo = trashnet / "cardboard" / "000.jpg"
    result = handful_at("zero-shot", "--labels", "cardboard,glass", photo, "--json")
    assert json.loads(result.stdout)["version"] == 0
    misused = handful_at("zero-shot", "--labels", "cardboard,glass", photo, "--domain", "waste")
    assert misused.returncode == 2
    assert "--domain is for files" in misused.stderr


def test_shots_are_added_listed_and_removed(handful_at, client, parts, trashnet):
    photo = trashnet / "paper" / "000.jpg"
    added = handful_at("add", parts, "paper", photo)
    shot, label, name = added.stdout.strip().split("\t")
    assert (label, name) == ("paper", str(photo))
    assert "now holds 7 shots of 3 classes" in added.stderr
    listed = handful_at("info", parts, "--shots")
    assert [line.split("\t")[0] for line in listed.stdout.splitlines()[1:]] == [
        one.id for one in client.shots(parts)
    ]
    asked = handful_at("remove", parts, shot)
    assert (asked.returncode, "--yes" in asked.stderr) == (2, True)
    looked = handful_at("remove", parts, shot, "--dry-run", "--json")
    assert json.loads(looked.stdout) == {"removed": [shot], "shots": 6, "dry_run": True}
    assert (
        handful_at("remove", parts, shot, "--dry-run").stdout == f"{parts}: would hold 3 classes, 6 shots\n"
    )
    wrong = handful_at("remove", parts, shot, "nothing", "--dry-run")
    assert (wrong.returncode, "has no shot 'nothing'" in wrong.stderr) == (1, True)
    assert client.classifier(parts).shots == 7
    removed = handful_at("remove", parts, shot, "--yes", "--json")
    assert json.loads(removed.stdout) == {"removed": [shot], "shots": 6}


def test_info_says_what_it_is(handful_at, parts):
    shown = handful_at("info", parts)
    assert shown.stdout.splitlines() == ["class\tshots", "glass\t3", "metal\t3"]
    assert "method: auto" in shown.stderr
    said = json.loads(handful_at("info", parts, "--json").stdout)
    assert (said["id"], [one["shots"] for one in said["classes"]]) == (parts, [3, 3])


def test_an_evaluation_is_run_by_the_service(handful_at, parts):
    said = json.loads(handful_at("evaluate", parts, "--json").stdout)
    assert 0 <= said["accuracy"]["value"] <= 1
    shown = handful_at("evaluate", parts)
    assert shown.stdout.splitlines()[0].startswith("6 pictures asked")
    assert "accuracy" in shown.stdout


def test_the_environment_names_the_service_too(url, parts):
    command = [
        sys.executable,
        "-c",
        "from handful.cli import app; app()",
        "info",
        "parts of a test",
        "--json",
    ]
    result = subprocess.run(
        command, capture_output=True, text=True, env={**os.environ, "HANDFUL_URL": url}, timeout=60
    )
    assert json.loads(result.stdout)["id"] == parts


def test_an_unknown_classifier_is_one_line(handful_at):
    result = handful_at("classify", "nothing", __file__)
    assert result.returncode == 1
    assert result.stderr == "handful: there is no classifier of id or name 'nothing'\n"

"""evaluate."""

import json
import shutil
from pathlib import Path

import pytest


@pytest.fixture(scope="module")
def report(run, waste, tmp_path_factory):
    html = tmp_path_factory.mktemp("report") / "report.html"
    result = run(
        *("evaluate", waste, "--method", "prototype", "--shots", "0,1,3", "--seeds", 2),
        *("--html", html),
    )
    assert result.exit_code == 0, result.stderr
    return result, html.read_text(encoding="utf-8")


def test_the_terminal_gets_every_measure_with_its_interval(report):
    said = report[0].stdout
    for name in (
        "accuracy",
        "macro F1",
        "calibration error",
        "log loss",
        "unknown: AUROC",
        "15 pictures asked",
    ):
        assert name in said
    header = next(line for line in said.splitlines() if line.startswith("accuracy"))
    assert header.split("\t") == ["accuracy", "words", "1", "3"]


def test_the_report_shows_pictures_and_needs_nothing_else(report):
    html = report[1]
    assert "How well waste is told apart" in html
    assert "data:image/jpeg;base64," in html
    assert "Learning curve" in html


def test_policies_of_views_are_compared(run, waste, tmp_path):
    for name in ("glass", "metal"):
        (tmp_path / "waste" / name).mkdir(parents=True)
        for number in range(2):
            shutil.copy(waste / name / f"{number:03}.jpg", tmp_path / "waste" / name)
    result = run(
        *("evaluate", tmp_path / "waste", "--method", "prototype", "--shots", "1", "--seeds", 2),
        *("--views", "none,colour-matters", "--json"),
    )
    said = json.loads(result.stdout)
    points = said["curve"]["points"]
    assert {point["contender"] for point in points} == {"handful", "views colour-matters"}
    assert [one["policy"] for one in said["views"]["policies"]] == ["none", "colour-matters"]
    assert (said["views"]["chosen"], said["views"]["judged"]) == ("none", 4)
    assert said["settings"]["views to choose"].startswith("none: no policy is surely better")


def test_all_policies_are_compared_in_a_table_that_ends_with_a_choice(run, waste):
    result = run(
        *("evaluate", waste, "--method", "prototype", "--shots", "1", "--seeds", 2, "--views", "all")
    )
    assert result.exit_code == 0, result.stderr
    rows = [line.split("\t") for line in result.stdout.splitlines()]
    start = next(at for at, row in enumerate(rows) if row[0] == "views")
    assert rows[start] == [
        *("views", "encodings of a shot", "ms of a shot", "left-out shots named rightly", "over none")
    ]
    named = {row[0]: row for row in rows[start + 1 : start + 5]}
    assert {name: row[1] for name, row in named.items()} == {
        **{"none": "1", "flip": "2", "five": "5", "standard": "12"}
    }
    assert named["none"][4] == "–"
    assert "[" in named["five"][4]
    assert "Choose " in result.stderr
    wrong = run("evaluate", waste, "--views", "none,sideways")
    assert wrong.exit_code == 2
    assert "name policies between commas" in wrong.stderr


def test_json_is_the_evaluation(run, waste):
    result = run("evaluate", waste, "--method", "prototype", "--shots", "1", "--seeds", 2, "--json")
    said = json.loads(result.stdout)
    assert 0 <= said["accuracy"] <= 1
    assert said["judged"] == 15
    assert {point["shots"] for point in said["curve"]["points"]} == {1}
    assert result.stderr == ""


def test_a_saved_classifier_is_judged_by_its_own_shots(run, saved, tmp_path):
    result = run("evaluate", saved, "--html", tmp_path / "r.html", "--json")
    said = json.loads(result.stdout)
    assert said["judged"] == 15
    assert said["curve"] is None
    assert "data:image/jpeg;base64," in (tmp_path / "r.html").read_text(encoding="utf-8")


def test_a_saved_classifier_is_asked_other_pictures(run, saved, trashnet, tmp_path):
    for name in ("glass", "paper"):
        (tmp_path / "test" / name).mkdir(parents=True)
        for number in (30, 31, 32):
            shutil.copy(trashnet / name / f"{number:03}.jpg", tmp_path / "test" / name)
    result = run("evaluate", saved, "--test", tmp_path / "test", "--json", "--html", tmp_path / "r.html")
    said = json.loads(result.stdout)
    assert said["judged"] == 3
    assert 0 <= said["measures"]["auroc"]["value"] <= 1
    assert "Strangers rejected" in (tmp_path / "r.html").read_text(encoding="utf-8")


def test_test_pictures_are_for_saved_classifiers(run, waste):
    result = run("evaluate", waste, "--test", waste)
    assert result.exit_code == 2
    assert "--test asks a saved classifier" in result.stderr


@pytest.mark.parametrize("shots", ["1,x", "-1", ""])
def test_shots_are_numbers_between_commas(run, waste, shots):
    result = run("evaluate", waste, f"--shots={shots}")
    assert result.exit_code == 2
    assert "such as 1,4,16" in result.stderr


def test_one_class_is_nothing_to_tell_apart(run, waste, tmp_path):
    shutil.copytree(waste / "glass", tmp_path / "one" / "glass")
    result = run("evaluate", tmp_path / "one")
    assert result.exit_code == 1
    assert "one class, 'glass'; telling apart takes two" in result.stderr


def test_a_class_of_one_picture_cannot_be_evaluated(run, waste, tmp_path):
    shutil.copytree(waste, tmp_path / "waste")
    for number in range(1, 5):
        (tmp_path / "waste" / "glass" / f"{number:03}.jpg").unlink()
    result = run("evaluate", tmp_path / "waste")
    assert result.exit_code == 1
    assert "class 'glass' has one picture" in result.stderr


def test_a_report_without_a_folder_is_misuse_before_any_work(run, waste, tmp_path):
    result = run("evaluate", waste, "--html", tmp_path / "no" / "r.html")
    assert result.exit_code == 2
    assert "there is no folder" in result.stderr


def test_an_ensemble_is_shown_beside_its_parts(run, waste):
    clip = Path(__file__).parents[1] / "encoders/fixtures/clip-immich"
    result = run("evaluate", waste, "--encoder", f"builtin+{clip}", "--shots", "1", "--seeds", 2)
    assert result.exit_code == 0, result.stderr
    rows = [line.split("\t") for line in result.stdout.splitlines()]
    header = next(at for at, row in enumerate(rows) if row[0] == "encoder")
    assert rows[header][1:3] == ["share of the answer", "named rightly"]
    assert [row[0] for row in rows[header + 1 : header + 4]] == ["builtin", str(clip), "all together"]
    assert all(int(row[-1]) > 0 for row in rows[header + 1 : header + 4])

"""fit, add, remove."""

import json

import pytest

import handful


def test_fit_saves_a_classifier_that_load_reads(saved):
    classifier = handful.load(saved)
    assert classifier.classes_.tolist() == ["cardboard", "glass", "metal"]
    assert len(classifier.shots_) == 15


def test_fit_answers_in_a_line_and_says_what_is_next_elsewhere(run, waste, tmp_path):
    result = run("fit", waste, "-o", tmp_path / "m", "--method", "prototype", "--no-thumbnails")
    assert result.stdout == f"{tmp_path / 'm'}: 3 classes, 15 shots\n"
    assert f"handful classify {tmp_path / 'm'}" in result.stderr
    assert not (tmp_path / "m" / "thumbnails").exists()


def test_views_are_chosen_by_the_shots_where_that_is_asked(run, waste, tmp_path):
    arguments = ("fit", waste, "--method", "prototype", "--views", "choose")
    said = json.loads(run(*arguments, "-o", tmp_path / "m", "--json").stdout)
    assert [one["policy"] for one in said["views"]["policies"]] == ["none", "flip", "five", "standard"]
    assert handful.load(tmp_path / "m").views == said["views"]["chosen"]
    shown = run(*arguments, "-o", tmp_path / "n")
    header, none, *_ = shown.stdout.splitlines()
    assert header.split("\t")[:3] == ["views", "encodings of a shot", "ms of a shot"]
    assert none.split("\t")[:2] == ["none", "1"]
    assert f"Choose {said['views']['chosen']}: " in shown.stderr


def test_fit_keeps_what_it_was_told_of_words_and_views(run, waste, tmp_path):
    described = tmp_path / "words.json"
    described.write_text(json.dumps({"metal": ["a tin can", "a crushed can"]}))
    result = run(
        *("fit", waste, "-o", tmp_path / "m", "--method", "prototype", "--views", "colour-matters"),
        *("--domain", "waste", "--describe", "glass=a bottle = of glass", "--describe", described),
        *("--templates", "a snap of {}", "--unknown-threshold", "0.1", "--json"),
    )
    assert json.loads(result.stdout)["classes"] == {"cardboard": 5, "glass": 5, "metal": 5}
    classifier = handful.load(tmp_path / "m")
    assert classifier.domain == "waste"
    assert classifier.views == "colour-matters"
    assert classifier.unknown_threshold == 0.1
    assert list(classifier.templates) == ["a snap of {}"]
    assert {label: list(said) for label, said in classifier.descriptions.items()} == {
        "glass": ["a bottle = of glass"],
        "metal": ["a tin can", "a crushed can"],
    }


def test_fit_says_what_it_left_out(run, waste, tmp_path):
    folder = tmp_path / "waste"
    folder.symlink_to(waste)
    (tmp_path / "more").mkdir()
    for entry in waste.iterdir():
        (tmp_path / "more" / entry.name).symlink_to(entry)
    (tmp_path / "more" / "empty").mkdir()
    result = run("fit", tmp_path / "more", "-o", tmp_path / "m", "--method", "prototype")
    assert "empty" in result.stderr
    assert "empty" not in result.stdout


@pytest.mark.parametrize(
    ("describe", "said"),
    [
        ("glass", "neither NAME=SENTENCE nor a file"),
        ("=text", "write NAME=SENTENCE, both of them"),
        ("list.json", "holds no names with sentences"),
        ("number.json", "something else than sentences for 'glass'"),
        ("broken.json", "cannot be read"),
    ],
)
def test_descriptions_that_make_no_sense_are_misuse(run, waste, tmp_path, monkeypatch, describe, said):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "list.json").write_text("[1]")
    (tmp_path / "number.json").write_text('{"glass": 1}')
    (tmp_path / "broken.json").write_text("{")
    result = run("fit", waste, "-o", "m", "--describe", describe)
    assert result.exit_code == 2
    assert said in result.stderr
    assert not (tmp_path / "m").exists()


def test_a_model_is_not_replaced_unasked(run, waste, model):
    before = (model / "config.json").read_bytes()
    result = run("fit", waste, "-o", model)
    assert result.exit_code == 2
    assert "Pass --yes to agree" in result.stderr
    assert (model / "config.json").read_bytes() == before
    assert run("fit", waste, "-o", model, "--yes", "--method", "prototype").exit_code == 0


@pytest.mark.parametrize(("answer", "code"), [(b"n\n", 1), (b"y\n", 0)])
def test_on_a_terminal_the_question_is_asked(run, waste, model, on_a_terminal, answer, code):
    on_a_terminal("stdin", "stderr")
    result = run("fit", waste, "-o", model, "--method", "prototype", stdin=answer)
    assert result.exit_code == code
    assert "replace it?" in result.stderr
    assert ("15 shots" in result.stdout) == (code == 0)


def test_folders_that_are_no_data_say_what_was_found_and_what_to_do(run, tmp_path):
    (tmp_path / "empty").mkdir()
    result = run("fit", tmp_path / "empty", "-o", tmp_path / "m")
    assert result.exit_code == 1
    assert result.stderr.startswith("handful: ")
    assert result.stderr.count("\n") == 1
    assert "is empty; make a folder for each class" in result.stderr


def test_added_shots_are_told_by_id_and_removed_by_it(run, model, trashnet):
    photos = [trashnet / "metal" / "020.jpg", trashnet / "metal" / "021.jpg"]
    added = run("add", model, "metal", *photos)
    assert added.exit_code == 0
    ids = [line.split("\t")[0] for line in added.stdout.splitlines()]
    assert len(handful.load(model).shots_) == 17
    listed = run("info", model, "--shots").stdout
    assert all(shot in listed for shot in ids)
    looked = run("remove", model, *ids, "--dry-run")
    assert looked.stdout == f"{model}: would hold 3 classes, 15 shots\n"
    said = {"removed": ids, "shots": 15}
    assert json.loads(run("remove", model, *ids, "--dry-run", "--json").stdout) == {**said, "dry_run": True}
    assert len(handful.load(model).shots_) == 17
    removed = run("remove", model, *ids, "--yes", "--json")
    assert json.loads(removed.stdout) == said
    assert len(handful.load(model).shots_) == 15


def test_a_new_label_makes_a_new_class(run, model, trashnet):
    result = run("add", model, "paper", trashnet / "paper" / "001.jpg", "--json")
    (shot,) = json.loads(result.stdout)["shots"]
    assert shot["label"] == "paper"
    assert handful.load(model).classes_.tolist() == ["cardboard", "glass", "metal", "paper"]


def test_removing_what_is_not_there_changes_nothing(run, model):
    before = (model / "config.json").read_bytes()
    result = run("remove", model, "nothing", "--yes")
    assert result.exit_code == 1
    assert "there is no shot 'nothing'" in result.stderr
    assert (model / "config.json").read_bytes() == before


def test_removing_is_not_done_unasked(run, model):
    result = run("remove", model, handful.load(model).shots_[0].id)
    assert result.exit_code == 2
    assert len(handful.load(model).shots_) == 15


def test_labels_of_a_classifier_of_numbers_are_numbers(run, tmp_path, trashnet):
    pictures = [trashnet / "glass" / f"00{i}.jpg" for i in range(4)]
    classifier = handful.FewShotClassifier(method="prototype", progress=False)
    classifier.fit(pictures, [1, 1, 2, 2]).save(tmp_path / "m")
    assert run("add", tmp_path / "m", "2", trashnet / "glass" / "004.jpg").exit_code == 0
    assert handful.load(tmp_path / "m").classes_.tolist() == [1, 2]

"""classify and zero-shot."""

import json
import shutil

import pytest

import handful


def test_json_is_what_the_service_answers(run, saved, trashnet):
    photos = [trashnet / "glass" / "001.jpg", trashnet / "metal" / "003.jpg"]
    result = run("classify", saved, *photos, "--json", "--top-k", 2)
    said = json.loads(result.stdout)
    assert set(said) == {"predictions", "version", "encoder"}
    assert said["encoder"] == "builtin"
    expected = [p.as_dict() for p in handful.load(saved).classify(photos, top_k=2)]
    assert [p.pop("picture") for p in said["predictions"]] == [str(photo) for photo in photos]
    assert said["predictions"] == expected
    assert set(expected[0]) == {"label", "probability", "known", "unknown", "classes"}
    assert result.stderr == ""


def test_views_of_a_photo_are_asked_as_the_library_asks_them(run, saved, trashnet):
    photo = trashnet / "glass" / "001.jpg"
    (said,) = json.loads(run("classify", saved, photo, "--views", "five", "--json").stdout)["predictions"]
    (expected,) = handful.load(saved).classify([photo], views="five")
    said.pop("picture")
    assert said == expected.as_dict()
    wrong = run("classify", saved, photo, "--views", "strong")
    assert wrong.exit_code == 2
    assert "none, flip, five" in wrong.stderr


def test_version_changes_with_the_shots_only(run, model, trashnet):
    photo = trashnet / "glass" / "001.jpg"

    def version():
        return json.loads(run("classify", model, photo, "--json").stdout)["version"]

    before = version()
    assert version() == before
    run("add", model, "glass", trashnet / "glass" / "030.jpg")
    assert version() != before


def test_piped_answers_are_tab_separated_lines(run, saved, trashnet):
    photo = trashnet / "glass" / "001.jpg"
    header, line = run("classify", saved, photo, "--explain").stdout.splitlines()
    assert header.split("\t")[:4] == ["picture", "answer", "probability", "known"]
    cells = line.split("\t")
    assert len(cells) == len(header.split("\t"))
    assert cells[:2] == [str(photo), "glass"]
    assert "001.jpg" in cells[6]


def test_on_a_terminal_answers_are_a_table(run, saved, trashnet, on_a_terminal):
    on_a_terminal("stdout")
    said = run("classify", saved, trashnet / "glass" / "001.jpg", "--explain").stdout
    assert "\t" not in said
    assert "because of 001.jpg" in said


def test_names_in_brackets_are_not_taken_for_markup(
    run, saved, trashnet, tmp_path, monkeypatch, on_a_terminal
):
    monkeypatch.chdir(tmp_path)
    shutil.copy(trashnet / "glass" / "001.jpg", "[red]a.jpg")
    on_a_terminal("stdout")
    assert "[red]a.jpg" in run("classify", saved, "[red]a.jpg").stdout


def test_a_picture_comes_from_standard_input(run, saved, trashnet):
    photo = trashnet / "glass" / "001.jpg"
    piped = json.loads(run("classify", saved, "-", "--json", stdin=photo.read_bytes()).stdout)
    named = json.loads(run("classify", saved, photo, "--json").stdout)
    assert piped["predictions"][0].pop("picture") == "-"
    named["predictions"][0].pop("picture")
    assert piped == named


def test_standard_input_holds_one_picture(run, saved):
    result = run("classify", saved, "-", "-", stdin=b"")
    assert result.exit_code == 2
    assert "name it once" in result.stderr


def test_nobody_types_a_picture(run, saved, on_a_terminal):
    on_a_terminal("stdin")
    result = run("classify", saved, "-", stdin=b"")
    assert result.exit_code == 2
    assert "pipe one in" in result.stderr


def test_a_folder_stands_for_the_pictures_in_it(run, saved, waste):
    (waste / "glass" / ".hidden.jpg").write_bytes(b"")
    result = run("classify", saved, waste)
    (waste / "glass" / ".hidden.jpg").unlink()
    names = [line.split("\t")[0] for line in result.stdout.splitlines()[1:]]
    assert names == sorted(str(file) for file in waste.rglob("*.jpg"))


def test_a_set_holds_the_truth_as_often_as_asked(run, saved, trashnet):
    said = run("classify", saved, trashnet / "glass" / "001.jpg", "--coverage", "0.9", "--json").stdout
    assert "glass" in json.loads(said)["predictions"][0]["set"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nothing.jpg"], "there is no picture 'nothing.jpg'"),
        (["empty"], "folder 'empty' holds no picture"),
        (["text.jpg"], "is text"),
    ],
)
def test_what_is_no_picture_is_one_line_on_stderr(run, saved, tmp_path, monkeypatch, arguments, said):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    (tmp_path / "text.jpg").write_text("hello, this is no picture")
    result = run("classify", saved, *arguments)
    assert result.exit_code == 1
    assert said in result.stderr
    assert result.stderr.count("\n") == 1
    assert result.stdout == ""


def test_words_alone_classify(run, trashnet):
    photo = trashnet / "glass" / "001.jpg"
    result = run("zero-shot", "--labels", "cardboard, glass bottle,glass bottle,tennis shoe", photo, "--json")
    said = json.loads(result.stdout)["predictions"][0]
    assert said["label"] == "glass bottle"
    assert len(said["classes"]) == 3


def test_one_word_is_nothing_to_choose_from(run, trashnet):
    result = run("zero-shot", "--labels", "glass", trashnet / "glass" / "001.jpg")
    assert result.exit_code == 2
    assert "at least two classes" in result.stderr

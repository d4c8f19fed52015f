import json
import os
from hashlib import sha256
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from PIL import Image
from safetensors.numpy import load as load_tensors

import handful
from handful import FewShotClassifier, folders
from handful.adapters import METHODS
from handful.background import Background
from handful.errors import ModelError, SupportError
from handful.tensors import pack, unpack


@pytest.fixture
def pictures(coloured) -> tuple[list[np.ndarray], list[str]]:
    return coloured("red", 3) + coloured("blue", 2), ["red"] * 3 + ["blue"] * 2


@pytest.fixture
def taught(tiny_encoder, pictures) -> FewShotClassifier:
    return FewShotClassifier(tiny_encoder, "prototype").fit(*pictures)


def edit(folder: Path, **changes: object) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | changes))


# ---- there and back


@pytest.mark.parametrize("method", sorted(METHODS))
def test_a_loaded_classifier_answers_as_before(tiny_encoder, pictures, method, tmp_path):
    images, labels = pictures
    parameters = {
        "classes": ["green"],
        "descriptions": {"red": ["It is red."], "blue": ["It is blue.", "It is cold."]},
        "templates": ["a {}."],
        "domain": "thing",
        "views": "none",
        "unknown_threshold": 0.2,
        "options": METHODS[method].options(),
    }
    classifier = FewShotClassifier(tiny_encoder, method, **parameters).fit(images, labels)
    loaded = handful.load(classifier.save(tmp_path / "model"), encoder=tiny_encoder)
    assert loaded.get_params() == classifier.get_params()
    assert loaded.shots_ == classifier.shots_
    assert_array_equal(loaded.classes_, classifier.classes_)
    assert_array_equal(loaded.predict_proba(images), classifier.predict_proba(images))
    assert [a.as_dict() for a in loaded.classify(images, coverage=0.3, explain=True)] == [
        a.as_dict() for a in classifier.classify(images, coverage=0.3, explain=True)
    ]


def test_a_loaded_classifier_goes_on_learning(taught, tiny_encoder, coloured, tmp_path):
    loaded = handful.load(taught.save(tmp_path / "model"), encoder=tiny_encoder)
    for classifier in (taught, loaded):
        classifier.partial_fit(coloured("green", 2), ["green", "green"]).forget(classifier.shots_[0].id)
    images = coloured("green", 1, seed=9) + coloured("red", 2, seed=9)
    assert loaded.shots_ == taught.shots_
    assert_allclose(loaded.predict_proba(images), taught.predict_proba(images), atol=1e-6)


@pytest.mark.parametrize(
    "labels", [[3, 3, 3, 1, 1], [True, True, True, False, False], [2.0, 2.0, 2.0, 1.0, 1.0]]
)
def test_labels_keep_their_kind(taught, pictures, tiny_encoder, labels, tmp_path):
    taught.fit(pictures[0], labels).save(tmp_path / "model")
    loaded = handful.load(tmp_path / "model", encoder=tiny_encoder)
    assert loaded.classes_.dtype == taught.classes_.dtype
    assert loaded.shots_ == taught.shots_
    assert loaded.predict(pictures[0]).tolist() == labels


def test_words_alone_can_be_kept(tiny_encoder, coloured, tmp_path):
    FewShotClassifier(tiny_encoder, "zero-shot", classes=["red", "blue"]).fit().save(tmp_path / "model")
    loaded = handful.load(tmp_path / "model", encoder=tiny_encoder)
    assert loaded.predict(coloured("blue", 1)).tolist() == ["blue"]
    assert "pipeline_tag: zero-shot-image-classification" in (tmp_path / "model" / "README.md").read_text()


def test_embeddings_from_elsewhere_can_be_kept(tmp_path):
    X = np.random.default_rng(0).normal(size=(4, 5))
    FewShotClassifier(None, "prototype").fit_embeddings(X, list("aabb")).save(tmp_path / "model")
    loaded = handful.load(tmp_path / "model")
    assert loaded.encoder is None
    assert loaded.predict_embeddings(X).tolist() == list("aabb")


def test_the_background_travels_with_the_classifier(tiny_encoder_class, coloured, pictures, tmp_path):
    seen = tiny_encoder_class().encode_images(coloured("green", 9) + coloured("yellow", 9))
    encoder = tiny_encoder_class(background=Background.fit(seen))
    FewShotClassifier(encoder, "prototype").fit(*pictures).save(tmp_path / "model")
    later = tiny_encoder_class(background=None)  # of a release whose encoder was profiled anew
    loaded = handful.load(tmp_path / "model", encoder=later)
    assert loaded.head_.support.background.fingerprint == encoder.background.fingerprint
    assert loaded.predict(pictures[0]).tolist() == pictures[1]


def test_a_head_of_an_earlier_rule_answers_as_before_and_learns_anew(
    taught, tiny_encoder, pictures, tmp_path
):
    folder = taught.save(tmp_path / "model")
    model = folder / "model.safetensors"
    arrays, settings = unpack("head", 2, model.read_bytes())
    model.write_bytes(pack("head", 2, arrays, settings | {"rule": "prototype/0"}))
    files = json.loads((folder / "config.json").read_text())["files"]
    edit(folder, files=files | {"model.safetensors": sha256(model.read_bytes()).hexdigest()})
    loaded = handful.load(folder, encoder=tiny_encoder)
    assert loaded.head_.support is None
    assert_allclose(loaded.predict_proba(pictures[0]), taught.predict_proba(pictures[0]))
    loaded.forget(loaded.shots_[0].id)
    assert loaded.head_.rule == METHODS["prototype"].rule
    assert len(loaded.head_.support.X) == 4


def test_the_builtin_encoder_is_found_by_its_name(trashnet_shots, tmp_path):
    paths, labels = trashnet_shots(1, classes=["glass", "paper"])
    classifier = FewShotClassifier(method="prototype").fit(paths, labels)
    loaded = handful.load(classifier.save(tmp_path / "model"))
    assert loaded.get_params() == classifier.get_params()
    assert_array_equal(loaded.predict_proba(paths), classifier.predict_proba(paths))


# ---- the folder


def test_the_folder_is_laid_out_as_the_hub_reads_it(taught, tmp_path):
    folder = taught.save(tmp_path / "deep" / "model")
    assert folder == tmp_path / "deep" / "model"
    assert sorted(path.name for path in folder.iterdir()) == [
        "README.md", "config.json", "model.safetensors", "thumbnails",
    ]  # fmt: skip
    assert os.listdir(folder.parent) == ["model"]
    config = json.loads((folder / "config.json").read_text())
    assert config["format"] == "handful.classifier/1"
    assert config["handful"] == handful.__version__
    assert config["encoder"] == {"name": "tiny", "fingerprint": "tiny-1"}
    assert load_tensors((folder / "model.safetensors").read_bytes())["support.X"].shape == (5, 28)
    yaml = pytest.importorskip("yaml")
    head = yaml.safe_load((folder / "README.md").read_text().split("---")[1])
    assert (head["library_name"], head["pipeline_tag"]) == ("handful", "image-classification")
    assert head["license"] == "other"
    assert "few-shot" in head["tags"]


def test_no_path_of_this_machine_is_kept(tiny_encoder, trashnet_shots, trashnet, tmp_path):
    folder = FewShotClassifier(tiny_encoder, "prototype").fit(*trashnet_shots(1)).save(tmp_path / "model")
    for file in folder.rglob("*.*"):
        assert str(trashnet).encode() not in file.read_bytes()
        assert str(tmp_path).encode() not in file.read_bytes()


def test_labels_cannot_break_the_card(taught, pictures, tmp_path):
    labels = ["<b>|\n# x `y` ---"] * 3 + ["é" * 300] * 2
    folder = taught.set_params(use_text=False).fit(pictures[0], labels).save(tmp_path / "model")
    card = (folder / "README.md").read_text()
    assert "| &lt;b&gt;\\| \\# x \\`y\\` --- | 3 |" in card
    assert "<b>" not in card
    assert "é" * 201 not in card


def test_a_card_names_only_so_many_classes(tiny_encoder, coloured, tmp_path):
    labels = [f"class {at:03}" for at in range(120)]
    classifier = FewShotClassifier(tiny_encoder, "prototype", use_text=False)
    card = classifier.fit(coloured("red", 120), labels).save(tmp_path / "model") / "README.md"
    assert "| and 20 more | |" in card.read_text()


def test_thumbnails_are_kept_unless_not_wanted(taught, tiny_encoder, tmp_path):
    with_them = taught.save(tmp_path / "with")
    without = taught.save(tmp_path / "without", thumbnails=False)
    shot = taught.shots_[0].id
    loaded = handful.load(with_them, encoder=tiny_encoder)
    assert (
        loaded.thumbnail(shot)
        == taught.thumbnail(shot)
        == (with_them / "thumbnails" / f"{shot}.jpg").read_bytes()
    )
    assert Image.open(BytesIO(loaded.thumbnail(shot))).size == (12, 12)
    assert not (without / "thumbnails").exists()
    assert handful.load(without, encoder=tiny_encoder).thumbnail(shot) is None


def test_a_loaded_classifier_can_be_saved_in_its_place(taught, tiny_encoder, tmp_path):
    folder = taught.save(tmp_path / "model")
    loaded = handful.load(folder, encoder=tiny_encoder)
    loaded.forget(loaded.shots_[0].id).save(folder)
    kept = {path.stem for path in (folder / "thumbnails").iterdir()}
    assert kept == {shot.id for shot in taught.shots_[1:]}
    assert handful.load(folder, encoder=tiny_encoder).shots_ == taught.shots_[1:]


def test_saving_again_keeps_what_is_not_its_own(taught, tmp_path):
    folder = taught.save(tmp_path / "model")
    (folder / ".git").mkdir()
    (folder / ".git" / "HEAD").write_text("ref")
    (folder / "notes.txt").write_text("mine")
    (folder / "README.md").write_text("my own card")
    taught.save(folder)
    taught.save(folder)
    assert (folder / ".git" / "HEAD").read_text() == "ref"
    assert (folder / "notes.txt").read_text() == "mine"
    assert (folder / "README.md").read_text() == "my own card"
    assert os.listdir(tmp_path) == ["model"]


def test_a_card_that_nobody_edited_is_renewed(taught, coloured, tmp_path):
    folder = taught.save(tmp_path / "model")
    taught.partial_fit(coloured("green", 1), ["green"]).save(folder)
    assert "| green | 1 |" in (folder / "README.md").read_text()
    (folder / "README.md").unlink()
    taught.save(folder)
    assert "| green | 1 |" in (folder / "README.md").read_text()


@pytest.mark.parametrize("there", ["file", "other", "damaged", "foreign"])
def test_other_things_are_never_overwritten(taught, tmp_path, there):
    folder = tmp_path / "model"
    if there == "file":
        folder.write_text("precious")
    else:
        folder.mkdir()
        config = {"damaged": "{", "foreign": '{"model_type": "clip"}', "other": None}[there]
        (folder / "precious.txt").write_text("precious")
        if config is not None:
            (folder / "config.json").write_text(config)
    before = sorted(path.name for path in tmp_path.rglob("*"))
    with pytest.raises(ModelError, match=r"is a file|holds other things than a saved classifier"):
        taught.save(folder)
    assert sorted(path.name for path in tmp_path.rglob("*")) == before


def test_an_empty_folder_is_filled(taught, tiny_encoder, tmp_path):
    (tmp_path / "model").mkdir()
    taught.save(tmp_path / "model")
    assert handful.load(tmp_path / "model", encoder=tiny_encoder).shots_ == taught.shots_


def test_a_save_that_fails_leaves_the_one_before(taught, tiny_encoder, coloured, tmp_path, monkeypatch):
    folder = taught.save(tmp_path / "model")
    shots = taught.shots_
    taught.partial_fit(coloured("green", 1), ["green"])

    def full_disk(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", full_disk)
        with pytest.raises(ModelError, match="cannot be written: No space left on device; check"):
            taught.save(folder)
    assert os.listdir(tmp_path) == ["model"]
    assert handful.load(folder, encoder=tiny_encoder).shots_ == shots


def test_a_save_cut_off_between_its_renamings_loses_nothing(taught, tiny_encoder, tmp_path, monkeypatch):
    folder = taught.save(tmp_path / "model")
    (folder / "notes.txt").write_text("mine")
    folder.rename(tmp_path / ".model.previous")  # as kill -9 there would leave it
    assert handful.load(folder, encoder=tiny_encoder).shots_ == taught.shots_
    taught.save(folder)
    assert os.listdir(tmp_path) == ["model"]
    assert (folder / "notes.txt").read_text() == "mine"


def test_a_renaming_that_fails_is_taken_back(tmp_path, monkeypatch):
    target = tmp_path / "model"
    folders.replace_folder(target, lambda fresh: folders.write_durably(fresh / "a", b"1"), own={"a"})
    rename = Path.rename

    def refuse(path: Path, to: Path) -> Path:
        if path.suffix == ".new":
            raise PermissionError(13, "Permission denied")
        return rename(path, to)

    monkeypatch.setattr(Path, "rename", refuse)
    with pytest.raises(PermissionError):
        folders.replace_folder(target, lambda fresh: folders.write_durably(fresh / "a", b"2"), own={"a"})
    assert (target / "a").read_bytes() == b"1"
    assert os.listdir(tmp_path) == ["model"]


# ---- what cannot be loaded


def test_a_missing_folder_says_so(tmp_path):
    with pytest.raises(ModelError, match=r"nowhere' is not there; give the folder that save\(\) made"):
        handful.load(tmp_path / "nowhere")
    (tmp_path / "file").write_text("x")
    with pytest.raises(ModelError, match="is a file, not a folder"):
        handful.load(tmp_path / "file")


def rows_of_two_shots(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    edit(folder, shots=[shot | {"rows": 2} for shot in config["shots"]])


DAMAGES = {
    "no config": (lambda f: (f / "config.json").unlink(), r"holds no config\.json; give the folder"),
    "no JSON": (lambda f: (f / "config.json").write_text("{"), r"config\.json is no JSON"),
    "deep JSON": (lambda f: (f / "config.json").write_text("[" * 100_000), r"config\.json is no JSON"),
    "a list": (lambda f: (f / "config.json").write_text("[1]"), "is not of a classifier of Handful"),
    "foreign": (lambda f: edit(f, format="transformers/1"), "is not of a classifier of Handful"),
    "newer": (lambda f: edit(f, format="handful.classifier/2"), "format version 2, newer than 1.*upgrade"),
    "wrong type": (lambda f: edit(f, classes=3), r"is damaged at 'classes' \(.*list"),
    "unknown entry": (lambda f: edit(f, code="import os"), "is damaged at 'code'"),
    "no model": (lambda f: (f / "model.safetensors").unlink(), r"has no model\.safetensors; copy the whole"),
    "another model": (
        lambda f: (f / "model.safetensors").write_bytes(b"x"),
        r"is not what was saved: config\.json",
    ),
    "fewer classes": (lambda f: edit(f, classes=["red"]), r"does not fit together"),
    "equal classes": (lambda f: edit(f, classes=["red", "red"]), "does not fit together"),
    "fewer shots": (lambda f: edit(f, shots=[]), "does not fit together .0 rows of shots, and 5"),
    "more rows": (rows_of_two_shots, "does not fit together .10 rows of shots, and 5"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_damage_is_named(taught, tiny_encoder, tmp_path, damage):
    folder = taught.save(tmp_path / "model")
    harm, message = DAMAGES[damage]
    harm(folder)
    with pytest.raises(ModelError, match=message):
        handful.load(folder, encoder=tiny_encoder)


def test_a_pickle_is_never_opened(taught, tiny_encoder, tmp_path):
    import pickle

    class Trap:
        def __reduce__(self) -> tuple[object, ...]:
            return (Path.touch, (tmp_path / "sprung",))

    folder = taught.save(tmp_path / "model")
    trap = pickle.dumps(Trap())
    (folder / "model.safetensors").write_bytes(trap)
    files = json.loads((folder / "config.json").read_text())["files"]
    edit(folder, files=files | {"model.safetensors": sha256(trap).hexdigest()})
    with pytest.raises(ModelError, match="does not fit together"):
        handful.load(folder, encoder=tiny_encoder)
    assert not (tmp_path / "sprung").exists()


def test_a_shot_cannot_name_a_file_elsewhere(taught, tiny_encoder, tmp_path):
    folder = taught.save(tmp_path / "model")
    shots = json.loads((folder / "config.json").read_text())["shots"]
    edit(folder, shots=[shots[0] | {"id": "../../secret"}, *shots[1:]])
    with pytest.raises(ModelError, match=r"is damaged at 'shots\.0\.id'"):
        handful.load(folder, encoder=tiny_encoder)


def test_what_may_not_be_read_is_named(taught, tiny_encoder, tmp_path, monkeypatch):
    folder = taught.save(tmp_path / "model")

    def refuse(path: Path) -> bytes:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "read_bytes", refuse)
    with pytest.raises(ModelError, match="cannot be read: Permission denied; check the path"):
        handful.load(folder, encoder=tiny_encoder)


def test_another_encoder_is_refused(taught, tiny_encoder_class, tmp_path):
    folder = taught.save(tmp_path / "model")
    with pytest.raises(
        ModelError, match=r"taught with 'tiny' .*there is no encoder 'tiny'.*load\(folder, encoder="
    ):
        handful.load(folder)
    with pytest.raises(ModelError, match=r"taught with 'tiny' \(fingerprint tiny-1\), and this is .*tiny-2"):
        handful.load(folder, encoder=tiny_encoder_class(fingerprint="tiny-2"))


def test_options_that_do_not_fit_are_damage(taught, tiny_encoder, tmp_path):
    folder = taught.save(tmp_path / "model")
    parameters = json.loads((folder / "config.json").read_text())["parameters"]
    edit(folder, parameters=parameters | {"options": {"beta": 3}})
    with pytest.raises(ModelError, match="does not fit together"):
        handful.load(folder, encoder=tiny_encoder)


def test_an_untaught_classifier_leaves_no_folder(tiny_encoder, tmp_path):
    with pytest.raises(handful.errors.NotFittedError):
        FewShotClassifier(tiny_encoder).save(tmp_path / "model")
    assert not (tmp_path / "model").exists()
    assert issubclass(ModelError, ValueError)
    assert issubclass(SupportError, ValueError)

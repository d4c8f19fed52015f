import os
import shutil
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from handful.datasets import Dataset, read_dataset
from handful.errors import DatasetError


def picture(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((4, 4, 3), 90, np.uint8)).save(path)
    return path


def labelled(dataset: Dataset, root: Path) -> list[tuple[str, object]]:
    return [
        (Path(str(image)).relative_to(root).as_posix(), label)
        for image, label in zip(dataset.images, dataset.labels, strict=True)
    ]


# ---- folders


def test_a_folder_of_class_folders_is_read_in_order(trashnet):
    dataset = read_dataset(trashnet)
    assert len(dataset) == 360
    assert dataset.class_names == ("cardboard", "glass", "metal", "paper", "plastic", "trash")
    assert set(dataset.counts.values()) == {60}
    assert dataset.images == tuple(sorted(dataset.images))
    assert (dataset.groups, dataset.notes, dataset.skipped) == (None, (), ())


def test_pictures_in_folders_below_belong_to_the_class_above(tmp_path):
    picture(tmp_path / "rust" / "a.png")
    picture(tmp_path / "rust" / "deep" / "deeper" / "b.jpg")
    picture(tmp_path / "dent" / "c.webp")
    assert labelled(read_dataset(str(tmp_path)), tmp_path) == [
        ("dent/c.webp", "dent"),
        ("rust/a.png", "rust"),
        ("rust/deep/deeper/b.jpg", "rust"),
    ]


def test_hidden_things_and_clutter_are_passed_over_silently(tmp_path):
    picture(tmp_path / "dent" / "a.png")
    for hidden in (".git/x.png", "__MACOSX/y.png", "dent/.thumbs/z.png", "dent/._a.png"):
        picture(tmp_path / hidden)
    (tmp_path / "dent" / "Thumbs.db").write_bytes(b"windows")
    (tmp_path / "README.md").write_text("about it")
    dataset = read_dataset(tmp_path)
    assert labelled(dataset, tmp_path) == [("dent/a.png", "dent")]
    assert dataset.notes == ()


def test_what_is_no_picture_is_left_out_and_named(tmp_path):
    picture(tmp_path / "dent" / "a.png")
    for name in ("b.txt", "c.jpg", "d.md", "e.csv"):
        (tmp_path / "dent" / name).write_text("no picture")
    (tmp_path / "dent" / "f.png").symlink_to("nowhere.png")
    os.mkfifo(tmp_path / "dent" / "g.png")
    dataset = read_dataset(tmp_path)
    assert len(dataset) == 1
    assert [path.name for path in dataset.skipped] == ["b.txt", "c.jpg", "d.md", "e.csv", "f.png", "g.png"]
    assert dataset.notes == ("Left out what is no picture: b.txt, c.jpg, d.md and 3 more.",)


def test_pictures_without_a_class_beside_classes_are_left_out_and_named(tmp_path):
    picture(tmp_path / "dent" / "a.png")
    picture(tmp_path / "_unlabeled" / "b.png")
    picture(tmp_path / "loose.png")
    (tmp_path / "empty").mkdir()
    dataset = read_dataset(tmp_path)
    assert len(dataset) == 1
    assert dataset.notes == (
        f"Left out {tmp_path / '_unlabeled'}, whose pictures have no class.",
        f"Left out {tmp_path / 'empty'}, which holds no picture.",
        "Left out what lies beside the class folders, without a class: loose.png.",
    )


def test_links_that_lead_back_are_not_followed(tmp_path):
    picture(tmp_path / "dent" / "a.png")
    picture(tmp_path / "rust" / "b.png")
    (tmp_path / "dent" / "up").symlink_to(tmp_path)
    (tmp_path / "dent" / "self").symlink_to(tmp_path / "dent")
    (tmp_path / "everything").symlink_to(tmp_path)
    assert labelled(read_dataset(tmp_path), tmp_path)[:1] == [("dent/a.png", "dent")]
    assert read_dataset(tmp_path).counts["rust"] == 1


def test_a_class_folder_may_be_a_link(tmp_path):
    picture(tmp_path / "store" / "a.png")
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "dent").symlink_to(tmp_path / "store")
    assert labelled(read_dataset(tmp_path / "data"), tmp_path) == [("data/dent/a.png", "dent")]


def test_a_folder_with_one_class_is_read(tmp_path):
    picture(tmp_path / "dent" / "a.png")
    assert read_dataset(tmp_path).class_names == ("dent",)


def test_a_folder_around_the_class_folders_is_looked_through(tmp_path):
    picture(tmp_path / "dataset" / "dent" / "a.png")
    picture(tmp_path / "dataset" / "rust" / "b.png")
    dataset = read_dataset(tmp_path)
    assert dataset.class_names == ("dent", "rust")
    assert dataset.notes == (f"Took the classes from {tmp_path / 'dataset'}.",)


def test_of_splits_train_is_taken_and_test_never(tmp_path):
    for split in ("train", "valid", "test"):
        for label in ("dent", "rust"):
            picture(tmp_path / split / label / f"{split}.png")
    assert labelled(read_dataset(tmp_path), tmp_path) == [
        ("train/dent/train.png", "dent"),
        ("train/rust/train.png", "rust"),
    ]
    assert read_dataset(tmp_path).notes == (f"Took {tmp_path / 'train'}; left out test, valid.",)
    assert labelled(read_dataset(tmp_path, split="test"), tmp_path)[0] == ("test/dent/test.png", "dent")
    shutil.rmtree(tmp_path / "train")
    with pytest.raises(DatasetError, match=r"holds test, valid but no 'train'"):
        read_dataset(tmp_path)


@pytest.mark.parametrize("name", ["val", "Validation", "VALID"])
def test_splits_go_by_many_names(tmp_path, name):
    picture(tmp_path / "training" / "dent" / "a.png")
    picture(tmp_path / name / "dent" / "b.png")
    assert len(read_dataset(tmp_path)) == 1
    assert labelled(read_dataset(tmp_path, split="valid"), tmp_path) == [(f"{name}/dent/b.png", "dent")]


def test_classes_may_be_called_as_splits_are(tmp_path):
    picture(tmp_path / "train" / "a.png")
    picture(tmp_path / "car" / "b.png")
    assert read_dataset(tmp_path).class_names == ("car", "train")
    picture(tmp_path / "routine" / "test" / "c.png")
    picture(tmp_path / "routine" / "dev" / "d.png")
    assert read_dataset(tmp_path / "routine").class_names == ("dev", "test")


def test_a_split_that_is_not_there_is_named(tmp_path):
    picture(tmp_path / "dent" / "a.png")
    with pytest.raises(DatasetError, match=r"has no splits, so no 'test'; it holds the folders dent"):
        read_dataset(tmp_path, split="test")
    with pytest.raises(DatasetError, match="no split 'all'; choose train, valid or test"):
        read_dataset(tmp_path, split="all")


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ([], r"is empty; make a folder for each class"),
        (["notes.txt"], r"holds notes\.txt but no picture"),
        (["dent/notes.txt", "rust/notes.txt"], r"holds dent, rust but no picture"),
        (["images.zip", "more.tar.gz"], r"holds images\.zip, more\.tar\.gz; unpack it first"),
        (
            ["a.png", "b.png"],
            r"holds pictures \(a\.png, b\.png\) but no class folder; .* or list them in a CSV",
        ),
    ],
)
def test_a_folder_without_classes_says_what_it_holds_and_what_to_do(tmp_path, files, message):
    for name in files:
        if name.endswith(".png"):
            picture(tmp_path / name)
        else:
            (tmp_path / name).parent.mkdir(exist_ok=True)
            (tmp_path / name).write_text("text")
    with pytest.raises(DatasetError, match=message):
        read_dataset(tmp_path)


def test_what_may_not_be_read_is_named(tmp_path, monkeypatch):
    picture(tmp_path / "dent" / "a.png")
    opened, listed = Path.open, os.scandir

    def no_file(path: Path, *args: object) -> object:
        if path.name == "a.png":
            raise PermissionError(13, "Permission denied")
        return opened(path, *args)

    def no_folder(path: Path) -> object:
        if Path(path).name == "dent":
            raise PermissionError(13, "Permission denied")
        return listed(path)

    with monkeypatch.context() as patched:
        patched.setattr(Path, "open", no_file)
        with pytest.raises(DatasetError, match=r"a\.png' cannot be read: Permission denied; check"):
            read_dataset(tmp_path)
    monkeypatch.setattr(os, "scandir", no_folder)
    with pytest.raises(DatasetError, match=r"dent' cannot be read: Permission denied; check"):
        read_dataset(tmp_path)


def test_a_table_that_may_not_be_read_is_named(tmp_path, monkeypatch):
    (tmp_path / "shots.csv").write_text("path,label\n")

    def refuse(path: Path) -> bytes:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "read_bytes", refuse)
    with pytest.raises(DatasetError, match=r"shots\.csv cannot be read: Permission denied; check"):
        read_dataset(tmp_path / "shots.csv")


# ---- files that are no data set


def test_a_missing_path_suggests_a_near_one(tmp_path):
    (tmp_path / "pictures").mkdir()
    with pytest.raises(DatasetError, match=r"no file or folder '.*picturs'; did you mean '.*pictures'\?"):
        read_dataset(tmp_path / "picturs")
    with pytest.raises(DatasetError, match=r"no file or folder '.*zzz'; check the path"):
        read_dataset(tmp_path / "zzz")
    with pytest.raises(DatasetError, match=r"nor a folder '.*none'"):
        read_dataset(tmp_path / "none" / "zzz")


@pytest.mark.parametrize("source", ["a\0b", "x" * 5000])
def test_an_impossible_path_is_an_error_of_its_own(source):
    with pytest.raises(DatasetError, match="cannot be read"):
        read_dataset(source)


def test_an_archive_says_how_to_unpack_it(tmp_path):
    inside = picture(tmp_path / "dent" / "a.png")
    with zipfile.ZipFile(tmp_path / "shots.zip", "w") as archive:
        archive.write(inside, "dent/a.png")
    with tarfile.open(tmp_path / "shots.tgz", "w:gz") as archive:
        archive.add(inside, "dent/a.png")
    with pytest.raises(
        DatasetError, match=r"is an archive; unpack it first \(`python -m zipfile -e shots\.zip shots`"
    ):
        read_dataset(tmp_path / "shots.zip")
    with pytest.raises(DatasetError, match=r"python -m tarfile -e shots\.tgz shots"):
        read_dataset(tmp_path / "shots.tgz")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.pdf", b"%PDF-1.7", r"is a PDF document; give a folder of class folders, or a table"),
        ("a.csv", b"", "is empty"),
        ("a.csv", b" \n\n", "is empty"),
        ("a.csv", b"path,label\n\xff\xfe,x\n", "no UTF-8 text"),
        ("a.csv", b'path,label\n"a.png,x\n', "is no table"),
        ("a.csv", b"path,label\n", "lists no picture"),
        ("a.csv", b"picture,kind\nx,y\n", r"has the columns 'picture', 'kind'; it needs one of paths \(path"),
        ("a.csv", b"path,label\na.png,\n", r"line 2 of .*a\.csv has no label"),
        ("a.csv", b"path,label\n\n,x\n", r"line 3 of .* has no path"),
        ("a.csv", b"path,label\na.png\n", "line 2 of .* has 1 cells, its first line 2"),
        ("a.csv", b"path,label\nhttps://x.org/a.png,x\n", "names a web address"),
        (
            "a.csv",
            b"path,label\na.png,x\nb.png,x\n",
            r"2 of 2 pictures .* are missing \(.*a\.png, .*b\.png\)",
        ),
    ],
)
def test_a_file_that_is_no_data_set_says_why(tmp_path, name, content, message):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DatasetError, match=message):
        read_dataset(tmp_path / name)


def test_other_things_are_no_data_set(tmp_path):
    with pytest.raises(DatasetError, match="is one picture; give a folder"):
        read_dataset(picture(tmp_path / "a.png"))
    with pytest.raises(DatasetError, match="a int holds no data set"):
        read_dataset(3)
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(DatasetError, match="neither a file nor a folder"):
        read_dataset(tmp_path / "pipe")
    (tmp_path / "a.csv").write_text("path,label\na.png,x\n")
    with pytest.raises(DatasetError, match="which has no splits"):
        read_dataset(tmp_path / "a.csv", split="test")


# ---- tables


@pytest.mark.parametrize(
    "text",
    [
        "path,label\nin/a.png,dent\nb.png,rust\n",
        "Label;ignored;File_Name\ndent;1;in/a.png\nrust;2;b.png\n",
        "\ufefffilename\tclass\r\nin/a.png\tdent\r\n\r\nb.png\trust\r\n",
        'path,label\n"in/a.png","dent"\nb.png , rust\n',
        "in/a.png,dent\nb.png,rust\n",
    ],
)
def test_a_table_lists_pictures_relative_to_itself(tmp_path, text):
    picture(tmp_path / "in" / "a.png")
    picture(tmp_path / "b.png")
    (tmp_path / "shots.csv").write_bytes(text.encode())
    dataset = read_dataset(tmp_path / "shots.csv")
    assert labelled(dataset, tmp_path) == [("in/a.png", "dent"), ("b.png", "rust")]
    assert dataset.groups is None


@pytest.mark.parametrize("text", ["path,label,group\na.png,x,film\nb.png,y,\n", "a.png,x,film\nb.png,y,\n"])
def test_a_table_may_group_pictures(tmp_path, text):
    picture(tmp_path / "a.png")
    picture(tmp_path / "b.png")
    (tmp_path / "shots.tsv").write_text(text)
    assert read_dataset(tmp_path / "shots.tsv").groups == ("film", None)


def test_a_folder_may_hold_its_own_table(tmp_path):
    picture(tmp_path / "data" / "a.png")
    (tmp_path / "metadata.csv").write_text("file_name,label\ndata/a.png,dent\n")
    dataset = read_dataset(tmp_path)
    assert labelled(dataset, tmp_path) == [("data/a.png", "dent")]
    assert dataset.notes == (f"Took the labels from {tmp_path / 'metadata.csv'}.",)


def test_a_table_without_labels_leaves_the_folders_as_classes(tmp_path):
    picture(tmp_path / "dent" / "a.png")
    (tmp_path / "metadata.csv").write_text("file_name,caption\ndent/a.png,A dent.\n")
    assert labelled(read_dataset(tmp_path), tmp_path) == [("dent/a.png", "dent")]


def test_a_data_frame_is_a_table(tmp_path):
    frame = pd.DataFrame({"image": [b"bytes", "b.png"], "target": [3, 4], "group": ["g", None]})
    dataset = read_dataset(frame)
    assert (dataset.images, dataset.labels) == ((b"bytes", "b.png"), (3, 4))
    assert dataset.groups[0] == "g"
    assert pd.isna(dataset.groups[1])
    assert dataset.class_names == (3, 4)
    with pytest.raises(DatasetError, match="the data frame has no rows"):
        read_dataset(frame[:0])
    with pytest.raises(DatasetError, match="the data frame has the columns 'x'"):
        read_dataset(pd.DataFrame({"x": [1]}))

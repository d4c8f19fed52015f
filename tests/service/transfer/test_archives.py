"""Archives of class folders, as people make them."""

import gzip
import io
import tarfile
import zipfile

import pytest

from handful.errors import RequestError
from handful.service.transfer.archives import ArchiveLimits, class_folders, scan

LIMITS = ArchiveLimits(files=100, unpacked=10**6, file=1000)


def zipped(path, files, method=zipfile.ZIP_DEFLATED):
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return path


def tarred(path, files, mode="w"):
    with tarfile.open(path, mode) as archive:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return path


MAKERS = {
    "zip": zipped,
    "stored zip": lambda path, files: zipped(path, files, zipfile.ZIP_STORED),
    "tar": tarred,
    "tar.gz": lambda path, files: tarred(path, files, "w:gz"),
}


@pytest.fixture(params=MAKERS)
def packed(request, tmp_path):
    return lambda files: MAKERS[request.param](tmp_path / "archive", files)


def entries(path, limits=LIMITS, start=0):
    scanned = scan(path, limits)
    return [
        (one.number, one.label, one.name, one.data, one.wrong)
        for one in class_folders(path, limits, scanned, start=start)
    ]


def test_class_folders_are_the_labels(packed):
    path = packed({"rust/1.jpg": b"one", "dent/deep/2.jpg": b"two"})
    assert entries(path) == [
        (0, "rust", "rust/1.jpg", b"one", None),
        (1, "dent", "dent/deep/2.jpg", b"two", None),
    ]


def test_one_folder_around_class_folders_is_looked_through(packed):
    path = packed({"parts/rust/1.jpg": b"one", "parts/dent/2.jpg": b"two"})
    assert [label for _, label, *_ in entries(path)] == ["rust", "dent"]


def test_clutter_does_not_count(packed):
    path = packed(
        {
            "__MACOSX/parts/._1.jpg": b"x",
            "parts/.DS_Store": b"x",
            "parts/rust/Thumbs.db": b"x",
            "parts/rust/1.jpg": b"one",
            ".hidden/2.jpg": b"x",
        }
    )
    assert entries(path) == [(0, "rust", "parts/rust/1.jpg", b"one", None)]


def test_reading_goes_on_from_where_it_was_left(packed):
    path = packed({f"rust/{at}.jpg": bytes([at]) for at in range(9)})
    assert [(number, data) for number, _, _, data, _ in entries(path, start=6)] == [
        (6, b"\6"),
        (7, b"\7"),
        (8, b"\x08"),
    ]


def test_files_that_cannot_be_shots_say_why_and_the_others_stay(packed):
    path = packed({"readme.txt": b"hello", "rust/huge.jpg": b"x" * 1001, "rust/1.jpg": b"one"})
    assert [(name, wrong) for _, _, name, _, wrong in entries(path)] == [
        ("readme.txt", "it lies in no class folder"),
        ("rust/huge.jpg", "it is larger than 1,000 bytes"),
        ("rust/1.jpg", None),
    ]


def test_a_picture_that_is_damaged_in_a_zip_is_named_and_the_others_stay(tmp_path):
    path = zipped(tmp_path / "a.zip", {"a/1.jpg": b"one" * 50, "a/2.jpg": b"two"}, zipfile.ZIP_STORED)
    path.write_bytes(path.read_bytes().replace(b"oneone", b"oneOne", 1))
    (_, _, _, _, wrong), (_, _, _, data, _) = entries(path)
    assert "damaged in the archive (Bad CRC-32" in wrong
    assert data == b"two"


def test_folders_named_by_windows_are_folders(tmp_path):
    path = tarred(tmp_path / "a.tar", {"parts\\rust\\1.jpg": b"one", "parts\\dent\\2.jpg": b"two"})
    assert [label for _, label, *_ in entries(path)] == ["rust", "dent"]


def test_splits_are_no_classes(packed):
    path = packed({"train/rust/1.jpg": b"one", "test/rust/2.jpg": b"two"})
    with pytest.raises(RequestError, match="holds the splits test, train; send the class folders of one"):
        scan(path, LIMITS)


def test_an_empty_archive_has_no_files(packed):
    assert scan(packed({}), LIMITS).files == 0


def test_what_is_no_archive_says_so(tmp_path):
    path = tmp_path / "x"
    for data in (b"", b"hello", b"PK", gzip.compress(b"hello")):
        path.write_bytes(data)
        with pytest.raises(RequestError, match=r"this is no zip, tar or tar.gz|this zip is cut off"):
            scan(path, LIMITS)


def test_a_tar_that_is_cut_off_or_goes_on_with_something_else_is_damaged(tmp_path):
    whole = tarred(tmp_path / "a.tar", {"rust/1.jpg": b"x" * 600, "rust/2.jpg": b"y" * 600}).read_bytes()
    path = tmp_path / "cut.tar"
    for data in (whole[:900], whole[:1536] + b"garbage" * 200):
        path.write_bytes(data)
        with pytest.raises(RequestError, match="damaged"):
            scan(path, LIMITS)

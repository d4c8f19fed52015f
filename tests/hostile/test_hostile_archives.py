"""Archives, lines and packages made to hurt: each ends in one named error, quickly and in bounded memory."""

import gzip
import io
import json
import stat
import struct
import tarfile
import zipfile

import pytest

MB = 2**20


def zipped(*files, method=zipfile.ZIP_DEFLATED):
    """(name or ZipInfo, data) each."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for name, data in files:
            archive.writestr(name, data)
    return buffer.getvalue()


def tarred(*infos, format=tarfile.PAX_FORMAT, **settings):
    """(TarInfo, data) each."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=format, **settings) as archive:
        for info, data in infos:
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


def entry(name, kind=tarfile.REGTYPE, **fields):
    info = tarfile.TarInfo(name)
    info.type = kind
    for field, value in fields.items():
        setattr(info, field, value)
    return info


def unix_mode(name, mode):
    info = zipfile.ZipInfo(name)
    info.create_system = 3
    info.external_attr = mode << 16
    return info


def encrypted():
    data = bytearray(zipped(("a/1.jpg", b"x"), method=zipfile.ZIP_STORED))
    data[6] |= 1
    data[data.rfind(b"PK\1\2") + 8] |= 1
    return bytes(data)


def many(count):
    return zipped(*((f"a/{at}", b"") for at in range(count)), method=zipfile.ZIP_STORED)


def long_directory(count):
    """The directory of a zip with one file, over and over."""
    data = zipped(("a/" + "b" * 50, b""))
    at, end = data.rfind(b"PK\1\2"), data.rfind(b"PK\5\6")
    directory = data[at:end] * count
    return data[:at] + directory + struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, 1, 1, len(directory), at, 0)


def zip64_directory():
    """Its usual end says that the directory is short; the end that zipfile goes by says it is 3 GB."""
    data = zipped(("a/1.jpg", b"x"))
    at = data.rfind(b"PK\5\6")
    end = struct.pack("<4sQ2H2L4Q", b"PK\6\6", 44, 45, 45, 0, 0, 2**24, 2**24, 3 * 2**30, 0)
    return data[:at] + end + struct.pack("<4sLQL", b"PK\6\7", 0, at, 1) + data[at:]


def raw_header(kind, size, name=b"x"):
    info = entry(name.decode(), kind)
    info.size = size
    return info.tobuf(tarfile.USTAR_FORMAT)


def tar_bomb(kind, size):
    """A header that claims `size` bytes of names, and gives them."""
    buffer = io.BytesIO()
    with gzip.GzipFile(fileobj=buffer, mode="w", compresslevel=1) as file:
        file.write(raw_header(kind, size))
        for _ in range(size // MB):
            file.write(b"a" * MB)
    return buffer.getvalue()


def sparse_map(blocks):
    """An old GNU sparse file whose map never ends."""
    header = bytearray(raw_header(tarfile.GNUTYPE_SPARSE, 0, b"a/1.jpg"))
    header[482] = 1
    header[148:156] = b"%06o\0 " % (sum(header[:148]) + 256 + sum(header[156:512]))
    block = (b"00000000001\0" * 42)[:504] + b"\1" + b"\0" * 7
    return gzip.compress(bytes(header) + block * blocks, 1)


ARCHIVES = {
    "a zip of zeros": (zipped(*((f"a/{at}", b"\0" * MB * 15) for at in range(12))), "unpacks to more than"),
    "a tar.gz of zeros": (
        gzip.compress(tarred(*((entry(f"a/{at}"), b"\0" * MB * 15) for at in range(12))), 9),
        "unpacks to more than",
    ),
    "a zip that leads out": (zipped(("../a/1.jpg", b"x")), "leads out of the archive"),
    "a zip that leads out with backslashes": (zipped(("..\\a\\1.jpg", b"x")), "leads out of the archive"),
    "a zip of absolute names": (zipped(("/etc/1.jpg", b"x")), "leads out of the archive"),
    "a zip of drives": (zipped(("C:/a/1.jpg", b"x")), "leads out of the archive"),
    "a tar that leads out": (tarred((entry("a/../../1.jpg"), b"x")), "leads out of the archive"),
    "a tar of absolute names": (tarred((entry("/etc/1.jpg"), b"x")), "leads out of the archive"),
    "a zip with a link": (
        zipped((unix_mode("a/1.jpg", stat.S_IFLNK | 0o777), b"/etc/passwd")),
        "is a link or a device",
    ),
    "a zip with a device": (
        zipped((unix_mode("a/1.jpg", stat.S_IFCHR | 0o777), b"")),
        "is a link or a device",
    ),
    "a tar with a link": (
        tarred((entry("a/1.jpg", tarfile.SYMTYPE, linkname="/etc/passwd"), b"")),
        "is a link, a device or sparse",
    ),
    "a tar with a hard link": (
        tarred((entry("a/1.jpg", tarfile.LNKTYPE, linkname="a/2.jpg"), b"")),
        "is a link, a device or sparse",
    ),
    "a tar with a device": (
        tarred((entry("a/1.jpg", tarfile.CHRTYPE, devmajor=1, devminor=5), b"")),
        "is a link, a device or sparse",
    ),
    "a tar with a pipe": (tarred((entry("a/1.jpg", tarfile.FIFOTYPE), b"")), "is a link, a device or sparse"),
    "a zip of 50,001 files": (many(50_001), "more than 50,000 files"),
    "a zip of 300,000 files": (long_directory(300_000), "directory is too long for 50,000 files"),
    "a tar.gz of 100,000 files": (
        gzip.compress(b"".join(raw_header(tarfile.REGTYPE, 0, b"a/%d" % at) for at in range(100_000)), 1),
        "more than 50,000 files",
    ),
    "a zip whose second end claims more": (zip64_directory(), "directory is too long"),
    "a zip with a file twice": (zipped(("a/1.jpg", b"x"), ("a/./1.jpg", b"y")), "stands twice"),
    "a tar with a file twice": (
        tarred((entry("a/1.jpg"), b"x"), (entry("a/1.jpg"), b"y")),
        "stands twice in the archive",
    ),
    "an encrypted zip": (encrypted(), "is encrypted"),
    "a zip packed by lzma": (
        zipped(("a/1.jpg", b"x" * 99), method=zipfile.ZIP_LZMA),
        "is neither stored nor deflated",
    ),
    "a long name in a zip": (zipped(("a/" + "b" * 2000, b"x")), "has a name of over 1000 characters"),
    "a deep folder": (zipped(("a/" * 40 + "1.jpg", b"x")), "lies over 16 folders deep"),
    "a tar whose name takes 64 MB": (tar_bomb(tarfile.GNUTYPE_LONGNAME, 64 * MB), "header in this tar"),
    "a tar whose settings take 64 MB": (tar_bomb(tarfile.XHDTYPE, 64 * MB), "header in this tar"),
    "a tar whose sparse map never ends": (sparse_map(100_000), "header in this tar"),
    "a tar of headers about headers": (
        gzip.compress((raw_header(tarfile.GNUTYPE_LONGNAME, 1) + b"a".ljust(512, b"\0")) * 5000),
        "header in this tar|damaged",
    ),
    "a pickle": (b"\x80\x04\x95" + b"x" * 600, "no zip, tar or tar.gz"),
}


@pytest.fixture(scope="module")
def archives(run_limited):
    archives = {name: data for name, (data, _) in ARCHIVES.items()}
    # Of a hundred thousand names each is looked at before the archive is refused.
    return run_limited("targets:read_archive", archives, cpu_seconds=10)


@pytest.mark.parametrize("case", ARCHIVES)
def test_an_archive_made_to_hurt_ends_in_a_named_error(archives, case):
    error, text, _ = archives[case]
    assert error == "RequestError", text
    assert any(part in text for part in ARCHIVES[case][1].split("|")), text


LINES = {
    "a line of 100 MB": (b'{"name": "' + b"x" * 100 * MB + b'"}\n{"name": "b"}', ["too long", "b"]),
    "no end of line": (b"x" * 100 * MB, ["too long"]),
    "deep lists": (b"[" * MB, None),
    "many empty lines": (b"\n" * MB + b'{"name": "a"}', ["a"]),
}


def test_lines_made_to_hurt_are_told_one_by_one(run_limited):
    outcomes = run_limited("targets:read_lines", {name: data for name, (data, _) in LINES.items()})
    for name, (_, expected) in LINES.items():
        error, text, _ = outcomes[name]
        assert error is None, (name, text)
        assert expected is None or text == repr(expected)


def test_packages_made_to_hurt_end_in_named_errors(run_limited):
    cases = {
        "a manifest of zeros": zipped(("manifest.json", b"\0" * 65 * MB)),
        "a manifest of lists": zipped(("manifest.json", b"[" * MB)),
        "a manifest that is none": zipped(("manifest.json", b"{}")),
        "a manifest of many names": zipped(
            ("manifest.json", json.dumps({"format": "x", "files": {str(at): "" for at in range(10**5)}}))
        ),
        "pictures that are none": zipped(("images/x.jpg", b"\xff\xd8\xff" + b"\0" * 100)),
        "an archive of something else": zipped(("a/1.jpg", b"x")),
    }
    for name, (error, text, _) in run_limited("targets:open_package", cases).items():
        assert error == "RequestError", (name, text)

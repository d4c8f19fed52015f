"""Pages of classes: 64 in one value, which commit.lua edits in its place."""

import struct
from collections.abc import Iterable, Iterator, Sequence

from handful.storage.records import ClassRecord
from handful.storage.redis.codec import CLASS, check_version, damaged, decode, encode
from handful.storage.redis.commit import Argument, Commit
from handful.storage.redis.layout import INLINE_PAGES, PAGE, PAGE_CLASSES, names_key, pages_key

_ENTRY = struct.Struct(">BHI")  # its place in the page, lengths of its name and of the rest
_TOGETHER = 300  # edits of a command


def page_field(number: int) -> bytes:
    """The field that holds a page."""
    return PAGE + str(number).encode()


def page_key(classifier: str, number: int) -> str:
    """The key of the hash that holds a page."""
    return classifier if number < INLINE_PAGES else pages_key(classifier)


def put_classes(commit: Commit, classifier: str, put: Sequence[ClassRecord], drop: Sequence[int]) -> None:
    """Classes to write, and the keys of those to drop, which come first."""
    edits: dict[int, list[Argument]] = {}
    for key in drop:
        edits.setdefault(key // PAGE_CLASSES, []).extend((key % PAGE_CLASSES, b"", b""))
    for one in put:
        rest = encode(CLASS.values(one))
        edits.setdefault(one.key // PAGE_CLASSES, []).extend((one.key % PAGE_CLASSES, one.name, rest))
    for number, some in edits.items():
        names = None if number < INLINE_PAGES else names_key(classifier)
        for start in range(0, len(some), 3 * _TOGETHER):
            commit.edit_page(
                page_key(classifier, number),
                names,
                page_field(number),
                number * PAGE_CLASSES,
                some[start : start + 3 * _TOGETHER],
            )


def classes_of(number: int, page: bytes | None) -> Iterator[ClassRecord]:
    """All of a page, by key."""
    for key, name, rest in _entries(number, page):
        yield _class(key, name, rest)


def named_in(number: int, page: bytes | None, names: Iterable[bytes]) -> Iterator[ClassRecord]:
    """Those with one of the names, which are UTF-8."""
    wanted = frozenset(names)
    for key, name, rest in _entries(number, page):
        if name in wanted:
            yield _class(key, name, rest)


def _entries(number: int, page: bytes | None) -> Iterator[tuple[int, bytes, bytes]]:
    if not page:
        return
    check_version(page[0], "a page of classes")
    at, first = 1, number * PAGE_CLASSES
    try:
        while at < len(page):
            place, long, size = _ENTRY.unpack_from(page, at)
            at += _ENTRY.size
            yield first + place, page[at : at + long], page[at + long : at + long + size]
            at += long + size
    except struct.error as exc:
        raise damaged("a page of classes", exc) from exc


def _class(key: int, name: bytes, rest: bytes) -> ClassRecord:
    return CLASS.record(decode(rest, "a class"), key=key, name=name.decode())

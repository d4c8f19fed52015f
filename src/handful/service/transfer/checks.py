"""Whether a package that fits together also is what this service could have written."""

import re
from collections.abc import Callable

from handful.adapters.head import Head
from handful.background import Background
from handful.encoders import Encoder
from handful.errors import HeadError, RequestError
from handful.service.classes import NewClass
from handful.service.classifiers import NewClassifier
from handful.service.names import checked_name
from handful.service.new_shots import NewShot, check_shot
from handful.service.transfer.package import Kept, Package

BackgroundOf = Callable[[bytes, Encoder], Background | None]  # of a head's bytes

_SHOT = re.compile(r"[0-9a-z]{26}")
_DIGEST = re.compile(r"[0-9a-f]{64}")
_LARGEST = 2**53  # of a number in JSON


def asked_for(package: Package) -> NewClassifier:
    """What somebody would have asked for to have such a classifier, without its shots."""
    told = package.classifier
    return NewClassifier(
        name=told.name,
        encoder=told.encoder,
        method=told.method,
        views=told.views,
        domain=told.domain,
        templates=told.templates,
        use_text=told.use_text,
        unknown_threshold=told.unknown_threshold,
        classes=tuple(
            NewClass(name=one.name, description=one.description, prompts=one.prompts)
            for one in package.classes
        ),
    )


def check_package(package: Package, encoder: Encoder, background_of: BackgroundOf) -> None:
    """Numbers, shots and heads; the settings and classes are checked where a classifier is prepared.

    background_of : what each head was made with, as `Heads` finds it.
    Raises RequestError.
    """
    told = package.classifier
    versions = [told.revision, told.support_version]
    if told.pinned is not None:
        versions += [told.pinned.version, told.pinned.since]
    versions += [head.version for head, _ in package.heads]
    keys = [one.key for one in package.classes]
    if not all(1 <= version <= told.revision < _LARGEST for version in versions):
        raise RequestError(
            f"this package is of versions {versions}, which no classifier has; export it again"
        )
    if keys != sorted(keys) or not all(0 <= key < told.next_class < _LARGEST for key in keys):
        raise RequestError("the classes of this package have keys that no classifier gives; export it again")
    kept = [head.version for head, _ in package.heads]
    if len(set(kept)) != len(kept) or not set(kept) <= {told.head_version}:
        raise RequestError(f"this package has heads {kept}, and {told.head_version} answers; export it again")
    if told.pinned is not None and not kept:
        raise RequestError(f"this package lacks head {told.head_version}, which answers; export it again")
    width = encoder.dimension.to_bytes(2, "little")
    for shot in package.shots:
        if not _SHOT.fullmatch(shot.id) or not _DIGEST.fullmatch(shot.sha256):
            raise RequestError(f"{shot.id[:80]!r} is no shot as an export writes it; export it again")
        if shot.rows[:2] != width:
            raise RequestError(f"this package has embeddings of another width than {encoder.dimension}")
        if min(shot.width, shot.height) < 0 or shot.created.tzinfo is None:
            raise RequestError(f"shot {shot.id} says impossible things of itself; export it again")
        check_shot(
            NewShot(
                label="",
                group=shot.group,
                source_id=shot.source_id,
                metadata=shot.metadata,
                pointer=f"/shots/{shot.id}",
            )
        )
    for head in package.heads:
        _check_head(head, encoder, background_of)


def _check_head(kept: Kept, encoder: Encoder, background_of: BackgroundOf) -> None:
    record, data = kept
    try:
        head = Head.from_bytes(data, background_of(data, encoder))
    except HeadError as exc:
        raise RequestError(f"head {record.version} of this package cannot be read: {exc}") from exc
    if head.class_count != len(record.classes) or head.dimension != encoder.dimension:
        raise RequestError(
            f"head {record.version} of this package is of {head.class_count} classes and "
            f"{head.dimension} columns, not {len(record.classes)} and {encoder.dimension}; export it again"
        )
    for _, name in record.classes:
        checked_name(name, what="class")
    if record.created.tzinfo is None:
        raise RequestError(f"head {record.version} says impossible things of itself; export it again")

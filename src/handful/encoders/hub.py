"""Encoders from a model hub: the files that one precision needs, checked, and kept where the hub's tools keep
them."""

import errno
import json
import re
import shutil
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from hashlib import sha1, sha256
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, Self

from handful.encoders.hub_files import chosen, weights
from handful.encoders.hub_record import Record, recorded
from handful.errors import EncoderError
from handful.settings import Settings

if TYPE_CHECKING:
    from tqdm import tqdm  # type: ignore[import-untyped] # it has no types

Told = Callable[[int, int], None]  # bytes that are there, of how many

_NAME = r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,94}[A-Za-z0-9_])?"
_REFERENCE = re.compile(rf"(?P<repository>{_NAME}/{_NAME})(?:@(?P<revision>[A-Za-z0-9][\w./-]{{0,127}}))?")
_PORTION = 2**20  # bytes hashed at once
_STALE = 86400.0  # seconds without a byte, after which half a file is litter of a killed process
_SPARE = 64 * 2**20  # bytes of disk that stay free


@dataclass(frozen=True, slots=True, kw_only=True)
class Reference:
    """A repository of a hub, and which state of it; None: its newest, as found at the first fetch."""

    repository: str
    revision: str | None = None

    @classmethod
    def parse(cls, text: str) -> Self:
        """Of "org/name" or "org/name@revision". Raises EncoderError for anything else.

        >>> Reference.parse("immich-app/ViT-B-32__openai@main").revision
        'main'
        """
        found = _REFERENCE.fullmatch(text)
        if found is None or ".." in text:
            raise EncoderError(
                f"{text[:200]!r} names no model of a hub; write org/name or org/name@revision, "
                "as immich-app/ViT-B-32__openai"
            )
        return cls(**found.groupdict())

    def __str__(self) -> str:
        return self.repository if self.revision is None else f"{self.repository}@{self.revision}"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Remote:
    """A file as the hub lists it. digest : sha256 of a large file, git's sha1 of a small one."""

    size: int
    digest: str | None

    def matches(self, path: Path) -> bool:
        if path.stat().st_size != self.size:
            return False
        if self.digest is None:
            return True
        hashed = sha256() if len(self.digest) == 64 else sha1(b"blob %d\0" % self.size)
        with path.open("rb") as file:
            while portion := file.read(_PORTION):
                hashed.update(portion)
        return hashed.hexdigest() == self.digest


def fetched(
    repository: str,
    *,
    settings: Settings,
    revision: str | None = None,
    precision: str = "fp32",
    progress: Told | None = None,
    again: bool = False,
) -> Path:
    """The folder of a hub's model on this machine; what is missing of it is fetched.

    What was fetched once is used as it is from then on, and no hub is asked: a revision that moves, as
    `main`, means what it meant then. again : ask the hub what it means now, and check every file.
    HF_ENDPOINT, HF_HOME, HF_TOKEN and HF_HUB_OFFLINE mean what they mean to other tools.
    Raises EncoderError for what cannot be had, with what to do.
    """
    wanted = Reference.parse(repository if revision is None else f"{repository}@{revision}")
    record = recorded(settings.cache_dir, wanted.repository, wanted.revision, precision)
    if not again and (folder := record.folder()) is not None:
        return folder
    if _offline(settings):
        return _found(wanted, precision, settings)
    with _named(wanted):
        return _fetch(wanted, precision, settings, record, progress)


def local(
    repository: str, *, settings: Settings, revision: str | None = None, precision: str = "fp32"
) -> Path | None:
    """The folder of a hub's model if it was fetched already, else None. Asks no hub."""
    wanted = Reference.parse(repository if revision is None else f"{repository}@{revision}")
    return recorded(settings.cache_dir, wanted.repository, wanted.revision, precision).folder()


def _offline(settings: Settings) -> bool:
    from huggingface_hub import constants

    return settings.offline or bool(constants.HF_HUB_OFFLINE)


def _found(wanted: Reference, precision: str, settings: Settings) -> Path:
    """What another tool has left in the hub's cache."""
    from huggingface_hub import constants
    from huggingface_hub.file_download import repo_folder_name

    revision = wanted.revision or constants.DEFAULT_REVISION
    kept = Path(constants.HF_HUB_CACHE) / repo_folder_name(repo_id=wanted.repository, repo_type="model")
    points = kept / "refs" / revision
    commit = points.read_text("utf-8").strip() if points.is_file() else revision
    folder = kept / "snapshots" / commit
    if not folder.is_dir():
        why = "HANDFUL_OFFLINE" if settings.offline else "HF_HUB_OFFLINE"
        raise EncoderError(
            f"{wanted} is not on this machine, and {why} forbids to fetch it; run "
            f"`handful encoders fetch {wanted}` where there is a network, and copy the folder it names"
        )
    chosen(
        {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()},
        precision,
        str(wanted),
    )
    return folder


def _fetch(
    wanted: Reference, precision: str, settings: Settings, record: Record, progress: Told | None
) -> Path:
    from huggingface_hub import HfApi, constants

    said = HfApi().model_info(wanted.repository, revision=wanted.revision, files_metadata=True)
    listed = {
        file.rfilename: _Remote(
            size=file.size or 0, digest=file.lfs.sha256 if file.lfs is not None else file.blob_id
        )
        for file in said.siblings or ()
        if ".." not in file.rfilename.split("/") and not file.rfilename.startswith("/")
    }
    if said.sha is None:
        raise EncoderError(
            f"{wanted}: {constants.ENDPOINT} names no commit of it; is HF_ENDPOINT a model hub?"
        )
    names = chosen(set(listed), precision, str(wanted))
    tally = _Tally(sum(listed[name].size for name in names), progress)
    _room(tally.total, wanted)
    paths = {name: _download(wanted, name, said.sha, listed[name], tally) for name in names}
    further = _further(paths, listed, wanted)
    tally.total += sum(listed[name].size for name in further)
    _room(sum(listed[name].size for name in further), wanted)
    for name in further:
        _download(wanted, name, said.sha, listed[name], tally)
    names += further
    folder = paths[names[0]].parents[len(PurePosixPath(names[0]).parts) - 1]
    _check_own(folder, listed, names, wanted)
    _sweep(folder.parents[1] / "blobs")
    record.write(folder=folder, commit=said.sha, sizes={name: listed[name].size for name in names})
    return folder


def _sweep(blobs: Path) -> None:
    """The hub's client gives each download a file of its own, and never finds those of killed ones again."""
    for half in blobs.glob("*.incomplete"):
        with suppress(OSError):
            if time.time() - half.stat().st_mtime > _STALE:
                half.unlink()


def _further(paths: dict[str, Path], listed: dict[str, _Remote], wanted: Reference) -> list[str]:
    """Files with weights that the graphs name, and that were not fetched by their own names."""
    named = {place for name, path in paths.items() if name.endswith(".onnx") for place in weights(path, name)}
    missing = sorted(named - set(listed))
    if missing:
        raise EncoderError(f"{wanted} has no {missing[0]}, where a graph of it says its weights are")
    return sorted(named - set(paths))


def _download(wanted: Reference, name: str, commit: str, remote: _Remote, tally: "_Tally") -> Path:
    """One file. What is not as the hub says is thrown away and fetched once more."""
    from huggingface_hub import hf_hub_download

    for once_more in (False, True):
        path = Path(
            hf_hub_download(
                wanted.repository, name, revision=commit, force_download=once_more, tqdm_class=tally.bar
            )
        )
        if remote.matches(path):
            return path
        path.resolve().unlink()
        path.unlink(missing_ok=True)
    raise EncoderError(
        f"{name} of {wanted} is not what the hub says it is, twice: it was thrown away; "
        "try again later, or set HF_ENDPOINT to another mirror"
    )


def _check_own(folder: Path, listed: dict[str, _Remote], names: Iterable[str], wanted: Reference) -> None:
    """What `handful encoders export` wrote about its files holds for those that were fetched."""
    if "handful.json" not in names:
        return
    try:
        files = json.loads((folder / "handful.json").read_bytes()).get("files", {})
        said = {name: str(files[name]) for name in names if name in files}
    except (ValueError, AttributeError, TypeError) as exc:
        raise EncoderError(
            f"handful.json of {wanted} cannot be read ({exc}); export the model again"
        ) from exc
    for name, digest in said.items():
        if not _Remote(size=listed[name].size, digest=digest).matches(folder / name):
            raise EncoderError(
                f"{name} of {wanted} is not the file that its handful.json describes; export the model again"
            )


def _room(total: int, wanted: Reference) -> None:
    from huggingface_hub import constants

    place = Path(constants.HF_HUB_CACHE)
    there = next(folder for folder in (place, *place.absolute().parents) if folder.exists())
    free = shutil.disk_usage(there).free
    if free < total + _SPARE:
        raise EncoderError(
            f"{wanted} takes {total / 1e6:.0f} MB, and {there} has {free / 1e6:.0f} MB left; "
            "free some, or set HF_HOME to a folder on a larger disk"
        )


class _Tally:
    """Bytes of all files together."""

    def __init__(self, total: int, progress: Told | None) -> None:
        self.total = total
        self._progress = progress
        self._done = 0

    def add(self, count: int) -> None:
        """So many more are there."""
        self._done += count
        if self._progress is not None:
            self._progress(min(self._done, self.total), self.total)

    @property
    def bar(self) -> "type[tqdm]":
        """A progress bar for the hub's client, that draws nothing."""
        from tqdm import tqdm as base

        add = self.add

        class Bar(base):  # type: ignore[misc] # it has no types
            def __init__(self, *args: Any, initial: int = 0, **options: Any) -> None:  # Any: tqdm's own
                options.pop("name", None)
                super().__init__(*args, **{**options, "disable": True})
                add(initial)

            def update(self, n: float | None = 1) -> bool | None:
                add(int(n or 0))
                return None

        return Bar


@contextmanager
def _named(wanted: Reference) -> Iterator[None]:
    """Whatever the hub's client raises, as an EncoderError that says what to do."""
    import httpx2
    from huggingface_hub import constants, errors

    hub = constants.ENDPOINT
    try:
        yield
    except errors.GatedRepoError as exc:
        raise EncoderError(
            f"{wanted} is given to those who accept its conditions: do so at {hub}/{wanted.repository}, "
            "and set HF_TOKEN to a token of that account"
        ) from exc
    except errors.RevisionNotFoundError as exc:
        raise EncoderError(
            f"{wanted.repository} has no revision {wanted.revision!r}; leave it out, or see its commits at "
            f"{hub}/{wanted.repository}/commits/main"
        ) from exc
    except errors.RepositoryNotFoundError as exc:
        raise EncoderError(
            f"{hub} has no model {wanted.repository}, or not for you: check how it is spelt, "
            "and set HF_TOKEN if it is private"
        ) from exc
    except errors.HfHubHTTPError as exc:
        raise EncoderError(
            f"{hub} answered {exc.response.status_code} when asked for {wanted}; try again later, "
            "or set HF_ENDPOINT to another mirror"
        ) from exc
    except OSError as exc:
        if exc.errno in (errno.ENOSPC, errno.EDQUOT):
            raise EncoderError(
                f"the disk is full while {wanted} is fetched; free some, or set HF_HOME to a folder on a "
                "larger disk: files that have arrived are kept"
            ) from exc
        raise EncoderError(
            f"{wanted} could not be fetched from {hub} ({_first_line(exc)}); try again"
        ) from exc
    except httpx2.HTTPError as exc:
        raise EncoderError(
            f"{hub} cannot be reached ({_first_line(exc)}), and {wanted} is not on this machine; connect "
            "to a network, set HF_ENDPOINT to a mirror, or give a folder"
        ) from exc


def _first_line(exc: Exception) -> str:
    return (str(exc) or type(exc).__name__).splitlines()[0]

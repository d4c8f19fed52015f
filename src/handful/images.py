"""Pictures of any source become RGB pixels; every limit on untrusted pictures lives here."""

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sized
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from hashlib import sha256
from io import BytesIO
from typing import Any, BinaryIO, TypeVar

import numpy as np
from PIL import Image
from PIL.BmpImagePlugin import BmpImageFile
from PIL.GifImagePlugin import GifImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.TiffImagePlugin import TiffImageFile
from PIL.WebPImagePlugin import WebPImageFile

from handful import containers, pixels
from handful.errors import ImageError
from handful.pixels import Pixels
from handful.sources import describe, printable, read, read_file, read_text

T = TypeVar("T")
ImageSource = str | os.PathLike[str] | bytes | BinaryIO | Image.Image | np.ndarray


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What a picture may claim. All of it is checked before pixels are decoded.

    A decoder needs up to 16 bytes of memory per pixel while it works (animated WebP), 7 for most pictures.
    """

    max_bytes: int = 20 * 2**20  # of the file, as given
    max_pixels: int = 50_000_000  # width × height
    max_side: int = 30_000  # pixels
    min_side: int = 1  # pixels

    def __post_init__(self) -> None:
        if min(self.max_bytes, self.max_pixels, self.min_side) < 1 or self.max_side < self.min_side:
            raise ImageError(f"limits are positive, and max_side at least min_side; got {self}")

    def check_size(self, width: int, height: int) -> None:
        """Raises ImageError where a picture of width × height pixels is too large or too small."""
        claim = f"claims {width:,} × {height:,} pixels"
        if min(width, height) < self.min_side:
            raise ImageError(f"{claim}; each side needs at least {self.min_side:,}")
        if max(width, height) > self.max_side:
            raise ImageError(f"{claim}; no side may be over {self.max_side:,}; make it smaller")
        if width * height > self.max_pixels:
            raise ImageError(f"{claim}, over the limit of {self.max_pixels:,} in all; make it smaller")


def decode(
    source: ImageSource, *, limits: Limits = Limits(), name: str | None = None, at_least: int | None = None
) -> Pixels:
    """RGB pixels (H, W, 3) uint8 of one picture: a new array, the right way up, transparency on white.

    source :
        - a path, as str or PathLike;
        - bytes of JPEG, PNG, WebP, GIF, TIFF or BMP, or of HEIC with the extra `heic`; of frames the first;
        - a binary file, read from its start and left where it stood; from where it stands if it cannot seek;
        - a PIL image, turned by the EXIF orientation it carries;
        - an array (H, W), (H, W, 1), (H, W, 3) or (H, W, 4) of uint8, uint16 (65535 is white), bool, or
          floats from 0 to 1;
        - a str that is a data URI (it starts with "data:") or base64 text. A str is base64 where all its
          characters are of that alphabet, plain or URL-safe, and it decodes to the first bytes of an accepted
          picture, or where it has 64 characters or more, a multiple of 4, and names no file. Any other str is
          a path. Text from others, which must never open a file here, goes through `from_text`.
    name : what error messages call the picture; by default `describe(source)`.
    at_least : the shorter side, in pixels, that the caller will resize to. A larger picture may come back
        smaller by a whole factor, which is faster and takes less memory; its shorter side stays at twice
        `at_least` or more, so that the resizing does not show it.

    Colour profiles are ignored. 32-bit and float TIFFs have no agreed white: floats from 0 to 1 are taken as
    they are, all else is stretched from the picture's darkest value to its brightest.
    Raises ImageError that says which picture, what was found and what is accepted.

    >>> decode(np.zeros((2, 3), dtype=bool)).shape
    (2, 3, 3)
    """
    try:
        return _decode(source, limits, at_least)
    except ImageError as exc:
        raise ImageError(f"picture ({printable(name) if name else describe(source)}) {exc}") from None


def decode_many(
    sources: Iterable[ImageSource],
    *,
    limits: Limits = Limits(),
    at_least: int | None = None,
    threads: int | None = None,
) -> Iterator[Pixels]:
    """`decode` of each source, in order, in parallel threads that run at most two sources each ahead.

    threads : by default one per CPU that this process may use, at most 8.
    Raises ImageError that gives the picture's place: "picture 3 of 7 (stain.heic) is …".
    """
    if isinstance(sources, str | bytes | os.PathLike | Image.Image) or (
        isinstance(sources, np.ndarray) and pixels.is_one_picture(sources)
    ):
        raise ImageError(f"decode_many takes many pictures; got one ({describe(sources)}): put it in a list")
    if threads is None:
        threads = min(8, _usable_cpus())
    if threads < 1:
        raise ImageError(f"threads is 1 or more; got {threads}")
    return _decode_in_threads(sources, limits, at_least, threads)


def from_text(text: str, *, limits: Limits = Limits()) -> bytes:
    """Bytes of a data URI or of base64 text (plain or URL-safe, padded or not). Never opens a file.

    >>> from_text("data:image/gif;base64,R0lGODlh")
    b'GIF89a'
    """
    try:
        return read_text(text, limits.max_bytes)
    except ImageError as exc:
        raise ImageError(f"picture (text of {len(text):,} characters) {exc}") from None


def digest(source: ImageSource, *, limits: Limits = Limits()) -> str:
    """SHA-256, in hex, of a picture's content: of its file's bytes, or of its pixels and shape in memory.

    Paths, bytes, files and text with the same bytes agree. No file is decoded. Raises ImageError as `decode`.
    """
    try:
        if isinstance(source, np.ndarray):
            head = f"array {source.dtype.str} {source.shape}\n"
            return sha256(head.encode() + source.tobytes()).hexdigest()
        if isinstance(source, Image.Image):
            return sha256(_guarded("PIL image", partial(_pil_content, source))).hexdigest()
        return sha256(read(source, limits.max_bytes)).hexdigest()
    except ImageError as exc:
        raise ImageError(f"picture ({describe(source)}) {exc}") from None


def measure(data: bytes, *, limits: Limits = Limits(), name: str | None = None) -> tuple[int, int]:
    """Width and height of an encoded picture the right way up; no pixel is decoded. Raises as `decode`."""
    try:
        picture = containers.read(read(data, limits.max_bytes))
        if picture.format == "HEIC":
            size: tuple[int, int] = _guarded("HEIC", lambda: _open_heif(picture.data, limits).size)
            return size
        limits.check_size(picture.width, picture.height)
    except ImageError as exc:
        raise ImageError(f"picture ({printable(name) if name else describe(data)}) {exc}") from None
    turned = picture.orientation >= _FIRST_SIDEWAYS
    return (picture.height, picture.width) if turned else (picture.width, picture.height)


# ---- bytes to pixels

_FIRST_SIDEWAYS = 5  # of the EXIF orientations, those that swap width and height
_OPENERS: dict[str, Callable[[BytesIO], Image.Image]] = {
    # The readers themselves, not Image.open: no other format, no warning about sizes that Limits allow.
    "JPEG": JpegImageFile,
    "PNG": PngImageFile,
    "WebP": WebPImageFile,
    "GIF": GifImageFile,
    "TIFF": TiffImageFile,
    "BMP": BmpImageFile,
}


def _decode(source: object, limits: Limits, at_least: int | None) -> Pixels:
    if isinstance(source, np.ndarray):
        if pixels.is_one_picture(source):
            limits.check_size(source.shape[1], source.shape[0])
        return pixels.from_array(source)
    if isinstance(source, Image.Image):
        limits.check_size(*source.size)
        turn = pixels.orientation_of(source)
        return _guarded("PIL image", lambda: pixels.from_image(source, orientation=turn, at_least=at_least))
    picture = containers.read(read(source, limits.max_bytes))
    if picture.format != "HEIC":
        limits.check_size(picture.width, picture.height)
    return _guarded(picture.format, lambda: _from_container(picture, limits, at_least))


def _from_container(picture: containers.Picture, limits: Limits, at_least: int | None) -> Pixels:
    if picture.format == "HEIC":
        return pixels.from_image(_open_heic(picture.data, limits), at_least=at_least)
    with _OPENERS[picture.format](BytesIO(picture.data)) as image:
        limits.check_size(*image.size)
        if at_least and isinstance(image, JpegImageFile):
            image.draft(None, (pixels.REDUCTION_GAP * at_least,) * 2)
        return pixels.from_image(image, orientation=picture.orientation, at_least=at_least)


def _guarded(format_name: str, work: Callable[[], T]) -> T:
    """Decoders of untrusted bytes fail in every way there is; each becomes one error."""
    try:
        return work()
    except (ImageError, ModuleNotFoundError):  # the latter: a broken installation, no fault of the picture
        raise
    except MemoryError:
        raise ImageError(f"is a {format_name} too large for the free memory; make it smaller") from None
    except Exception as exc:
        reason = printable(str(exc) or type(exc).__name__)
        raise ImageError(f"is a {format_name} that is damaged or cut off ({reason}); send it whole") from None


def _open_heic(data: bytes, limits: Limits) -> Image.Image:
    image: Image.Image = _open_heif(data, limits).to_pillow()  # turned: HEIF keeps its rotation outside EXIF
    return image


def _open_heif(data: bytes, limits: Limits) -> Any:  # Any: pi_heif has no types
    try:
        import pi_heif
    except ModuleNotFoundError as exc:
        if exc.name != "pi_heif":
            raise
        raise ImageError(
            f"is HEIC; install it with: pip install 'handful[heic]', or give {containers.ACCEPTED}"
        ) from None
    file = pi_heif.open_heif(data)
    limits.check_size(*file.size)
    return file


def _pil_content(image: Image.Image) -> bytes:
    pixels.load(image)
    head = f"image {image.mode} {image.size} {pixels.orientation_of(image)} {image.getpalette()}\n"
    return head.encode() + image.tobytes()


# ---- many


def _usable_cpus() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _decode_in_threads(
    pictures: Iterable[ImageSource], limits: Limits, at_least: int | None, threads: int
) -> Iterator[Pixels]:
    of = f" of {len(pictures)}" if isinstance(pictures, Sized) else ""
    waiting: deque[tuple[str, Future[Pixels]]] = deque()
    with ThreadPoolExecutor(threads, thread_name_prefix="handful-decode") as pool:
        try:
            for number, source in enumerate(pictures, start=1):
                if len(waiting) == 2 * threads:
                    yield _result(*waiting.popleft())
                who = f"picture {number}{of} ({describe(source)})"
                waiting.append((who, _submit(pool, source, limits, at_least)))
            while waiting:
                yield _result(*waiting.popleft())
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def _submit(
    pool: ThreadPoolExecutor, source: ImageSource, limits: Limits, at_least: int | None
) -> Future[Pixels]:
    content: object = source
    if hasattr(source, "read"):  # here, one after the other: the members of an archive share its file
        try:
            content = read_file(source, limits.max_bytes)
        except ImageError as exc:
            failed: Future[Pixels] = Future()
            failed.set_exception(exc)
            return failed
    return pool.submit(_decode, content, limits, at_least)


def _result(who: str, future: Future[Pixels]) -> Pixels:
    try:
        return future.result()
    except ImageError as exc:
        raise ImageError(f"{who} {exc}") from None

"""From a name to an encoder that runs."""

from threading import Lock

from handful.encoders.base import Encoder
from handful.encoders.builtin import BuiltinEncoder
from handful.encoders.catalogue import CATALOGUE
from handful.encoders.session import SessionOptions
from handful.errors import EncoderError
from handful.images import Limits
from handful.settings import Settings

_LOADED: dict[tuple[str, SessionOptions, Limits], Encoder] = {}
_LOCK = Lock()


def load_encoder(name_or_encoder: str | Encoder = "builtin", *, settings: Settings | None = None) -> Encoder:
    """The encoder of that name, the same one at every call: a process holds its towers once.

    Something that is an encoder already comes back as it is. settings : None reads the environment.
    Raises EncoderError for a name that is not in the catalogue.

    >>> load_encoder("builtin").dimension
    512
    """
    if not isinstance(name_or_encoder, str):
        if isinstance(name_or_encoder, Encoder):
            return name_or_encoder
        raise EncoderError(
            f"{type(name_or_encoder).__name__} is no encoder; give a name, or an object with name, dimension, "
            "fingerprint, background, encode_images and encode_texts"
        )
    if name_or_encoder not in CATALOGUE:
        raise EncoderError(f"there is no encoder {name_or_encoder!r}; there is {', '.join(CATALOGUE)}")
    settings = settings or Settings()
    options = SessionOptions(threads=settings.encoder_threads, providers=settings.encoder_providers)
    limits = Limits(
        max_bytes=settings.image_max_bytes,
        max_pixels=settings.image_max_pixels,
        max_side=settings.image_max_side,
    )
    with _LOCK:
        key = (name_or_encoder, options, limits)
        if key not in _LOADED:
            _LOADED[key] = BuiltinEncoder(options=options, limits=limits)
        return _LOADED[key]

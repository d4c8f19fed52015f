"""Every error Handful raises on purpose.

    HandfulError
    ├── ImageError          a picture that cannot be read or is not allowed
    ├── DatasetError        a folder, table or archive that holds no labelled pictures as they are needed
    ├── EmbeddingError      rows of numbers that are no embeddings of the encoder at hand
    ├── SupportError        shots, labels or texts that make no classifier
    ├── HeadError           a saved head that cannot be read, or is asked for what it does not hold
    ├── ModelError          a saved classifier that cannot be read or written
    ├── EncoderError        an encoder that is unknown, damaged or does not fit
    ├── NotFittedError      a classifier asked before it was taught
    └── MissingExtraError   an optional part that is not installed

Each message says what was found, what is allowed and what to do next. Where a builtin error is what
callers expect, the class is that error too.
"""


class HandfulError(Exception):
    """Base of all errors that Handful raises on purpose."""


class ImageError(HandfulError, ValueError):
    """A picture cannot be read, or breaks a limit."""


class DatasetError(HandfulError, ValueError):
    """A folder, table or archive does not hold labelled pictures."""


class EmbeddingError(HandfulError, ValueError):
    """Rows are not embeddings: wrong width, not finite, or of length zero."""


class SupportError(HandfulError, ValueError):
    """Shots, labels or texts do not make a classifier."""


class HeadError(HandfulError, ValueError):
    """A head cannot be read, or does not hold what is asked of it."""


class ModelError(HandfulError, ValueError):
    """A saved classifier cannot be read or written."""


class EncoderError(HandfulError, ValueError):
    """An encoder is unknown, damaged, or not the one that made the embeddings."""


class NotFittedError(HandfulError, ValueError, AttributeError):
    """A classifier is asked before it was taught."""


class MissingExtraError(HandfulError, ImportError):
    """An optional part is not installed; the message gives the command that installs it."""

    def __init__(self, what: str, extra: str) -> None:
        super().__init__(f"{what} needs an optional part; install it with: pip install 'handful[{extra}]'")
        self.extra = extra

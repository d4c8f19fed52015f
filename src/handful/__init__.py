"""Teach an image classifier with a handful of pictures."""

from importlib import import_module
from typing import TYPE_CHECKING

__version__ = "0.1.0"

_HOME = {
    "AsyncClient": "handful.client",
    "Background": "handful.background",
    "Client": "handful.client",
    "FewShotClassifier": "handful.classifier",
    "Head": "handful.adapters.head",
    "JoinedBackground": "handful.background",
    "Prediction": "handful.classifier",
    "fit_head": "handful.adapters",
    "load": "handful.classifier",
    "load_encoder": "handful.encoders",
}

__all__ = [*sorted(_HOME), "__version__"]

if TYPE_CHECKING:
    from handful.adapters import fit_head as fit_head
    from handful.adapters.head import Head as Head
    from handful.background import Background as Background
    from handful.background import JoinedBackground as JoinedBackground
    from handful.classifier import FewShotClassifier as FewShotClassifier
    from handful.classifier import Prediction as Prediction
    from handful.classifier import load as load
    from handful.client import AsyncClient as AsyncClient
    from handful.client import Client as Client
    from handful.encoders import load_encoder as load_encoder


def __getattr__(name: str) -> object:
    """Import a public name on first use, so that `import handful` stays instant."""
    if name not in _HOME:
        raise AttributeError(f"module 'handful' has no attribute {name!r}")
    return getattr(import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return __all__

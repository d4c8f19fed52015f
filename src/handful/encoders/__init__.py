"""Pixels and words → unit rows."""

from handful.encoders.base import Encoder as Encoder
from handful.encoders.base import Progress as Progress
from handful.encoders.load import load_encoder as load_encoder
from handful.encoders.profile import profile as profile

__all__ = ["Encoder", "Progress", "load_encoder", "profile"]

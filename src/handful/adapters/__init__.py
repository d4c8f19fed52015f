"""Features in, head out: pure mathematics on arrays."""

from handful.adapters.head import Head, Neighbour, fit_head
from handful.adapters.methods import METHODS

__all__ = ["METHODS", "Head", "Neighbour", "fit_head"]

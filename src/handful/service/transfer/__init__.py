"""Transfer: many shots or whole classifiers in, and whole classifiers out."""

from handful.service.transfer.transfer import Transfer

__all__ = ["Transfer"]

"""Nearest rows: an index of many class rows on the disk, searched by inner product."""

from handful.retrieval.class_index import ClassIndex

__all__ = ["ClassIndex"]

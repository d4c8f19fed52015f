"""Faiss, which comes with the extra `giant`: it is a sixth of an install, and few have so many classes."""

from handful.errors import MissingExtraError

try:
    import faiss as faiss
except ImportError:
    raise MissingExtraError("an index of very many classes", "giant") from None

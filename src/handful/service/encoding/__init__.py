"""Encoding: pictures and words of many requests, decoded once and encoded together."""

from handful.service.encoding.encoding import Encoding, Picture, Timings

__all__ = ["Encoding", "Picture", "Timings"]

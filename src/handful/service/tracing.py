"""Spans of OpenTelemetry for the parts of a request."""

import time

from opentelemetry import trace

_NAME = "handful"


def took(part: str, seconds: float) -> None:
    """A span of a part of the current request that ends now, and took so long.

    Where the request is not traced this costs a look at a context variable.
    """
    if trace.get_current_span().is_recording():
        now = time.time_ns()
        trace.get_tracer(_NAME).start_span(part, start_time=now - round(seconds * 1e9)).end(now)

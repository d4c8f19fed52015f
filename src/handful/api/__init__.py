"""API: the use cases over HTTP."""

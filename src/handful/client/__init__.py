"""The Python client of the HTTP service."""

from handful.client.answers import (
    Answer,
    Classifier,
    ClassSummary,
    Job,
    Removal,
    Shot,
    Suggestion,
    Version,
)
from handful.client.async_client import AsyncClient
from handful.client.client import Client

__all__ = [
    "Answer",
    "AsyncClient",
    "ClassSummary",
    "Classifier",
    "Client",
    "Job",
    "Removal",
    "Shot",
    "Suggestion",
    "Version",
]

"""Clients of a real server."""

from collections.abc import Iterator

import pytest

import handful
from handful.client import Classifier


@pytest.fixture
def client(url: str) -> Iterator[handful.Client]:
    with handful.Client(url) as client:
        yield client


@pytest.fixture
def waste(client: handful.Client, trashnet_shots) -> Classifier:
    """A classifier of three classes with three photos each."""
    made = client.create_classifier("waste")
    client.add_shots(made.id, *trashnet_shots(3, classes=["glass", "metal", "paper"]))
    return client.classifier(made.id)

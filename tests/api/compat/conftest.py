"""A server, and a classifier on it that was taught three classes."""

from collections.abc import Iterator

import pytest

import handful
from handful.client import Classifier


@pytest.fixture(scope="session")
def handful_client(url: str) -> Iterator[handful.Client]:
    with handful.Client(url) as client:
        yield client


@pytest.fixture
def waste(handful_client: handful.Client, trashnet_shots) -> Classifier:
    made = handful_client.create_classifier("waste")
    handful_client.add_shots(made.id, *trashnet_shots(3, classes=["glass", "metal", "paper"]))
    return handful_client.classifier(made.id)

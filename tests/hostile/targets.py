"""What hostile tests call in their children."""

import numpy as np

from handful.adapters import Head
from handful.background import Background


def read_head(case):
    """Read (head's bytes, background's bytes or None), and ask it all there is to ask."""
    data, background = case
    head = Head.from_bytes(data, None if background is None else Background.from_bytes(background))
    Q = np.eye(2, head.dimension)
    return [ask(Q).shape for ask in (head.scores, head.probabilities, head.known)]


def open_head(data):
    """Only read."""
    return Head.from_bytes(data).method


def read_background(data):
    """Read, and use as `auto` does."""
    background = Background.from_bytes(data)
    return [background.whitening.shape, background.anything.shape]

from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_allclose

from handful.encoders import profile
from handful.encoders.builtin import BuiltinEncoder
from handful.errors import EmbeddingError


def test_it_is_mean_and_covariance_of_the_rows(builtin: BuiltinEncoder, pictures: list[Path]) -> None:
    told: list[int] = []
    background = profile(builtin, pictures[:12], progress=told.append)
    X = builtin.encode_images(pictures[:12]).astype(float)
    assert_allclose(background.mean, X.mean(axis=0), atol=1e-6)
    assert_allclose(background.covariance, np.cov(X.T), atol=1e-6)
    assert (background.count, told[-1]) == (12, 12)
    assert background.logit_scale == builtin.background.logit_scale


def test_an_encoder_without_a_background_gets_clips_scale_or_the_one_given(counting) -> None:
    pictures = [np.zeros((side, 2, 3), np.uint8) for side in (1, 2, 3)]
    assert profile(counting, pictures).logit_scale == 100
    assert profile(counting, pictures, logit_scale=7).logit_scale == 7


def test_one_picture_is_no_background(counting) -> None:
    with pytest.raises(EmbeddingError, match="at least 2 pictures"):
        profile(counting, [np.zeros((2, 2, 3), np.uint8)])

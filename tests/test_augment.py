from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

from handful.adapters import METHODS
from handful.augment import POLICIES, Policy, Recolouring, policy_named, policy_of, views
from handful.errors import HandfulError, ImageError
from handful.images import decode

PHOTO = decode(Path(__file__).parents[1] / "examples/data/trashnet/glass/003.jpg")


def flat(colour, height=20, width=30):
    return np.full((height, width, 3), colour, dtype=np.uint8)


def digest_of(pictures):
    return sha256(b"".join(repr(p.shape).encode() + p.tobytes() for p in pictures)).hexdigest()


@pytest.mark.parametrize("policy", POLICIES)
def test_the_first_view_is_the_plain_picture_and_the_count_is_the_policys(policy):
    made = views(PHOTO, policy)
    assert_array_equal(made[0], PHOTO)
    assert len(made) == POLICIES[policy].count
    assert len({digest_of([view]) for view in made}) == len(made)
    assert all(view.dtype == np.uint8 and view.flags.c_contiguous for view in made)


def test_the_policies_differ_as_their_names_say():
    counts = {name: POLICIES[name].count for name in ("none", "flip", "five", "standard", "strong")}
    assert counts == {"none": 1, "flip": 2, "five": 5, "standard": 12, "strong": 22}
    standard, orientation, colour = (
        POLICIES[n] for n in ("standard", "orientation-matters", "colour-matters")
    )
    assert standard.flip
    assert standard.angles
    assert standard.recolourings
    assert not orientation.flip
    assert not orientation.angles
    assert orientation.recolourings == standard.recolourings
    assert not colour.recolourings
    assert colour.angles == standard.angles


@pytest.mark.parametrize("policy", POLICIES)
def test_the_same_picture_and_policy_give_the_same_bytes(policy):
    before = PHOTO.copy()
    assert digest_of(views(PHOTO, policy)) == digest_of(views(PHOTO.copy(), policy))
    assert_array_equal(PHOTO, before)


def test_views_that_turn_or_mirror_are_not_made_where_orientation_matters():
    made = views(PHOTO, "orientation-matters")
    assert not any(view.shape == PHOTO.shape and np.array_equal(view, PHOTO[:, ::-1]) for view in made)
    assert any(np.array_equal(view, PHOTO[:, ::-1]) for view in views(PHOTO, "standard"))


def test_colours_stay_where_colour_matters():
    colours = {tuple(pixel) for pixel in flat((10, 200, 90))[0]}
    for view in views(flat((10, 200, 90)), "colour-matters"):
        assert {tuple(pixel) for pixel in view.reshape(-1, 3)} == colours


def test_crops_are_the_corners_and_the_middle():
    made = views(PHOTO, "standard")  # plain, flip, middle, four corners, …
    height, width = PHOTO.shape[:2]
    middle = made[2]
    top, left = (height - middle.shape[0]) // 2, (width - middle.shape[1]) // 2
    assert middle.shape[:2] == (round(0.85 * height), round(0.85 * width))
    assert_array_equal(middle, PHOTO[top : top + middle.shape[0], left : left + middle.shape[1]])
    h, w = round(0.8 * height), round(0.8 * width)
    for view, corner in zip(
        made[3:7], (PHOTO[:h, :w], PHOTO[:h, -w:], PHOTO[-h:, :w], PHOTO[-h:, -w:]), strict=True
    ):
        assert_array_equal(view, corner)


@pytest.mark.parametrize("shape", [(320, 240), (40, 400), (400, 40), (1, 1), (2, 300)])
def test_turned_views_have_no_black_wedges(shape):
    picture = flat((250, 240, 230), *shape)
    policy = POLICIES["strong"]
    first = 1 + policy.flip + len(policy.centre) + 4 * len(policy.corners)
    for view in views(picture, "strong")[first : first + len(policy.angles)]:
        assert_array_equal(view, picture)


def test_a_turn_is_counter_clockwise_about_the_middle():
    picture = flat(0, 101, 101)
    picture[48:53, 88:93] = 255  # a dot, 40 right of the middle
    angles = POLICIES["standard"].angles
    for view, angle in zip(views(picture, "standard")[7:9], angles, strict=True):
        down, right = np.argwhere(view[:, :, 0] > 200).mean(axis=0) - 50
        assert right == pytest.approx(40 * np.cos(np.radians(angle)), abs=0.5)
        assert down == pytest.approx(-40 * np.sin(np.radians(angle)), abs=0.5)


def test_recolouring_matrices_are_those_worked_out_on_paper():
    identity = np.eye(3, 4)
    assert np.allclose(np.reshape(Recolouring().matrix(), (3, 4)), identity)
    assert np.allclose(np.reshape(Recolouring(brightness=2).matrix(), (3, 4)), 2 * identity)
    third = np.reshape(Recolouring(hue=120).matrix(), (3, 4)) @ [1, 2, 3, 1]
    assert np.allclose(third, [3, 1, 2])  # red goes to green, green to blue, blue to red
    half = np.reshape(Recolouring(brightness=2, contrast=0.5).matrix(), (3, 4)) @ [127.5, 0, 255, 1]
    assert np.allclose(half, [255, 127.5, 382.5])


@given(st.floats(-180, 180), st.integers(0, 255))
def test_a_turn_of_hue_keeps_greys_and_the_mean(hue, grey):
    matrix = np.reshape(Recolouring(hue=hue).matrix(), (3, 4))
    assert np.allclose(matrix @ [grey, grey, grey, 1], grey)
    assert np.mean(matrix @ [10, 20, 90, 1]) == pytest.approx(40)


def test_recoloured_views_differ_in_colour_alone():
    recoloured = views(flat(100), "standard")[9:]
    # brightness × (contrast × (100 − 127.5) + 127.5), rounded; a turned hue leaves grey
    assert [int(view[0, 0, 0]) for view in recoloured] == [128, 77, 100]
    assert all(len(np.unique(view)) == 1 for view in recoloured)


@given(st.integers(1, 9), st.integers(1, 9), st.sampled_from(sorted(POLICIES)))
@settings(max_examples=40, deadline=None)
def test_the_smallest_pictures_have_views_too(height, width, policy):
    for view in views(flat(7, height, width), policy):
        assert 1 <= view.shape[0] <= height
        assert 1 <= view.shape[1] <= width


def test_flip_is_the_mirror_image_and_five_are_the_corners():
    assert_array_equal(views(PHOTO, "flip")[1], PHOTO[:, ::-1])
    plain, *corners = views(PHOTO, "five")
    assert_array_equal(corners[0], plain[: corners[0].shape[0], : corners[0].shape[1]])
    assert_array_equal(corners[3], plain[-corners[3].shape[0] :, -corners[3].shape[1] :])


def test_auto_is_a_matter_of_the_method_and_anything_else_is_not():
    assert {method: policy_of("auto", method) for method in METHODS} == {
        method: "standard" if method in ("tip-f", "clip-adapter") else "none" for method in METHODS
    }
    assert policy_of("flip", "auto") == policy_of("flip", "tip-f") == "flip"


def test_an_unknown_policy_names_the_known_ones():
    with pytest.raises(
        ValueError, match=r"'wild'; choose one of: none, flip, five, standard, strong, orientation-matters"
    ) as caught:
        views(PHOTO, "wild")
    assert isinstance(caught.value, HandfulError)
    assert policy_named("none") == Policy()


@pytest.mark.parametrize(
    "pixels", [np.zeros((3, 3), np.uint8), np.zeros((3, 3, 4), np.uint8), np.zeros((3, 3, 3))]
)
def test_pixels_of_another_kind_are_refused(pixels):
    with pytest.raises(ImageError, match=r"views are made of pixels \(H, W, 3\) uint8"):
        views(pixels, "standard")


def test_policies_cannot_be_changed():
    with pytest.raises(TypeError):
        POLICIES["none"] = POLICIES["strong"]

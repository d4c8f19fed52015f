from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose

from handful.errors import EmbeddingError, SupportError
from handful.prompts import TEMPLATES, class_prompts, text_prior


def encoder(dimension=8):
    """Unit rows that depend on the text alone; `calls` counts the texts of each call."""

    def encode(texts):
        encode.calls.append(list(texts))
        rows = [np.random.default_rng(list(text.encode())).standard_normal(dimension) for text in texts]
        return np.array([row / np.linalg.norm(row) for row in rows], dtype=np.float32)

    encode.calls = []
    return encode


def test_every_template_has_one_place_for_the_class_and_is_a_sentence():
    assert set(TEMPLATES) == {"plain", "photo"}
    assert len(TEMPLATES["plain"]) == 1
    assert 7 <= len(set(TEMPLATES["photo"])) == len(TEMPLATES["photo"]) <= 20
    for template in (*TEMPLATES["plain"], *TEMPLATES["photo"]):
        assert template.count("{}") == 1
        assert template.endswith(".")


def test_a_class_gets_one_prompt_per_template_in_order():
    own = ["a {} outside", "{}"]
    assert class_prompts(["cat", "dog"], templates=own) == [
        ["a cat outside", "cat"],
        ["a dog outside", "dog"],
    ]
    assert [len(p) for p in class_prompts(["cat"], templates="photo")] == [len(TEMPLATES["photo"])]
    assert class_prompts(["cat"]) == class_prompts(["cat"], templates="photo")
    assert class_prompts([]) == []


@pytest.mark.parametrize(
    ("name", "prompt"),
    [
        ("tabby_cat", "a photo of a tabby cat."),
        ("  black-footed--albatross_ ", "a photo of a black footed albatross."),
        ("umbrella", "a photo of an umbrella."),
        ("Apple", "a photo of an Apple."),
        ("猫", "a photo of a 猫."),
        ("{}", "a photo of a {}."),
        ("{0} {name}", "a photo of a {0} {name}."),
        (r"\1", r"a photo of a \1."),
    ],
)
def test_names_become_words(name, prompt):
    assert class_prompts([name], templates="plain") == [[prompt]]


def test_articles_change_before_the_class_only():
    assert class_prompts(["egg"], templates=["A {} of a farm", "the {}", "via {}"]) == [
        ["An egg of a farm", "the egg", "via egg"]
    ]


def test_a_domain_ends_every_template():
    assert class_prompts(["a320"], templates="plain", domain="air_craft {}") == [
        ["a photo of an a320, a type of air craft {}."]
    ]
    assert all(p.endswith(", a type of bird.") for p in class_prompts(["wren"], domain="bird")[0])
    assert class_prompts(["wren"], domain=" ") == class_prompts(["wren"])


@pytest.mark.parametrize("count", [1, 2, 3, 12, 17])
def test_descriptions_together_weigh_as_much_as_the_templates_together(count):
    sentences = [f"It has {i} legs {{and}} more." for i in range(count)]
    with_some, without = class_prompts(["ant", "bee"], descriptions={"ant": sentences})
    weights = Counter(with_some)
    described = [weights[sentence] for sentence in sentences]
    assert len(set(described)) == 1
    assert sum(described) * 2 == len(with_some)
    assert set(with_some) - set(sentences) == set(class_prompts(["ant"])[0])
    assert without == class_prompts(["bee"])[0]


def test_a_description_may_be_one_sentence_and_blank_ones_are_left_out():
    one = class_prompts(["ant"], templates="plain", descriptions={"ant": " It is  small.\n"})
    assert one == [["a photo of an ant.", "It is small."]]
    assert class_prompts(["ant"], descriptions={"ant": ["", "  "]}) == class_prompts(["ant"])


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"templates": "poetry"}, "'poetry'; choose one of: plain, photo, or give a list"),
        ({"templates": []}, "the list of templates is empty"),
        ({"templates": ["a photo"]}, "'a photo' holds {} 0 times"),
        ({"templates": ["{} and {}"]}, "holds {} 2 times"),
        ({"templates": ["{name}"]}, "holds {} 0 times"),
        (
            {"descriptions": {"wasp": "It stings."}},
            "a description of 'wasp', which is no class; the classes are 'ant'",
        ),
    ],
)
def test_wrong_options_are_named(options, words):
    with pytest.raises(SupportError) as caught:
        class_prompts(["ant"], **options)
    assert words in str(caught.value)


@pytest.mark.parametrize("name", ["", " ", "_-_"])
def test_a_name_without_a_word_is_refused(name):
    with pytest.raises(SupportError, match="has no word"):
        class_prompts([name])


def test_the_prior_is_the_unit_mean_of_unit_rows_and_takes_one_call():
    encode = encoder()
    prompts = [["a", "b", "b"], ["b"], ["c", "a"]]
    prior = text_prior(encode, prompts)
    assert encode.calls == [["a", "b", "c"]]
    for row, own in zip(prior, prompts, strict=True):
        mean = sum(encoder()([prompt])[0].astype(float) for prompt in own)
        assert_allclose(row, mean / np.linalg.norm(mean), atol=1e-6)
    assert prior.dtype == np.float32
    assert_allclose(np.linalg.norm(prior, axis=1), 1, atol=1e-6)


def test_rows_that_are_not_unit_weigh_no_more():
    lengths = np.array([[100.0], [0.01]])
    prior = text_prior(lambda texts: np.eye(2) * lengths, [["a", "b"]])
    assert_allclose(prior, [[0.5**0.5, 0.5**0.5]], atol=1e-6)


@given(
    st.lists(st.lists(st.sampled_from("abcdef"), min_size=1, max_size=6), min_size=1, max_size=5),
    st.randoms(),
)
def test_the_order_of_a_classs_prompts_does_not_matter(prompts, random):
    shuffled = [random.sample(own, len(own)) for own in prompts]
    assert_allclose(text_prior(encoder(), shuffled), text_prior(encoder(), prompts), atol=1e-6)


def test_classes_without_prompts_and_rows_that_are_missing_are_named():
    with pytest.raises(SupportError, match="class 1 "):
        text_prior(encoder(), [["a"], []])
    with pytest.raises(SupportError, match="no class"):
        text_prior(encoder(), [])
    with pytest.raises(EmbeddingError, match="1 rows of 2 prompts"):
        text_prior(lambda texts: np.eye(1), [["a", "b"]])
    with pytest.raises(EmbeddingError, match="row 0 of the mean embeddings"):
        text_prior(lambda texts: np.array([[1.0], [-1.0]]), [["a", "b"]])

"""Prompts: what a text tower reads for each class, and the text prior that it makes of them."""

import re
from collections.abc import Callable, Mapping, Sequence
from math import lcm
from types import MappingProxyType

import numpy as np

from handful.errors import EmbeddingError, SupportError
from handful.rows import Rows, as_rows

TEMPLATES: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "plain": ("a photo of a {}.",),
        "photo": (
            "a photo of a {}.",
            "a close-up photo of a {}.",
            "a photo of a {} from further away.",
            "a cropped photo of a {}.",
            "a bright photo of a {}.",
            "a dark photo of a {}.",
            "a blurred photo of a {}.",
            "a plain snapshot of a {}.",
            "a photo of a small {}.",
            "a photo of a large {}.",
            "a photo of a {} on a plain background.",
            "a photo with a {} in its middle.",
        ),
    }
)

_ARTICLE = re.compile(r"\b([Aa]) (?=\{\})")


def class_prompts(
    names: Sequence[str],
    *,
    templates: str | Sequence[str] = "photo",
    domain: str | None = None,
    descriptions: Mapping[str, str | Sequence[str]] | None = None,
) -> list[list[str]]:
    """The prompts of each class, in the order of `names`.

    templates : "plain" (one), "photo" (an ensemble), or your own, each with one {} where the class name goes.
    domain : what the classes are kinds of; ", a type of {domain}" ends each template.
    descriptions : of some classes, by name: one or several full sentences, read as they are.

    Underscores and dashes of names become spaces; "a {}" becomes "an {}" before a vowel. Blank descriptions
    are left out.
    A prompt may stand in the list several times, and weighs so often: of a class with descriptions, all
    templates together weigh as much as all descriptions together.
    Raises SupportError for a template without exactly one {}, a name without words, a description of none.

    >>> class_prompts(["sea_lion"], templates="plain", domain="seal", descriptions={"sea_lion": "It barks."})
    [['a photo of a sea lion, a type of seal.', 'It barks.']]
    """
    chosen = [_with_domain(template, domain) for template in _templates(templates)]
    given = descriptions or {}
    known = set(names)
    if strangers := [name for name in given if name not in known]:
        raise SupportError(
            f"there is a description of {strangers[0]!r}, which is no class; the classes are {_some(names)}"
        )
    prompts = []
    for name in names:
        filled = [_fill(template, name) for template in chosen]
        sentences = _sentences(given.get(name, ()))
        length = lcm(len(filled), len(sentences) or 1)
        repeated = sentences * (length // len(sentences)) if sentences else []
        prompts.append(filled * (length // len(filled) if sentences else 1) + repeated)
    return prompts


def text_prior(encode_texts: Callable[[Sequence[str]], Rows], prompts: Sequence[Sequence[str]]) -> Rows:
    """One unit row per class (C, D): the mean of the unit rows of its prompts, at length one.

    encode_texts : texts to rows (M, D), called once with all distinct prompts.
    Raises SupportError for a class without prompts, EmbeddingError for rows that are no embeddings.
    Source: prompt ensembles in embedding space, CLIP (ICML 2021), §3.1.4.

    >>> text_prior(lambda texts: np.eye(2, dtype="f4"), [["a cat", "a dog"], ["a dog"]]).round(2)
    array([[0.71, 0.71],
           [0.  , 1.  ]], dtype=float32)
    """
    if not prompts:
        raise SupportError("there is no class to make a text prior of; name at least one")
    if empty := [i for i, own in enumerate(prompts) if not own]:
        raise SupportError(f"class {empty[0]} (counted from 0) has no prompt; give each class one or more")
    place = {prompt: i for i, prompt in enumerate(dict.fromkeys(prompt for own in prompts for prompt in own))}
    rows = as_rows(encode_texts(list(place)), name="the embeddings of the prompts")
    if len(rows) != len(place):
        raise EmbeddingError(
            f"the encoder made {len(rows)} rows of {len(place)} prompts; it has to make one of each"
        )
    means = np.stack(
        [rows[[place[prompt] for prompt in own]].mean(axis=0, dtype=np.float64) for own in prompts]
    )
    return as_rows(means, name="the mean embeddings of the classes' prompts")


def _templates(templates: str | Sequence[str]) -> Sequence[str]:
    if isinstance(templates, str):
        if templates not in TEMPLATES:
            raise SupportError(
                f"no set of templates is called {templates!r}; choose one of: {', '.join(TEMPLATES)}, "
                "or give a list of templates"
            )
        return TEMPLATES[templates]
    if not templates:
        raise SupportError("the list of templates is empty; give at least one, such as 'a photo of a {}.'")
    for template in templates:
        if template.count("{}") != 1:
            raise SupportError(
                f"the template {template!r} holds {{}} {template.count('{}')} times; write it once"
            )
    return templates


def _with_domain(template: str, domain: str | None) -> str:
    if domain is None or not domain.strip():
        return template
    return f"{template.rstrip(' .')}, a type of {_words(domain)}."


def _fill(template: str, name: str) -> str:
    words = _words(name)
    if not words:
        raise SupportError(f"the class name {name!r} has no word to put into a prompt; rename the class")
    if words[0].lower() in "aeiou":
        template = _ARTICLE.sub(r"\1n ", template)
    return words.join(template.split("{}", 1))  # not format: names may hold braces


def _words(name: str) -> str:
    return " ".join(re.sub(r"[_\-]", " ", name).split())


def _sentences(description: str | Sequence[str]) -> list[str]:
    given = [description] if isinstance(description, str) else description
    return [" ".join(sentence.split()) for sentence in given if sentence.strip()]


def _some(names: Sequence[str], most: int = 10) -> str:
    return ", ".join(map(repr, names[:most])) + (", …" if len(names) > most else "")

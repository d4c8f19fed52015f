"""Commands that ask: classify, zero-shot."""

from collections.abc import Sequence
from hashlib import sha256
from typing import TYPE_CHECKING, Annotated

import typer

from handful.cli import options
from handful.cli.pictures import named_pictures
from handful.cli.predictions import answer_predictions

if TYPE_CHECKING:
    from handful.classifier import FewShotClassifier, Prediction


def classify(
    model: options.Model,
    pictures: options.Pictures,
    top_k: options.TopK = 5,
    explain: options.Explain = False,
    coverage: options.Coverage = None,
    views: options.AskedViews = "none",
    url: options.Url = None,
    json: options.Json = False,
) -> None:
    """Say what is on pictures, how sure that is, and whether they are of any of the classes.

    [dim]$ handful classify parts.model new/*.jpg --json | jq -r '.predictions[] | [.label, .unknown] |
    @tsv'[/dim]
    """
    from handful.augment import ASKED

    if views not in ASKED:
        raise typer.BadParameter(f"--views is {views!r}; choose one of {', '.join(ASKED)}")
    names, sources = named_pictures(pictures)
    if (address := options.address(url)) is not None:
        from handful.cli import served

        served.classify(address, str(model), names, sources, top_k, coverage, explain, views, json)
        return
    from handful.classifier import load

    classifier = load(model)
    predictions = classifier.classify(sources, top_k=top_k, coverage=coverage, explain=explain, views=views)
    _answer(names, predictions, classifier, json)


def zero_shot(
    pictures: options.Pictures,
    labels: Annotated[str, typer.Option(help="Names of classes, between commas.", show_default=False)],
    domain: options.Domain = None,
    describe: options.Describe = None,
    templates: options.Templates = "photo",
    encoder: options.EncoderName = "builtin",
    top_k: options.TopK = 5,
    url: options.Url = None,
    json: options.Json = False,
) -> None:
    """Classify pictures by words alone; nothing is taught or kept.

    [dim]$ handful zero-shot --labels cat,dog,horse photos/[/dim]
    """
    names = list(dict.fromkeys(name.strip() for name in labels.split(",") if name.strip()))
    if len(names) < 2:
        raise typer.BadParameter(f"--labels is {labels!r}; name at least two classes between commas")
    described = options.descriptions(describe)
    shown, sources = named_pictures(pictures)
    if (address := options.address(url)) is not None:
        from handful.cli import served

        served.refuse(domain=domain, describe=describe, encoder=encoder if encoder != "builtin" else None)
        served.zero_shot(address, names, shown, sources, templates, top_k, json)
        return
    from handful.classifier import FewShotClassifier

    classifier = FewShotClassifier(
        encoder,
        "zero-shot",
        classes=names,
        domain=domain,
        descriptions=described,
        templates=options.templates(templates),
    ).fit()
    _answer(shown, classifier.classify(sources, top_k=top_k), classifier, json)


def _answer(
    names: Sequence[str], predictions: "Sequence[Prediction]", classifier: "FewShotClassifier", json: bool
) -> None:
    answer_predictions(
        names,
        predictions,
        version=sha256(classifier.head_.to_bytes()).hexdigest()[:12],
        encoder=str(getattr(classifier.encoder, "name", classifier.encoder)),
        json=json,
    )

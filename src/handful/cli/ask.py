"""Commands that ask: classify, zero-shot."""

import sys
from collections.abc import Sequence
from hashlib import sha256
from typing import TYPE_CHECKING, Annotated

import typer

from handful.cli import options
from handful.cli.pictures import named_pictures
from handful.cli.terminal import answer_json, answer_table

if TYPE_CHECKING:
    from handful.classifier import FewShotClassifier, Prediction


_NEIGHBOURS = 3  # shots named beside an answer; JSON has all


def classify(
    model: options.Model,
    pictures: options.Pictures,
    top_k: options.TopK = 5,
    explain: options.Explain = False,
    coverage: options.Coverage = None,
    json: options.Json = False,
) -> None:
    """Say what is on pictures, how sure that is, and whether they are of any of the classes.

    [dim]$ handful classify parts.model new/*.jpg --json | jq -r '.predictions[] | [.label, .unknown] |
    @tsv'[/dim]
    """
    from handful.classifier import load

    names, sources = named_pictures(pictures)
    classifier = load(model)
    predictions = classifier.classify(sources, top_k=top_k, coverage=coverage, explain=explain)
    _answer(names, predictions, classifier, json)


def zero_shot(
    pictures: options.Pictures,
    labels: Annotated[str, typer.Option(help="Names of classes, between commas.", show_default=False)],
    domain: options.Domain = None,
    describe: options.Describe = None,
    templates: options.Templates = "photo",
    encoder: options.EncoderName = "builtin",
    top_k: options.TopK = 5,
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
    if json:
        answer_json(
            {
                "predictions": [
                    {**prediction.as_dict(), "picture": name}
                    for name, prediction in zip(names, predictions, strict=True)
                ],
                "version": sha256(classifier.head_.to_bytes()).hexdigest()[:12],
                "encoder": str(getattr(classifier.encoder, "name", classifier.encoder)),
            }
        )
        return
    terminal = sys.stdout.isatty()
    header = ["picture", "answer", "probability", "known", "", "others"]
    if not terminal:
        header += ["because of", "set"]
    rows = []
    for name, prediction in zip(names, predictions, strict=True):
        others = ", ".join(f"{other.label} {other.probability:.0%}" for other in prediction.classes[1:3])
        near = prediction.neighbours or ()
        because = ", ".join(f"{shot.image} {shot.share:.0%}" for shot in near[:_NEIGHBOURS])
        covered = ", ".join(map(str, prediction.set or ()))
        row = [
            name,
            str(prediction.label),
            f"{prediction.probability:.1%}",
            f"{prediction.known:.3f}",
            "unknown?" if prediction.unknown else "",
        ]
        if terminal:
            lines = [others, because and f"because of {because}", covered and f"one of {covered}"]
            rows.append([*row, "\n".join(line for line in lines if line)])
        else:
            rows.append([*row, others, because, covered])
    answer_table(header, rows, right=[2, 3])

"""The command that judges: evaluate."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from handful.cli import options
from handful.cli.measures import SAID
from handful.cli.parts import show_parts
from handful.cli.terminal import answer_json, answer_table, progress, say
from handful.cli.views import show_views

if TYPE_CHECKING:
    from handful.classifier import FewShotClassifier
    from handful.datasets import Dataset
    from handful.evaluation import Evaluation
    from handful.images import ImageSource

    Pictures = list[ImageSource | None]

ALL = "all"  # policies that are worth a comparison
_MISTAKES = 8  # listed in a terminal; the report shows them


def evaluate(
    source: Annotated[
        Path,
        typer.Argument(
            metavar="FOLDER|CSV|MODEL",
            help="Pictures of classes to learn and be asked in turn, or a saved classifier.",
            show_default=False,
        ),
    ],
    test: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER|CSV", help="With a MODEL: other labelled pictures to ask it."),
    ] = None,
    shots: Annotated[
        str | None,
        typer.Option(
            help="Shots per class of the learning curve; 0 is words alone. "
            "For pictures: 1,2,4,8,16; for a MODEL: none."
        ),
    ] = None,
    seeds: Annotated[int, typer.Option(min=2, help="Draws of shots at each point of the curve.")] = 20,
    method: options.Method = "auto",
    views: Annotated[
        str,
        typer.Option(
            help="Policy of views, as in `fit`; several between commas, or all, are compared by the shots "
            "left out."
        ),
    ] = "auto",
    domain: options.Domain = None,
    describe: options.Describe = None,
    templates: options.Templates = "photo",
    no_words: options.NoWords = False,
    encoder: options.EncoderName = "builtin",
    split: Annotated[str, typer.Option(help="The split to take: train, valid or test.")] = "train",
    html: Annotated[Path | None, typer.Option(metavar="FILE", help="Write a report to look at.")] = None,
    url: options.Url = None,
    json: options.Json = False,
) -> None:
    """Say how well classes are told apart, and what goes wrong, each figure with a 95 % interval.

    [dim]$ handful evaluate parts/ --html report.html[/dim]
    """
    if (address := options.address(url)) is not None:
        from handful.cli import served

        served.refuse(test=test, shots=shots, html=html, domain=domain, describe=describe)
        served.evaluate(address, str(source), [] if views == "auto" else policies(views, "auto"), json)
        return
    if html is not None and not html.absolute().parent.is_dir():
        raise typer.BadParameter(f"--html: there is no folder {str(html.absolute().parent)!r}; make it first")
    counts = options.numbers(shots, name="shots") if shots is not None else [1, 2, 4, 8, 16]
    saved = (source / "config.json").is_file()
    if test is not None and not saved:
        raise typer.BadParameter("--test asks a saved classifier; give a MODEL, or leave --test out")
    described = options.descriptions(describe)
    from handful.classifier import FewShotClassifier, load
    from handful.datasets import read_dataset

    if test is not None:
        found, pictures = _on_test(load(source), _noted(read_dataset(test, split=split)))
    elif saved:
        found, pictures = _saved(load(source), counts if shots is not None else [], seeds)
    else:
        classifiers = [
            FewShotClassifier(
                encoder,
                method,
                views=policy,
                domain=domain,
                descriptions=described,
                templates=options.templates(templates),
                use_text=not no_words,
            )
            for policy in policies(views, method)
        ]
        found, pictures = _folder(_noted(read_dataset(source, split=split)), classifiers, counts, seeds)
    if html is not None:
        from handful.report import write

        write(html, found, title=f"How well {source.absolute().name} is told apart", pictures=pictures)
        say(f"Report: {html}")
    if json:
        answer_json(found.as_dict())
    else:
        _print(found)


def policies(views: str, method: str) -> list[str]:
    """Those that --views names; several begin with the method's own. Misuse: a name of none."""
    from handful.augment import AUTO, POLICIES, policy_of
    from handful.evaluation.views import CANDIDATES, PLAIN

    named = [part.strip() for part in views.split(",")]
    for name in named:
        if name not in (ALL, AUTO, *POLICIES):
            raise typer.BadParameter(
                f"--views is {views!r}; name policies between commas, of {', '.join(POLICIES)}, or {ALL}"
            )
    if named == [AUTO]:
        return named
    some = [one for name in named for one in (CANDIDATES if name == ALL else [policy_of(name, method)])]
    return some if len(some) == 1 else list(dict.fromkeys([policy_of(AUTO, method), PLAIN, *some]))


def _noted(dataset: "Dataset") -> "Dataset":
    for note in dataset.notes:
        say(note)
    return dataset


def _folder(
    dataset: "Dataset", classifiers: "list[FewShotClassifier]", shots: list[int], seeds: int
) -> "tuple[Evaluation, Pictures]":
    from handful.errors import DatasetError
    from handful.evaluation import evaluate_classifier
    from handful.evaluation.views import compare_taught, seconds_of

    if len(dataset.counts) < 2:
        raise DatasetError(
            f"{dataset.source} holds one class, {dataset.class_names[0]!r}; "
            "telling apart takes two: add a folder for another"
        )
    lonely = [name for name, count in dataset.counts.items() if count < 2]
    if lonely:
        raise DatasetError(
            f"class {lonely[0]!r} has one picture ({len(lonely)} of {len(dataset.counts)} classes are so); "
            "evaluating takes two of each, one to show and one to ask: add one, or leave the class out"
        )
    for classifier in classifiers:
        classifier.fit(dataset.images, dataset.labels, dataset.groups)
    ours, *others = classifiers
    with progress("Teaching and asking") as told:
        found = evaluate_classifier(
            ours,
            shots=shots,
            seeds=seeds,
            rivals={f"views {rival.views}": rival for rival in others},
            progress=told,
        )
    if others:
        with progress("Comparing views") as told:
            compared = compare_taught(
                {one.views: one for one in classifiers},
                seconds=seconds_of(ours, dataset.images),
                progress=told,
            )
        why = {"views to choose": f"{compared.chosen}: {compared.why}"}
        found = replace(found, views=compared, settings={**found.settings, **why})
    return found, list(dataset.images)


def _saved(classifier: "FewShotClassifier", shots: list[int], seeds: int) -> "tuple[Evaluation, Pictures]":
    from handful.evaluation import evaluate_classifier

    with progress("Teaching and asking") as told:
        found = evaluate_classifier(classifier, shots=shots, seeds=seeds, progress=told)
    return found, [classifier.thumbnail(shot.id) for shot in classifier.shots_]


def _on_test(classifier: "FewShotClassifier", dataset: "Dataset") -> "tuple[Evaluation, Pictures]":
    from handful.evaluation import evaluate_on

    shown = [classifier.thumbnail(shot.id) for shot in classifier.shots_]
    labels = {str(label) for label in classifier.classes_}
    asked = [
        image for image, label in zip(dataset.images, dataset.labels, strict=True) if str(label) in labels
    ]
    return evaluate_on(classifier, dataset.images, dataset.labels), [*shown, *asked]


def _print(found: "Evaluation") -> None:
    from handful.report.plots import shots_text

    curve = found.curve
    if curve is not None:
        for measure, name in SAID.items():
            spec = ".2f" if measure == "nll" else ".1%"
            rows = [
                [contender, *(f"{curve.estimate(contender, k, measure):{spec}}" for k in curve.shots)]
                for contender in curve.contenders
            ]
            if any(cell != "–" for row in rows for cell in row[1:]):
                header = [name, *map(shots_text, curve.shots)]
                answer_table(header, rows, right=range(1, len(header)))
    held_out = found.held_out
    rows = [
        [SAID[measure], f"{estimate:{'.2f' if measure == 'nll' else '.1%'}}"]
        for measure, estimate in held_out.estimates.items()
    ]
    answer_table([f"{held_out.judged.sum()} pictures asked", ""], rows, right=[1])
    say(found.how)
    if found.parts is not None:
        show_parts(found.parts.as_dict())
    if found.views is not None:
        show_views(found.views.as_dict())
    names = found.class_names
    wrong = [
        [
            found.picture_names[row],
            names[held_out.y[row]],
            names[held_out.answers[row]],
            f"{held_out.probabilities[row, held_out.answers[row]]:.0%}",
        ]
        for row in held_out.mistakes[:_MISTAKES]
    ]
    if wrong:
        answer_table(["surest mistakes", "labelled", "answered", ""], wrong, right=[3])

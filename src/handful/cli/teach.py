"""Commands that teach: fit, add, remove."""

from pathlib import Path
from typing import Annotated

import typer

from handful.cli import options
from handful.cli.pictures import named_pictures
from handful.cli.terminal import answer_json, confirm, progress, say
from handful.cli.views import CHOOSE, show_views


def fit(
    source: Annotated[
        Path,
        typer.Argument(
            metavar="FOLDER|CSV",
            help="A folder with a folder per class, or a CSV of path,label.",
            show_default=False,
        ),
    ],
    output: Annotated[
        Path,
        typer.Option(
            "--output",
            "-o",
            metavar="MODEL",
            help="Folder to keep the classifier in; with --url its name in the service.",
        ),
    ],
    method: options.Method = "auto",
    views: options.Views = "auto",
    domain: options.Domain = None,
    describe: options.Describe = None,
    templates: options.Templates = "photo",
    no_words: options.NoWords = False,
    encoder: options.EncoderName = "builtin",
    split: Annotated[str, typer.Option(help="The split to learn: train, valid or test.")] = "train",
    unknown_threshold: Annotated[
        float, typer.Option(min=0, max=1, help="Pictures less known than this are called unknown.")
    ] = 0.05,
    no_thumbnails: Annotated[
        bool, typer.Option("--no-thumbnails", help="Keep no small copies of the shots.")
    ] = False,
    url: options.Url = None,
    json: options.Json = False,
    yes: options.Yes = False,
) -> None:
    """Teach a classifier the pictures of a folder, and save it.

    [dim]$ handful fit parts/ -o parts.model[/dim]
    """
    described = options.descriptions(describe)
    if (address := options.address(url)) is not None:
        from handful.cli import served

        served.refuse(no_thumbnails=no_thumbnails or None)
        served.fit(
            address,
            source,
            str(output),
            split=split,
            described=described,
            method=method,
            json=json,
            yes=yes,
            views=views,
            domain=domain,
            templates=options.templates(templates),
            use_text=not no_words,
            encoder=encoder if encoder != "builtin" else None,
            unknown_threshold=unknown_threshold,
        )
        return
    if output.exists() and (not output.is_dir() or any(output.iterdir())):
        confirm(f"{output} exists; replace it?", yes=yes, otherwise="name another folder")
    from handful.classifier import FewShotClassifier
    from handful.datasets import read_dataset

    dataset = read_dataset(source, split=split)
    for note in dataset.notes:
        say(note)
    classifier = FewShotClassifier(
        encoder,
        method,
        views="auto" if views == CHOOSE else views,
        domain=domain,
        descriptions=described,
        templates=options.templates(templates),
        use_text=not no_words,
        unknown_threshold=unknown_threshold,
    )
    compared = None
    if views == CHOOSE:
        from handful.evaluation import choose_views

        with progress("Comparing views") as told:
            compared = choose_views(
                classifier, dataset.images, dataset.labels, dataset.groups, progress=told
            ).as_dict()
        classifier.set_params(views=compared["chosen"])
    classifier.fit(dataset.images, dataset.labels, dataset.groups)
    classifier.save(output, thumbnails=not no_thumbnails)
    counts = {str(label): count for label, count in dataset.counts.items()}
    if json:
        said = {"model": str(output), "method": method, "encoder": encoder, "classes": counts}
        answer_json(said if compared is None else {**said, "views": compared})
        return
    if compared is not None:
        show_views(compared)
    typer.echo(f"{output}: {len(counts)} classes, {len(dataset)} shots")
    say(f"Ask it:   handful classify {output} PICTURE…\nJudge it: handful evaluate {output}")


def add(
    model: options.Model,
    label: Annotated[
        str, typer.Argument(help="Class of the pictures; a new one is made.", show_default=False)
    ],
    pictures: options.Pictures,
    url: options.Url = None,
    json: options.Json = False,
) -> None:
    """Teach a saved classifier more pictures of a class. It replaces the saved one as a whole."""
    names, sources = named_pictures(pictures)
    if (address := options.address(url)) is not None:
        from handful.cli import served

        served.add(address, str(model), label, names, sources, json)
        return
    from handful.classifier import load

    classifier = load(model)
    before = {shot.id for shot in classifier.shots_}
    classifier.partial_fit(sources, [_own_kind(label, classifier.classes_.dtype.kind)] * len(sources))
    classifier.save(model)
    added = [shot.id for shot in classifier.shots_ if shot.id not in before]
    if json:
        answer_json(
            {
                "shots": [
                    {"id": shot, "label": label, "picture": n} for shot, n in zip(added, names, strict=True)
                ]
            }
        )
        return
    for shot, name in zip(added, names, strict=True):
        typer.echo(f"{shot}\t{label}\t{name}")
    say(f"{model} now holds {len(classifier.shots_)} shots of {len(classifier.classes_)} classes")


def remove(
    model: options.Model,
    shots: Annotated[
        list[str],
        typer.Argument(help="Ids of shots, as `handful info MODEL --shots` lists them.", show_default=False),
    ],
    url: options.Url = None,
    dry_run: options.DryRun = False,
    json: options.Json = False,
    yes: options.Yes = False,
) -> None:
    """Let a saved classifier forget shots, as if it had never seen them."""
    if (address := options.address(url)) is not None:
        from handful.cli import served

        served.remove(address, str(model), shots, json, yes, dry_run)
        return
    from handful.classifier import load

    classifier = load(model)
    confirm(
        f"Forget {len(shots)} of {len(classifier.shots_)} shots of {model}?",
        yes=yes or dry_run,
        otherwise="leave it as it is",
    )
    classifier.forget(shots)
    if not dry_run:
        classifier.save(model)
    if json:
        said = {"removed": shots, "shots": len(classifier.shots_)}
        answer_json({**said, "dry_run": True} if dry_run else said)
        return
    would = "would hold " if dry_run else ""
    typer.echo(f"{model}: {would}{len(classifier.classes_)} classes, {len(classifier.shots_)} shots")


def _own_kind(label: str, kind: str) -> str | int:
    """The label as the classifier's labels are: numbers where they are numbers."""
    return int(label) if kind in "iuf" and label.lstrip("-").isdigit() else label

"""The commands as a service does them: `--url`, or HANDFUL_URL."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from math import nan
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from handful.cli.measures import SAID
from handful.cli.parts import show_parts
from handful.cli.predictions import answer_predictions
from handful.cli.terminal import answer_json, answer_table, confirm, progress, say
from handful.cli.views import CHOOSE, show_views
from handful.client import Classifier, Client, Job
from handful.client.answers import as_json
from handful.errors import ClientError, HandfulError

if TYPE_CHECKING:
    from handful.datasets import Dataset
    from handful.images import ImageSource
    from handful.prediction import Prediction

_TRAINED = ("tip-f", "clip-adapter")  # methods whose head a job makes
_SHOWN = 8  # mistakes and suspects in a terminal; JSON has all


def refuse(**given: object) -> None:
    """Misuse: an option that a service has no use for."""
    for name, value in given.items():
        if value is not None:
            option = f"--{name.replace('_', '-')}"
            raise typer.BadParameter(f"{option} is for files, not for a service; leave it out, or --url")


def fit(
    url: str,
    source: Path,
    name: str,
    *,
    split: str,
    described: Mapping[Any, Sequence[str]] | None,  # Any: as FewShotClassifier takes it
    method: str,
    json: bool,
    yes: bool,
    **settings: Any,  # Any: of `create_classifier`
) -> None:
    from handful.datasets import read_dataset

    dataset = read_dataset(source, split=split)
    for note in dataset.notes:
        say(note)
    with Client(url) as client:
        old = _of_that_name(client, name)
        if old is not None:
            confirm(f"The service has a classifier {name}; replace it?", yes=yes, otherwise="choose a name")
        choosing = settings["views"] == CHOOSE
        if choosing:
            settings["views"] = "auto"
        made = client.create_classifier(
            name, method=method, classes=_classes(dataset, described or {}, settings), **settings
        )
        try:
            with progress("Teaching") as told:
                client.add_shots(
                    made.id,
                    dataset.images,
                    [str(label) for label in dataset.labels],
                    groups=None if dataset.groups is None else [str(group) for group in dataset.groups],
                    progress=told,
                )
            if choosing:
                done = _done(client, client.change_views(made.id, CHOOSE), "Comparing views")
                if not json:
                    show_views((done.result or {})["compared"])
            if method in _TRAINED:
                _done(client, client.train(made.id, method), "Training")
        except BaseException:
            with suppress(HandfulError):  # what went wrong first is what is said
                client.delete_classifier(made.id)
            raise
        if old is not None:
            client.delete_classifier(old)
        made = client.classifier(made.id)
    if json:
        answer_json(as_json(made))
        return
    typer.echo(f"{name}: {made.class_count} classes, {made.shots} shots, {made.id}")
    say(f"Ask it:   handful classify {made.id} PICTURE… --url {url}")


def classify(
    url: str,
    model: str,
    names: Sequence[str],
    sources: "Sequence[ImageSource]",
    top_k: int,
    coverage: float | None,
    explain: bool,
    views: str,
    json: bool,
) -> None:
    with Client(url) as client, progress("Asking") as told:
        id = client.find_classifier(model).id
        said = client.classify(
            id, sources, top_k=top_k, coverage=coverage, explain=explain, views=views, progress=told
        )
    shown = said.predictions if json else [_by_shots(one) for one in said.predictions]
    answer_predictions(names, shown, version=said.version, encoder=said.encoder, json=json)


def zero_shot(
    url: str,
    labels: Sequence[str],
    names: Sequence[str],
    sources: "Sequence[ImageSource]",
    templates: str,
    top_k: int,
    json: bool,
) -> None:
    with Client(url) as client, progress("Asking") as told:
        said = client.zero_shot(labels, sources, templates=templates, top_k=top_k, progress=told)
    answer_predictions(names, said.predictions, version=said.version, encoder=said.encoder, json=json)


def add(
    url: str, model: str, label: str, names: Sequence[str], sources: "Sequence[ImageSource]", json: bool
) -> None:
    with Client(url) as client:
        found = client.find_classifier(model)
        with progress("Teaching") as told:
            shots = client.add_shots(found.id, sources, label, progress=told)
        now = client.classifier(found.id)
    if json:
        answer_json(
            {"shots": [{**as_json(shot), "picture": name} for shot, name in zip(shots, names, strict=True)]}
        )
        return
    for shot, name in zip(shots, names, strict=True):
        typer.echo(f"{shot.id}\t{shot.label}\t{name}")
    say(f"{model} now holds {now.shots} shots of {now.class_count} classes")
    if now.stale:
        say("The head that answers was trained before them, and counts them when it is trained again")


def remove(url: str, model: str, shots: Sequence[str], json: bool, yes: bool, dry_run: bool) -> None:
    with Client(url) as client:
        found = client.find_classifier(model)
        if dry_run:
            _would_remove(client, found, model, shots, json)
            return
        question = f"Forget {len(shots)} of {found.shots} shots of {model}?"
        confirm(question, yes=yes, otherwise="leave it as it is")
        for shot in shots:
            client.delete_shot(found.id, shot)
        now = client.classifier(found.id)
    if json:
        answer_json({"removed": list(shots), "shots": now.shots})
        return
    typer.echo(f"{model}: {now.class_count} classes, {now.shots} shots")


def _would_remove(
    client: Client, classifier: Classifier, model: str, shots: Sequence[str], json: bool
) -> None:
    missing = set(shots)
    for shot in client.shots(classifier.id):
        missing.discard(shot.id)
        if not missing:
            break
    if missing:
        raise ClientError(f"{model} has no shot {min(missing)!r}; list them with --shots", status=404)
    left = classifier.shots - len(set(shots))
    if json:
        answer_json({"removed": list(shots), "shots": left, "dry_run": True})
        return
    typer.echo(f"{model}: would hold {classifier.class_count} classes, {left} shots")


def info(url: str, model: str, shots: bool, json: bool) -> None:
    with Client(url) as client:
        found = client.find_classifier(model)
        classes = list(client.classes(found.id))
        listed = list(client.shots(found.id)) if shots else []
    if json:
        answer = {**as_json(found), "classes": [as_json(one) for one in classes]}
        answer_json({**answer, "items": [as_json(shot) for shot in listed]} if shots else answer)
        return
    if shots:
        answer_table(
            ["shot", "class", "picture"], [[shot.id, shot.label, shot.source_id or ""] for shot in listed]
        )
        return
    for name, value in as_json(found).items():
        if name not in ("classes", "etag"):
            say(f"{name.replace('_', ' ')}: {value}", style="")
    answer_table(["class", "shots"], [[one.name, str(one.shots)] for one in classes], right=[1])


def evaluate(url: str, model: str, views: Sequence[str], json: bool) -> None:
    with Client(url) as client:
        found = client.find_classifier(model)
        done = _done(client, client.evaluate(found.id, views=views or None), "Asking")
    said = done.result or {}
    if json:
        answer_json(said)
        return
    answer_table([f"{said['judged']} pictures asked", ""], _estimates(said), right=[1])
    for title, key in (("surest mistakes", "mistakes"), ("look mislabelled", "suspects")):
        wrong = [[one["shot"], one["label"], one["answer"], f"{one['probability']:.0%}"] for one in said[key]]
        if wrong:
            answer_table([title, "labelled", "answered", ""], wrong[:_SHOWN], right=[3])
    if said.get("parts") is not None:
        show_parts(said["parts"])
    if "views" in said:
        show_views(said["views"])


def _of_that_name(client: Client, name: str) -> str | None:
    try:
        return client.find_classifier(name).id
    except ClientError as exc:
        if exc.status != 404:
            raise
        return None


def _classes(
    dataset: "Dataset",
    described: Mapping[Any, Sequence[str]],  # Any: as FewShotClassifier takes it
    settings: Mapping[str, Any],  # Any: of `create_classifier`
) -> list[dict[str, Any]]:  # Any: JSON of a class
    """A class for each label; one with several sentences has the prompts that a saved classifier would."""
    import numpy as np

    from handful.class_texts import prompts_of

    labels = list(dict.fromkeys(str(label) for label in dataset.labels))
    prompts = prompts_of(
        np.asarray(labels),
        templates=settings["templates"],
        domain=settings["domain"],
        descriptions=described,
    )
    classes: list[dict[str, Any]] = []
    for label, own in zip(labels, prompts, strict=True):
        match list(described.get(label, ())):
            case []:
                classes.append({"name": label})
            case [sentence]:
                classes.append({"name": label, "description": sentence})
            case _:
                classes.append({"name": label, "prompts": list(own)})
    return classes


def _by_shots(prediction: "Prediction") -> "Prediction":
    """For people: neighbours by the ids of shots, in place of paths in the service."""
    near = prediction.neighbours
    if near is None:
        return prediction
    return replace(prediction, neighbours=tuple(replace(shot, image=shot.shot) for shot in near))


def _done(client: Client, job: Job, what: str) -> Job:
    with progress(what) as told:
        return client.wait(job, progress=told)


def _estimates(said: Mapping[str, Any]) -> list[tuple[str, str]]:  # Any: JSON
    """Measures with their intervals, in words."""
    from handful.evaluation.metrics import Estimate

    found = {name: one for name, one in said.items() if isinstance(one, dict) and "low" in one}
    return [
        (
            SAID.get(name, name),
            format(
                Estimate(*(nan if one[part] is None else one[part] for part in ("value", "low", "high"))),
                ".2f" if name == "nll" else ".1%",
            ),
        )
        for name, one in found.items()
    ]

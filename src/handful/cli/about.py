"""Commands about what is there: info, doctor."""

import platform
import sys
from typing import Annotated

import typer

from handful import __version__
from handful.cli import options
from handful.cli.terminal import answer_json, answer_table, say

_EXTRAS = {  # extra → a module it installs, and what it is for
    "heic": ("pi_heif", "HEIC pictures"),
    "eval": ("sklearn", "logistic regression and other references in evaluations"),
}


def info(
    model: options.Model,
    shots: Annotated[bool, typer.Option("--shots", help="List every shot with its id.")] = False,
    url: options.Url = None,
    json: options.Json = False,
) -> None:
    """Say what a saved classifier knows and how it was made."""
    if (address := options.address(url)) is not None:
        from handful.cli import served

        served.info(address, str(model), shots, json)
        return
    from collections import Counter

    from handful.classifier import load
    from handful.evaluation import settings_of

    classifier = load(model)
    counts = Counter(str(shot.label) for shot in classifier.shots_)
    settings = settings_of(classifier)
    if json:
        answer = {
            "model": str(model),
            "classes": [{"name": str(label), "shots": counts[str(label)]} for label in classifier.classes_],
            "settings": settings,
        }
        if shots:
            answer["shots"] = [
                {"id": shot.id, "label": str(shot.label), "source": shot.source, "sha256": shot.sha256}
                for shot in classifier.shots_
            ]
        answer_json(answer)
        return
    if shots:
        rows = [[shot.id, str(shot.label), shot.source] for shot in classifier.shots_]
        answer_table(["shot", "class", "picture"], rows)
        return
    for name, value in settings.items():
        say(f"{name}: {value}", style="")
    answer_table(
        ["class", "shots"],
        [[str(label), str(counts[str(label)])] for label in classifier.classes_],
        right=[1],
    )


def doctor(json: options.Json = False) -> None:
    """Check what is installed, what is missing, and say what to do. Exits with 1 if something is broken."""
    from importlib.util import find_spec

    checks = [_python(), _runtime(), _encoder(), _cache()]
    checks += [
        (f"extra {extra}", True, "installed")
        if find_spec(module)
        else (f"extra {extra}", None, f"not installed ({what}): pip install 'handful[{extra}]'")
        for extra, (module, what) in _EXTRAS.items()
    ]
    if json:
        answer_json(
            {"checks": [{"name": name, "ok": ok is not False, "found": found} for name, ok, found in checks]}
        )
    else:
        signs = {True: "ok", False: "broken", None: "optional"}
        answer_table(["check", "", "found"], [[name, signs[ok], found] for name, ok, found in checks])
    if any(ok is False for _, ok, _ in checks):
        raise typer.Exit(1)


_Check = tuple[str, bool | None, str]  # what, whether it is in order (None: optional), what was found


def _python() -> _Check:
    return "handful", True, f"{__version__} on Python {platform.python_version()}, {platform.machine()}"


def _runtime() -> _Check:
    from handful.encoders.session import onnx_runtime

    try:
        onnxruntime = onnx_runtime()
    except ImportError as exc:
        return (
            "onnxruntime",
            False,
            f"{exc}; reinstall it: {sys.executable} -m pip install --force-reinstall onnxruntime",
        )
    return (
        "onnxruntime",
        True,
        f"{onnxruntime.__version__}: {', '.join(onnxruntime.get_available_providers())}",
    )


def _encoder() -> _Check:
    import numpy as np

    from handful.encoders import load_encoder
    from handful.errors import HandfulError

    try:
        encoder = load_encoder("builtin")
        encoder.encode_images([np.zeros((8, 8, 3), np.uint8)])
        encoder.encode_texts(["a photo of anything"])
    except (HandfulError, OSError, ImportError) as exc:
        return "builtin encoder", False, f"{exc}; reinstall handful"
    return "builtin encoder", True, f"{encoder.dimension} columns, fingerprint {encoder.fingerprint}"


def _cache() -> _Check:
    import os

    from handful.settings import Settings

    folder = Settings().cache_dir
    place = folder
    while not place.exists():
        place = place.parent
    if place.is_dir() and os.access(place, os.W_OK):
        return "embedding cache", True, str(folder)
    return (
        "embedding cache",
        False,
        f"{folder} cannot be written to; set HANDFUL_CACHE_DIR to a folder that can",
    )

"""Options that several commands share, and how their values are read."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer

Model = Annotated[
    Path,
    typer.Argument(
        help="A classifier that `handful fit` saved; with --url the id or name of one of the service.",
        show_default=False,
    ),
]
Url = Annotated[
    str | None,
    typer.Option(
        metavar="URL",
        help="Ask the service at this address, by default HANDFUL_URL; its key is in HANDFUL_API_KEY.",
        show_default=False,
    ),
]
Pictures = Annotated[
    list[str],
    typer.Argument(help="Pictures, folders of pictures, or - for one on standard input.", show_default=False),
]
Data = Annotated[
    Path | None, typer.Option(help="Folder of all that is kept.", show_default="a folder of the user")
]
Store = Annotated[
    str | None,
    typer.Option(help="Store, as sqlite:///FILE or redis://HOST.", show_default="a file in the data folder"),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON, as the HTTP service answers.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Check everything, and write nothing.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Agree to whatever would be asked.")]
EncoderName = Annotated[str, typer.Option("--encoder", help="What sees; see `handful encoders list`.")]
Method = Annotated[
    str,
    typer.Option(
        help="How it learns: auto, lda, prototype, proker, tip, tip-f, clip-adapter or zero-shot.",
    ),
]
Views = Annotated[
    str,
    typer.Option(
        help="Augmented copies of each shot: auto, none, flip, five, standard, strong, "
        "orientation-matters, colour-matters, or choose: what the shots, left out in turn, surely prefer.",
    ),
]
Domain = Annotated[
    str | None, typer.Option(help="What the classes are kinds of, such as 'pastry'; helps their words.")
]
Describe = Annotated[
    list[str] | None,
    typer.Option(
        help="NAME=SENTENCE about a class, as often as you like; or a JSON file {name: sentence or list}.",
        metavar="NAME=TEXT",
    ),
]
Templates = Annotated[
    str, typer.Option(help="Prompts: photo, plain, or your own with one {}, such as 'an x-ray of {}'.")
]
NoWords = Annotated[
    bool,
    typer.Option("--no-words", help="Class names say nothing, as with 'type A': learn from pictures only."),
]
TopK = Annotated[int, typer.Option(min=1, max=1000, help="Classes in each answer.")]
AskedViews = Annotated[
    str,
    typer.Option(
        "--views",
        help="Answer by several views of each picture, each as long as one: none, flip (2) or five (5).",
    ),
]
Explain = Annotated[bool, typer.Option("--explain", help="Add the shots that speak for each answer.")]
Coverage = Annotated[
    float | None,
    typer.Option(min=0, max=1, help="Add the classes that hold the truth this often, such as 0.9."),
]


def address(url: str | None) -> str | None:
    """Where the service is that was asked for; None where files are."""
    if url is not None:
        return url
    from handful.settings import ClientSettings

    return ClientSettings().url


def descriptions(
    given: list[str] | None,
) -> dict[Any, list[str]] | None:  # Any: as FewShotClassifier takes it
    """Sentences by class. Misuse: text without '=' that is no file, and a file that is no such JSON."""
    if not given:
        return None
    found: dict[Any, list[str]] = {}
    for text in given:
        name, equals, sentence = text.partition("=")
        if equals:
            if not name.strip() or not sentence.strip():
                raise typer.BadParameter(f"--describe {text!r}: write NAME=SENTENCE, both of them")
            found.setdefault(name.strip(), []).append(sentence.strip())
            continue
        for label, sentences in _from_file(Path(text)).items():
            found.setdefault(label, []).extend(sentences)
    return found


def _from_file(path: Path) -> dict[str, list[str]]:
    wanted = 'write NAME=SENTENCE, or name a JSON file such as {"dent": ["a shallow hollow"]}'
    try:
        said = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise typer.BadParameter(
            f"--describe {str(path)!r} is neither NAME=SENTENCE nor a file; {wanted}"
        ) from None
    except (ValueError, OSError) as exc:
        raise typer.BadParameter(f"--describe {str(path)!r} cannot be read ({exc}); {wanted}") from None
    if not isinstance(said, dict):
        raise typer.BadParameter(f"{path} holds no names with sentences; {wanted}")
    found = {name: [text] if isinstance(text, str) else text for name, text in said.items()}
    for name, sentences in found.items():
        if not (isinstance(sentences, list) and all(isinstance(text, str) for text in sentences)):
            raise typer.BadParameter(f"{path} has something else than sentences for {name!r}; {wanted}")
    return found


def templates(given: str) -> str | list[str]:
    """A named set of templates, or the one written out."""
    return [given] if "{}" in given else given


def numbers(given: str, *, name: str) -> list[int]:
    """Whole numbers between commas; misuse for anything else."""
    try:
        found = [int(part) for part in given.split(",")]
    except ValueError:
        found = [-1]
    if min(found) < 0:
        raise typer.BadParameter(f"--{name} is {given!r}; write numbers between commas, such as 1,4,16")
    return found

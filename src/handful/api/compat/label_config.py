"""What a Label Studio project asks of a picture: its labeling configuration."""

from dataclasses import dataclass
from xml.etree import ElementTree

from handful.errors import RequestError

_LONGEST = 200_000  # characters


@dataclass(frozen=True, slots=True)
class Choice:
    """The control that takes a class.

    from_name, to_name : of the control and the picture.    key : of the picture in a task's data.
    """

    from_name: str
    to_name: str
    key: str


def choice_of(config: str, pointer: str) -> Choice:
    """The first `<Choices>` over an `<Image>`. Raises RequestError where there is none."""
    if len(config) > _LONGEST or "<!DOCTYPE" in config or "<!ENTITY" in config:
        raise RequestError("this labeling configuration is too long, or has a document type", pointer=pointer)
    try:
        root = ElementTree.fromstring(config)
    except ElementTree.ParseError as exc:
        raise RequestError(f"this labeling configuration is no XML: {exc}", pointer=pointer) from None
    images = {image.get("name", ""): image.get("value", "") for image in root.iter("Image")}
    for choices in root.iter("Choices"):
        to_name = choices.get("toName", "")
        if to_name in images and images[to_name].startswith("$"):
            return Choice(choices.get("name", ""), to_name, images[to_name].removeprefix("$"))
    raise RequestError(
        "this labeling configuration has no <Choices> whose toName is an <Image> with a value such as "
        '"$image"; choose the template "Image Classification"',
        pointer=pointer,
    )

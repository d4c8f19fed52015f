"""The encoders that Handful knows by name, with what one needs to choose among them."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """What stands in the list of encoders."""

    name: str
    title: str  # the models it is made of
    dimension: int  # columns of its rows
    image_side: int  # pixels the image tower looks at, square
    image_parameters: int
    text_parameters: int
    licence: str
    file_bytes: int  # of both towers
    imagenet_top1: float  # %, of the image tower with its trained classifier; 0-shot for dual encoders
    trained_on: str
    note: str  # one sentence: for what, and for what not


CATALOGUE = {
    entry.name: entry
    for entry in (
        Entry(
            name="builtin",
            title="EfficientNet-Lite2 + all-MiniLM-L6-v2",
            dimension=512,
            image_side=260,
            image_parameters=6_092_072,
            text_parameters=22_713_216,
            licence="Apache-2.0",
            file_bytes=38_000_000,
            imagenet_top1=77.6,
            trained_on="ImageNet-1k; a billion pairs of sentences",
            note="Inside the package, runs offline on any CPU; words work near ImageNet's 1,000 things only.",
        ),
    )
}

"""What the catalogue says of an encoder."""

from dataclasses import asdict, dataclass
from typing import Any, Literal

from handful.errors import EncoderError

Layout = Literal["package", "immich", "transformers.js"]

_BYTES = {"fp32": 4, "fp16": 2, "int8": 1}  # of a parameter


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """What stands in the list of encoders. None: not known; nothing is guessed."""

    name: str
    title: str  # the models it is made of
    dimension: int  # columns of its rows
    image_side: int  # pixels the image tower looks at, square
    image_parameters: int | None
    text_parameters: int | None
    licence: str
    warning: str | None = None  # where the licence forbids what users of Handful may want
    file_bytes: int | None = None  # of both towers, where they were weighed
    imagenet_top1: float | None  # %
    imagenet_source: str | None = None
    zero_shot: bool = True  # whether that is without a shot, or of a classifier trained on ImageNet
    trained_on: str
    note: str  # one sentence: for what, and for what not
    repository: str | None = None  # of a hub, with ONNX files that are read as they are
    revision: str | None = None  # None: the newest at the first fetch, and that one from then on
    layout: Layout | None = None  # of these files
    export: str | None = None  # what `handful encoders export` is told to make such files
    checked: str  # where the figures and the names are from

    @property
    def parameters(self) -> int | None:
        """Of both towers."""
        if self.image_parameters is None or self.text_parameters is None:
            return None
        return self.image_parameters + self.text_parameters

    def about_bytes(self, precision: str = "fp32") -> int | None:
        """Of both towers' files: as weighed, else as many as their parameters take."""
        if self.file_bytes is not None:
            return self.file_bytes
        return None if self.parameters is None else self.parameters * _BYTES[precision]

    @property
    def hub_id(self) -> str:
        """Where its files are: org/name, with @revision where one is pinned.

        Raises EncoderError where no hub is known to have them, with the command that makes them.
        """
        if self.repository is None:
            raise EncoderError(
                f"no ONNX files of {self.name} are known on a hub; make them where torch is installed: "
                f"handful encoders export {self.export} -o {self.name}"
            )
        return self.repository if self.revision is None else f"{self.repository}@{self.revision}"

    def as_dict(self) -> dict[str, Any]:  # Any: JSON
        """For JSON, with the reckoned figures."""
        return {**asdict(self), "parameters": self.parameters, "about_bytes": self.about_bytes()}

"""How encoders stand in a list."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from handful.encoders.entry import Entry

HEADER = [
    "name",
    "models",
    "columns",
    "parameters",
    "MB",
    "ImageNet top-1",
    "pictures/s here",
    "files",
    "licence",
]
NUMBERS = [2, 3, 4, 5, 6]
NOTES = (
    "ImageNet: without a shot, as the source says that `handful encoders info NAME` cites; "
    "* of a trained classifier.\n"
    "MB: in fp32; ~ reckoned from parameters. pictures/s: by `handful encoders benchmark NAME`.\n"
    "files: in the package, on a hub, here already, or to be made with `handful encoders export`.\n"
    "licence: ! it limits use; `handful encoders info NAME` says how."
)


class Order(StrEnum):
    """By what a list is sorted, the best first."""

    ACCURACY = "accuracy"
    SIZE = "size"
    SPEED = "speed"


class Precision(StrEnum):
    """Which of an encoder's files."""

    FP32 = "fp32"
    FP16 = "fp16"
    INT8 = "int8"


@dataclass(frozen=True, slots=True)
class Row:
    """An entry of the catalogue, and what was measured of it on this machine."""

    entry: "Entry"
    measured: dict[str, Any] | None  # Any: JSON
    here: bool  # whether its files were fetched

    @property
    def files(self) -> str:
        """How one comes by them."""
        if self.entry.layout == "package":
            return "package"
        if self.here:
            return "here"
        return "hub" if self.entry.repository is not None else "export"

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {**self.entry.as_dict(), "measured": self.measured, "here": self.here}

    def cells(self) -> list[str]:
        """For a table; empty where something is not known."""
        entry, size = self.entry, self.entry.about_bytes()
        speed = None if self.measured is None else self.measured.get("pictures_per_second")
        return [
            entry.name,
            entry.title,
            str(entry.dimension),
            "" if entry.parameters is None else f"{entry.parameters / 1e6:.0f} M",
            "" if size is None else f"{'' if entry.file_bytes else '~'}{size / 1e6:.0f}",
            ""
            if entry.imagenet_top1 is None
            else f"{entry.imagenet_top1:.1f}%{'' if entry.zero_shot else '*'}",
            "" if speed is None else f"{speed:.1f}",
            self.files,
            entry.licence + (" !" if entry.warning else ""),
        ]

    def rank(self, order: Order) -> float:
        """Smaller is better; infinite where it is not known."""
        found: float | None
        if order is Order.SIZE:
            found = self.entry.about_bytes()
        elif order is Order.ACCURACY:
            top1 = self.entry.imagenet_top1 if self.entry.zero_shot else None
            found = None if top1 is None else -top1
        else:
            found = None if self.measured is None else -float(self.measured["pictures_per_second"])
        return float("inf") if found is None else found


def in_order(listed: Sequence[Row], order: Order | None) -> list[Row]:
    """Sorted; what is not known comes last."""
    return list(listed) if order is None else sorted(listed, key=lambda row: row.rank(order))


def rows() -> list[Row]:
    """Of the whole catalogue, as it stands. Nothing is loaded or fetched for it."""
    from handful.encoders import speeds
    from handful.encoders.catalogue import CATALOGUE
    from handful.encoders.hub import local
    from handful.settings import Settings

    settings = Settings()
    precision = settings.encoder_precision
    known = speeds.known(settings.cache_dir)
    return [
        Row(
            entry=entry,
            measured=known.get(speeds.key(entry.name, precision)),
            here=entry.repository is not None
            and local(entry.hub_id, settings=settings, precision=precision) is not None,
        )
        for entry in CATALOGUE.values()
    ]

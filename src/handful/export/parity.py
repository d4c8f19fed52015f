"""An exported folder against the model in torch, from picture files and texts to rows."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from handful.encoders import load_encoder
from handful.errors import EncoderError
from handful.export import samples
from handful.export.model import TorchModel
from handful.settings import Settings

Precision = Literal["fp32", "fp16", "int8"]
LOWEST: dict[Precision, float] = {"fp32": 0.9999, "fp16": 0.999, "int8": 0.99}  # cosines that are allowed


@dataclass(frozen=True, slots=True, kw_only=True)
class Parity:
    """Cosines of a folder's rows with those of torch."""

    precision: Precision
    pictures: tuple[float, ...]
    texts: tuple[float, ...]

    @property
    def worst(self) -> float:
        """The lowest of all."""
        return min(*self.pictures, *self.texts)

    def check(self) -> None:
        """Raises EncoderError with the figures where a row is further from torch's than is allowed."""
        lowest = LOWEST[self.precision]
        if self.worst >= lowest:
            return
        raise EncoderError(
            f"the {self.precision} export does not agree with torch: of {len(self.pictures)} pictures "
            f"the lowest cosine is {min(self.pictures):.6f}, of {len(self.texts)} texts "
            f"{min(self.texts):.6f}, and {lowest} is needed; below it are {self._below(lowest)}. "
            "Nothing was written"
        )

    def _below(self, lowest: float) -> str:
        bad = [
            f"picture {place} ({cosine:.6f})"
            for place, cosine in enumerate(self.pictures, 1)
            if cosine < lowest
        ]
        bad += [
            f"{samples.TEXTS[place][:30]!r} ({cosine:.6f})"
            for place, cosine in enumerate(self.texts)
            if cosine < lowest
        ]
        return ", ".join(bad[:8]) + (" …" if len(bad) > 8 else "")


def compared(folder: Path, model: TorchModel, pictures: Sequence[bytes], precision: Precision) -> Parity:
    """Encode pictures and `samples.TEXTS` with Handful's encoder of that folder and with torch."""
    settings = Settings(encoder_precision=precision, encoder_providers=("CPUExecutionProvider",))
    encoder = load_encoder(str(folder), settings=settings, cached=False)
    ours = encoder.encode_images(list(pictures)), encoder.encode_texts(list(samples.TEXTS))
    theirs = (
        model.rows_of_pictures(samples.opened(pictures)).numpy(),
        model.rows_of_texts(samples.TEXTS).numpy(),
    )
    unload = getattr(encoder, "unload", None)
    if unload is not None:
        unload()
    of_pictures, of_texts = (
        tuple(float(cosine) for cosine in np.sum(a.astype(np.float64) * b, axis=1))
        for a, b in zip(ours, theirs, strict=True)
    )
    return Parity(precision=precision, pictures=of_pictures, texts=of_texts)

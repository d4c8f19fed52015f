"""Questions and answers over HTTP."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from handful.api.schemas.classifiers import In, Name, Templates
from handful.api.schemas.shots import Base64, shot_image
from handful.prediction import Prediction

PIXEL = (  # a picture for examples, 1 × 1
    "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAIAAACQd1PeAAAADElEQVR4nGP4z8AAAAMBAQDJ/pLvAAAA"
    "AElFTkSuQmCC"
)
TopK = Annotated[int, Field(ge=1, le=1000, description="classes in each answer")]
Coverage = Annotated[
    float | None, Field(gt=0, lt=1, description="adds the classes that hold the truth this often")
]
Explain = Annotated[
    bool | Annotated[int, Field(ge=0, le=100)],
    Field(description="adds the shots that speak for the answer: true for 5, or how many"),
]
AskedViews = Annotated[
    Literal["none", "flip", "five"],
    Field(
        description="answer by several views of each picture: itself and mirrored (flip, 2), or itself and "
        "its four corners (five, 5); each takes as long as a picture, and counts as one"
    ),
]


class OptionsIn(In):
    """How to answer."""

    top_k: TopK = 5
    coverage: Coverage = None
    explain: Explain = False
    views: AskedViews = "none"


class ClassifyIn(OptionsIn):
    """Pictures or embeddings to classify; one of the two."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "images": [PIXEL],
                "top_k": 3,
            }
        }
    )

    images: list[Base64] | None = None
    embeddings: Annotated[
        list[list[float]] | list[str] | str | None,
        Field(
            description="rows of D numbers, or base64 of little-endian float32, one text per row or for all"
        ),
    ] = None


class ZeroShotIn(In):
    """Labels and pictures; nothing is kept."""

    labels: Annotated[list[Name], Field(min_length=1, max_length=10_000)]
    images: Annotated[list[Base64], Field(min_length=1)]
    templates: Templates = "photo"
    encoder: Annotated[str | None, Field(max_length=200)] = None
    top_k: TopK = 5


class ClassProbabilityOut(BaseModel):
    """A class and how probable it is."""

    label: str
    probability: float


class NeighbourOut(BaseModel):
    """A shot that speaks for the answer.    share : its part, 0 to 1."""

    shot: str
    label: str
    share: float
    image: str | None


class PredictionOut(BaseModel):
    """What is said of one picture."""

    label: str
    probability: float
    known: Annotated[float, Field(description="p-value of 'it belongs to one of the classes'")]
    unknown: bool
    classes: list[ClassProbabilityOut]
    neighbours: list[NeighbourOut] | None = None
    set: list[str] | None = None


class AnswerOut(BaseModel):
    """What is said of each picture, in order."""

    predictions: list[PredictionOut]
    version: Annotated[int, Field(description="of the head that answered; 0 for words alone")]
    encoder: str


class SuggestionOut(BaseModel):
    """A picture to label.    index : its place in the request."""

    index: int
    score: float
    reason: str


class SuggestionsOut(BaseModel):
    """All pictures, those first whose label would teach most."""

    items: list[SuggestionOut]


def said(classifier: str | None, prediction: Prediction) -> dict[str, Any]:
    """A prediction as JSON, its neighbours with links.    (Any: JSON.)

    Not by way of the models above: this is made a thousand times a second.
    """
    told = prediction.as_dict()
    for near in told.get("neighbours", ()):
        near["image"] = shot_image(str(classifier), near["shot"]) + "?size=256" if near["image"] else None
    return told

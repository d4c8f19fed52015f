"""What Label Studio sends to a backend, and what it reads."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from handful.api.schemas.answers import PIXEL

_MOST_TASKS = 256
_LARGEST_ANNOTATION = 2**35 - 1  # that ids of shots tell apart
_CONFIG = (
    '<View><Image name="image" value="$image"/>'
    '<Choices name="choice" toName="image"><Choice value="dent"/></Choices></View>'
)


class _Body(BaseModel):
    """Label Studio sends more than is read here."""

    model_config = ConfigDict(extra="ignore")


class LsTask(_Body):
    """A picture to label."""

    id: int | str | None = None
    data: dict[str, Any]  # Any: JSON, as people import it


class LsSetupIn(_Body):
    """A project that is connected."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "project": "1.1700000000",
                "schema": _CONFIG,
            }
        }
    )

    label_config: Annotated[str, Field(alias="schema", description="the labeling configuration")]


class LsPredictIn(_Body):
    """Tasks to say something of."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {"tasks": [{"id": 1, "data": {"image": PIXEL}}], "label_config": _CONFIG}
        }
    )

    tasks: Annotated[list[LsTask], Field(min_length=1, max_length=_MOST_TASKS)]
    label_config: str


class LsProject(_Body):
    """A project."""

    label_config: str | None = None


class LsAnnotation(_Body):
    """What somebody said of a task; a deleted one has its id alone."""

    id: Annotated[int, Field(ge=0, le=_LARGEST_ANNOTATION)]
    result: list[dict[str, Any]] = []  # Any: JSON of each kind of control
    was_cancelled: bool = False


class LsWebhookIn(_Body):
    """Something happened in a project. Actions about anything but annotations change nothing."""

    model_config = ConfigDict(
        json_schema_extra={"example": {"action": "ANNOTATIONS_DELETED", "annotations": [{"id": 17}]}}
    )

    action: str
    annotation: LsAnnotation | list[LsAnnotation] | None = None
    annotations: list[LsAnnotation] | None = None
    task: LsTask | list[LsTask] | None = None
    project: LsProject | None = None


class LsHealthOut(BaseModel):
    """It is up."""

    status: Literal["UP"] = "UP"
    model_class: str = "Handful"


class LsVersionOut(BaseModel):
    """The head that answers."""

    model_version: str


class LsPredictionOut(BaseModel):
    """What is said of a task.    score : probability of the class."""

    result: list[dict[str, Any]]  # Any: Label Studio's JSON
    score: float
    model_version: str


class LsPredictionsOut(BaseModel):
    """A prediction for each task, in order."""

    results: list[LsPredictionOut]


class LsShotOut(BaseModel):
    """What became of an annotation's shot."""

    annotation: int
    shot: str
    done: Literal["added", "moved", "removed", "nothing"]


class LsWebhookOut(BaseModel):
    """What became of the shots."""

    shots: list[LsShotOut]

"""Classifiers and their classes over HTTP."""

from datetime import datetime
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field

from handful.service.classes import NewClass
from handful.service.classifiers import UNSET, ClassifierPatch, ClassifierView, NewClassifier
from handful.service.removals import Removal
from handful.storage.records import ClassRecord

Name = Annotated[str, Field(min_length=1, max_length=200, description="no '/' and no control characters")]
Text = Annotated[str, Field(max_length=2000)]
Templates = Annotated[
    str | tuple[Annotated[str, Field(max_length=1000)], ...],
    Field(description="'photo', 'plain', or prompts with one {} for the class's name"),
]
Method = Annotated[
    str,
    Field(description="auto, lda, prototype, proker, tip, tip-f, clip-adapter or zero-shot", max_length=40),
]
Views = Annotated[
    str,
    Field(
        description="augmented copies of shots: auto, none, flip, five, standard, strong, "
        "orientation-matters or colour-matters",
        max_length=40,
    ),
]
Threshold = Annotated[
    float, Field(ge=0, le=1, description="p-value `known` under which an answer is unknown")
]


class In(BaseModel):
    """A body; members that are not known are refused."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)


class ClassIn(In):
    """A class to have, even without a shot."""

    name: Name
    description: Text | None = None
    prompts: Annotated[tuple[Text, ...], Field(max_length=200)] = ()

    def domain(self, pointer: str = "") -> NewClass:
        """For the use cases."""
        return NewClass(name=self.name, description=self.description, prompts=self.prompts, pointer=pointer)


class ClassBodyIn(In):
    """What the words of a class are."""

    description: Text | None = None
    prompts: Annotated[tuple[Text, ...], Field(max_length=200)] = ()


class ClassesIn(In):
    """Classes in bulk."""

    classes: Annotated[tuple[ClassIn, ...], Field(min_length=1, max_length=100_000)]

    model_config = ConfigDict(
        json_schema_extra={"example": {"classes": [{"name": "dent"}, {"name": "rust"}]}}
    )


class RenameIn(In):
    """A new name."""

    name: Name


class ClassifierIn(In):
    """A classifier to make."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "name": "parts",
                "domain": "metal part",
                "classes": [
                    {"name": "dent", "description": "a shallow hollow in the surface"},
                    {"name": "rust"},
                ],
            }
        }
    )

    name: Name
    encoder: Annotated[str | None, Field(max_length=200, description="see /v1/encoders")] = None
    method: Method = "auto"
    views: Views = "auto"
    domain: Annotated[str | None, Field(max_length=1000, description="what the classes are kinds of")] = None
    templates: Templates = "photo"
    use_text: Annotated[bool, Field(description="whether names and descriptions count")] = True
    unknown_threshold: Threshold = 0.05
    classes: Annotated[tuple[ClassIn, ...], Field(max_length=100_000)] = ()

    def domain_object(self) -> NewClassifier:
        """For the use cases."""
        told = self.model_dump(exclude={"classes"})
        classes = tuple(one.domain(f"/classes/{at}/name") for at, one in enumerate(self.classes))
        return NewClassifier(**told, classes=classes)


class ClassifierPatchIn(In):
    """What to change; setting `method` lets the closed-form head answer again."""

    model_config = ConfigDict(json_schema_extra={"example": {"name": "parts, line 2"}})

    name: Name | None = None
    method: Method | None = None
    views: Views | None = None
    domain: Annotated[str | None, Field(max_length=1000)] = None
    templates: Templates | None = None
    use_text: bool | None = None
    unknown_threshold: Threshold | None = None

    def domain_object(self) -> ClassifierPatch:
        """For the use cases. null leaves a member as it is, but empties `domain`."""
        given = {
            name: value
            for name in self.model_fields_set
            if (value := getattr(self, name)) is not None or name == "domain"
        }
        return ClassifierPatch(**given) if given else ClassifierPatch(name=UNSET)


class ClassOut(BaseModel):
    """A class."""

    name: str
    description: str | None
    prompts: list[str]
    shots: int

    @classmethod
    def of(cls, record: ClassRecord) -> Self:
        """From what the use cases give."""
        return cls(
            name=record.name,
            description=record.description,
            prompts=list(record.prompts),
            shots=record.shots,
        )


class ClassifierOut(BaseModel):
    """A classifier."""

    id: str
    name: str
    encoder: str
    method: str
    views: str
    domain: str | None
    templates: str | list[str]
    use_text: bool
    unknown_threshold: float
    class_count: int
    classes: Annotated[list[ClassOut], Field(description="the first 1,000")]
    shots: int
    support_version: Annotated[int, Field(description="rises with every write to classes, shots, settings")]
    head_version: Annotated[int, Field(description="of the head that answers")]
    stale: Annotated[bool, Field(description="the head that answers does not count the newest writes")]
    created: datetime
    updated: datetime

    @classmethod
    def of(cls, view: ClassifierView) -> Self:
        """From what the use cases give."""
        record = view.record
        return cls(
            id=record.id,
            name=record.name,
            encoder=record.encoder,
            method=record.method,
            views=record.views,
            domain=record.domain,
            templates=record.templates if isinstance(record.templates, str) else list(record.templates),
            use_text=record.use_text,
            unknown_threshold=record.unknown_threshold,
            class_count=record.class_count,
            classes=[ClassOut.of(one) for one in view.classes],
            shots=record.shot_count,
            support_version=record.support_version,
            head_version=record.head_version,
            stale=record.stale,
            created=record.created,
            updated=record.updated,
        )


class RemovalOut(BaseModel):
    """What a deletion would take with it."""

    classes: int
    shots: int
    image_bytes: Annotated[int, Field(description="of kept pictures")]
    versions: Annotated[int, Field(description="heads, as many as are listed")]

    @classmethod
    def of(cls, removal: Removal) -> Self:
        """From what the use cases give."""
        return cls(
            classes=removal.classes,
            shots=removal.shots,
            image_bytes=removal.image_bytes,
            versions=removal.versions,
        )


class ClassifiersOut(BaseModel):
    """A page of classifiers."""

    items: list[ClassifierOut]
    next_cursor: str | None


class ClassesOut(BaseModel):
    """A page of classes."""

    items: list[ClassOut]
    next_cursor: str | None

"""Label Studio: Handful as its machine-learning backend, at /label-studio/{classifier}.

An annotation is a shot: the shot's id follows from the annotation's, so that an edit moves it and a deletion
removes it, and what is sent twice counts once. The API key is the password of Basic authentication, which is
all that Label Studio can send to a backend; its webhooks may send it as any client does.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Annotated, TypeVar

from fastapi import APIRouter, Depends, Request, Security
from fastapi.security import HTTPBasic, HTTPBasicCredentials

from handful.api.bodies import images_of_text
from handful.api.compat.label_config import choice_of
from handful.api.compat.label_studio_schemas import (
    LsAnnotation,
    LsHealthOut,
    LsPredictIn,
    LsPredictionOut,
    LsPredictionsOut,
    LsProject,
    LsSetupIn,
    LsShotOut,
    LsTask,
    LsVersionOut,
    LsWebhookIn,
    LsWebhookOut,
)
from handful.api.deps import Caller, ServiceDep, admitted
from handful.api.fetching import fetch
from handful.api.problems import responses
from handful.errors import NotFoundError, RequestError
from handful.service.answers import Asked
from handful.service.new_shots import NewShot
from handful.service.service import Service
from handful.storage.ids import derived_id
from handful.storage.records import Scope

T = TypeVar("T")
router = APIRouter(prefix="/label-studio/{id}", tags=["Label Studio"])

_basic = HTTPBasic(auto_error=False, description="an API key as the password; any user name")


def _caller_with(scope: Scope) -> Callable[..., Awaitable[Caller]]:
    async def caller(
        request: Request, _: Annotated[HTTPBasicCredentials | None, Security(_basic)] = None
    ) -> Caller:
        return admitted(request, scope)

    return caller


_Reader = Annotated[Caller, Depends(_caller_with("read"))]
_Writer = Annotated[Caller, Depends(_caller_with("write"))]


@router.get("/health", response_model=LsHealthOut, responses=responses(404))
async def label_studio_health(id: str, caller: _Reader, service: ServiceDep) -> LsHealthOut:
    """The classifier is there."""
    await service.classifiers.get(caller.tenant, id)
    return LsHealthOut()


@router.post("/setup", response_model=LsVersionOut, responses=responses(400, 404, 413, 415))
async def label_studio_setup(id: str, body: LsSetupIn, caller: _Reader, service: ServiceDep) -> LsVersionOut:
    """Check that the project has choices over a picture; nothing is loaded or kept."""
    choice_of(body.label_config, "/schema")
    view = await service.classifiers.get(caller.tenant, id)
    return LsVersionOut(model_version=str(view.record.head_version))


@router.post("/predict", response_model=LsPredictionsOut, responses=responses(400, 404, 409, 413, 415))
async def label_studio_predict(
    id: str, body: LsPredictIn, caller: _Reader, service: ServiceDep
) -> LsPredictionsOut:
    """The best class of each task's picture: a data URI, or an address on a host that is allowed.

    At most 256 tasks.
    """
    choice = choice_of(body.label_config, "/label_config")
    pointers = [f"/tasks/{at}/data/{choice.key}" for at in range(len(body.tasks))]
    images = await asyncio.gather(
        *(
            _picture(task, choice.key, pointer, service)
            for task, pointer in zip(body.tasks, pointers, strict=True)
        )
    )
    answer = await service.answers.classify(
        caller.tenant, id, Asked(images=images, pointers=pointers), top_k=1
    )
    return LsPredictionsOut(
        results=[
            LsPredictionOut(
                result=[
                    {
                        "from_name": choice.from_name,
                        "to_name": choice.to_name,
                        "type": "choices",
                        "value": {"choices": [str(prediction.label)]},
                    }
                ],
                score=prediction.probability,
                model_version=str(answer.version),
            )
            for prediction in answer.predictions
        ]
    )


@router.post(
    "/webhook",
    status_code=201,
    response_model=LsWebhookOut,
    responses=responses(400, 404, 409, 413, 415, 507),
)
async def label_studio_webhook(
    id: str, body: LsWebhookIn, caller: _Writer, service: ServiceDep
) -> LsWebhookOut:
    """Teach what was annotated, move what was corrected, forget what was deleted or skipped."""
    await service.classifiers.get(caller.tenant, id)
    given = _listed(body.annotation) or _listed(body.annotations)
    if body.action in ("ANNOTATION_DELETED", "ANNOTATIONS_DELETED"):
        return LsWebhookOut(shots=[await _removed(caller, service, id, one) for one in given])
    if body.action not in ("ANNOTATION_CREATED", "ANNOTATIONS_CREATED", "ANNOTATION_UPDATED"):
        return LsWebhookOut(shots=[])
    tasks = _listed(body.task)
    done = []
    for at, one in enumerate(given):
        label = None if one.was_cancelled else _label(one)
        if label is None:
            done.append(await _removed(caller, service, id, one))
        else:
            task = tasks[at] if at < len(tasks) else None
            done.append(await _taught(caller, service, id, one, label, task, body.project))
    return LsWebhookOut(shots=done)


async def _taught(
    caller: Caller,
    service: Service,
    id: str,
    annotation: LsAnnotation,
    label: str,
    task: LsTask | None,
    project: LsProject | None,
) -> LsShotOut:
    shot = derived_id(id, annotation.id)
    try:
        before = await service.shots.get(caller.tenant, id, shot)
    except NotFoundError:  # new, or deleted meanwhile
        if task is None or project is None or project.label_config is None:
            raise RequestError(
                "this webhook has no task or no project; have it send its payload", pointer="/task"
            ) from None
        key = choice_of(project.label_config, "/project/label_config").key
        pointer = f"/task/data/{key}"
        new = NewShot(
            label=label,
            image=await _picture(task, key, pointer, service),
            source_id=f"label-studio:{annotation.id}",
            pointer=pointer,
        )
        await service.shots.add(caller.tenant, id, [new], ids=[shot])
        return LsShotOut(annotation=annotation.id, shot=shot, done="added")
    if before.label == label:
        return LsShotOut(annotation=annotation.id, shot=shot, done="nothing")
    await service.shots.relabel(caller.tenant, id, shot, label)
    return LsShotOut(annotation=annotation.id, shot=shot, done="moved")


async def _removed(caller: Caller, service: Service, id: str, annotation: LsAnnotation) -> LsShotOut:
    shot = derived_id(id, annotation.id)
    try:
        await service.shots.delete(caller.tenant, id, shot)
    except NotFoundError:  # never taught, or removed before
        return LsShotOut(annotation=annotation.id, shot=shot, done="nothing")
    return LsShotOut(annotation=annotation.id, shot=shot, done="removed")


def _label(annotation: LsAnnotation) -> str | None:
    """The class that was chosen; None where none was."""
    for part in annotation.result:
        value = part.get("value")
        choices = value.get("choices") if isinstance(value, dict) else None
        if part.get("type") == "choices" and isinstance(choices, list) and choices:
            return str(choices[0])
    return None


async def _picture(task: LsTask, key: str, pointer: str, service: Service) -> bytes:
    said = task.data.get(key)
    if not isinstance(said, str):
        raise RequestError(f"the task has no picture under {key!r}", pointer=pointer)
    if said[:5].lower() == "data:":
        try:
            (data,) = await asyncio.to_thread(images_of_text, [said], service.settings)
        except RequestError as exc:
            raise RequestError(str(exc), pointer=pointer) from exc
        return data
    settings = service.settings
    return await fetch(said, hosts=settings.fetch_hosts, most=settings.image_max_bytes, pointer=pointer)


def _listed(given: T | list[T] | None) -> list[T]:
    if given is None:
        return []
    return given if isinstance(given, list) else [given]

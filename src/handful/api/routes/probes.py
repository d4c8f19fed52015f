"""Probes and metrics, for those who run the service."""

import os

from fastapi import APIRouter, Request, Response
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest, multiprocess
from prometheus_client import REGISTRY as OF_THIS_PROCESS
from pydantic import BaseModel

from handful import __version__
from handful.api.deps import Admin, ServiceDep
from handful.api.problems import problem_response, responses

router = APIRouter(tags=["operations"])
metrics_router = APIRouter(tags=["operations"])


class Health(BaseModel):
    """All is well."""

    status: str
    version: str


@router.get("/healthz", responses=responses())
@router.get("/livez", include_in_schema=False)
@router.get("/health", include_in_schema=False)
@router.get("/ping", include_in_schema=False)
async def alive() -> Health:
    """The process answers."""
    return Health(status="ok", version=__version__)


@router.get("/readyz", response_model=Health, responses=responses())
async def ready(request: Request, service: ServiceDep) -> Response | Health:
    """The default encoder is warm, and the store can be used, so that answers come at full speed."""
    missing = await service.readiness.missing()
    if missing is None:
        return Health(status="ok", version=__version__)
    return problem_response(request, 503, "not-ready", "Not ready", missing, headers={"Retry-After": "1"})


@metrics_router.get(
    "/metrics",
    response_class=Response,
    responses={200: {"content": {"text/plain": {}}, "description": "for Prometheus"}, **responses()},
)
async def metrics(caller: Admin) -> Response:
    """Counts for Prometheus; no label names a tenant or a classifier."""
    return Response(exposition(), media_type=CONTENT_TYPE_LATEST)


def exposition() -> bytes:
    """The counts of all worker processes, as text."""
    if "PROMETHEUS_MULTIPROC_DIR" not in os.environ:
        return generate_latest(OF_THIS_PROCESS)
    registry = CollectorRegistry()
    multiprocess.MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
    return generate_latest(registry)

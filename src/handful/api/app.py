"""The application: routes, what happens around them, and the service below."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, TypedDict

from fastapi import FastAPI
from fastapi.middleware.cors import CORSMiddleware
from fastapi.middleware.gzip import GZipMiddleware

from handful import __version__
from handful.api import compat, problems
from handful.api.middleware.admission import Admission
from handful.api.middleware.body_limit import BodyLimit
from handful.api.middleware.exchange import Exchange
from handful.api.rates import Rates
from handful.api.routes import answers, classes, classifiers, docs, encoders, jobs, probes, shots, versions
from handful.api.schemas.answers import ClassifyIn, ZeroShotIn
from handful.api.schemas.shots import ShotIn
from handful.api.stopping import asked_to_stop
from handful.api.telemetry import telemetry
from handful.encoders import Encoder
from handful.service.service import Service, open_service
from handful.settings import Settings

_COMPRESSED = 2048  # bytes of an answer, from which on it is worth it
_DESCRIPTION = (
    "Teach an image classifier with a handful of pictures, and ask it. Every failure is "
    "`application/problem+json`. Where API keys were made, send one as `Authorization: Bearer KEY`."
)


class State(TypedDict):
    """What requests find in their state."""

    service: Service
    rates: Rates
    stopping: asyncio.Event


def create_app(settings: Settings | None = None, encoder: Encoder | None = None) -> FastAPI:
    """The ASGI application.

    settings : None reads the environment.    encoder : in place of the one that the settings name.
    """
    chosen = settings or Settings()

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[State]:
        with asked_to_stop() as stopping:
            async with (
                open_service(chosen, encoder) as service,
                Rates(chosen.tenant_requests_per_second, service.store) as rates,
            ):
                yield {"service": service, "rates": rates, "stopping": stopping}

    app = FastAPI(
        title="Handful",
        version=__version__,
        description=_DESCRIPTION,
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        openapi_url="/openapi.json" if chosen.docs else None,
        root_path=chosen.root_path,
        generate_unique_id_function=lambda route: route.name,
        telemetry=telemetry(),
    )
    problems.install(app)
    for part in (answers, classifiers, classes, shots, versions, jobs, encoders, probes):  # the busiest first
        app.include_router(part.router)
    app.include_router(compat.router)
    if chosen.metrics and chosen.monitor_port is None:
        app.include_router(probes.metrics_router)
    if chosen.docs:
        app.include_router(docs.router)
    app.add_middleware(GZipMiddleware, minimum_size=_COMPRESSED, compresslevel=1)
    app.add_middleware(BodyLimit, most=chosen.request_max_bytes, most_streamed=chosen.upload_max_bytes)
    app.add_middleware(Admission)
    if chosen.cors_origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=chosen.cors_origins,
            allow_methods=["*"],
            allow_headers=["*"],
            expose_headers=["ETag", "Location", "Retry-After", "Server-Timing", "X-Request-ID"],
        )
    app.add_middleware(Exchange)
    _describe(app)
    return app


def _describe(app: FastAPI) -> None:
    """Add to the OpenAPI what routes that read their body themselves refer to."""
    made = app.openapi

    def openapi() -> dict[str, Any]:  # Any: OpenAPI
        fresh = app.openapi_schema is None
        described = made()
        if fresh:
            known = described["components"]["schemas"]
            for model in (ClassifyIn, ZeroShotIn, ShotIn, shots.ShotsIn, *compat.BODIES):
                schema = model.model_json_schema(ref_template="#/components/schemas/{model}")
                known |= schema.pop("$defs", {})
                known[model.__name__] = schema
        return described

    app.openapi = openapi  # type: ignore[method-assign]  # FastAPI's own way to extend it

"""OpenTelemetry: off until an OTEL_… variable asks for it. FastAPI measures, and sends OTLP over HTTP."""

import os
from collections.abc import MutableMapping
from importlib.util import find_spec
from typing import Any
from uuid import uuid4

import structlog
from fastapi.telemetry import TelemetryConfig

from handful.api.middleware.exchange import QUIET
from handful.errors import MissingExtraError

_ENDPOINT = "OTEL_EXPORTER_OTLP_ENDPOINT"
_STANDARD = "http://localhost:4318"  # where an exporter sends to unless told otherwise
_SIGNALS = ("TRACES", "METRICS")
_NEEDED = ("opentelemetry.sdk", "opentelemetry.exporter.otlp.proto.http")

_log = structlog.get_logger("handful.telemetry")


def telemetry() -> TelemetryConfig:
    """What FastAPI is to measure. Traces and metrics only: its log records would hold texts of errors.

    Says in the log, and measures nothing, where the environment asks for what is not installed.
    """
    asked = _asked()
    if asked and not _installed():
        _log.warning(
            "no telemetry", error=str(MissingExtraError("OpenTelemetry, which OTEL_… asks for,", "otel"))
        )
        asked = False
    if asked:
        _name_this_process()
    return {"auto_configure": asked, "logs": False, "operation_spans": False, "exclude": _quiet}


def _asked() -> bool:
    """Whether the environment names an exporter, or where one sends to."""
    if os.environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return False
    if any(os.environ.get(f"OTEL_{signal}_EXPORTER", "").strip() not in ("", "none") for signal in _SIGNALS):
        os.environ.setdefault(_ENDPOINT, _STANDARD)
    places = (_ENDPOINT, *(f"OTEL_EXPORTER_OTLP_{signal}_ENDPOINT" for signal in _SIGNALS))
    return any(os.environ.get(place) for place in places)


def _installed() -> bool:
    try:
        return all(find_spec(module) is not None for module in _NEEDED)
    except ModuleNotFoundError:  # a package above it is missing
        return False


def _name_this_process() -> None:
    """Tell processes apart, so that what one counts does not take the place of another's."""
    said = os.environ.get("OTEL_RESOURCE_ATTRIBUTES", "")
    if "service.name=" not in said:
        os.environ.setdefault("OTEL_SERVICE_NAME", "handful")
    if "service.instance.id=" not in said:
        os.environ["OTEL_RESOURCE_ATTRIBUTES"] = ",".join(
            filter(None, (said, f"service.instance.id={uuid4()}"))
        )


def _quiet(scope: MutableMapping[str, Any]) -> bool:  # Any: of ASGI
    return scope["path"] in QUIET

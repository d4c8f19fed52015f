"""A stranger reads the OpenAPI entry literally and asks whatever it allows, and what it does not."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, settings
from schemathesis import checks

from handful.api.app import create_app
from handful.encoders import Encoder
from handful.settings import Settings

_SCHEMA = schemathesis.openapi.from_dict(create_app(Settings()).openapi())
_EXAMPLES = 12


@schemathesis.serializer("application/zip", "application/x-tar", "application/x-ndjson")
def _as_it_is(ctx: schemathesis.SerializationContext, value: Any) -> bytes:
    """Archives of nothing sensible, and lines of it."""
    return value.encode() if isinstance(value, str) else bytes(getattr(value, "data", b"") or b"")


@pytest.fixture(scope="module")
def fuzzed(serve: Any, encoder: Encoder, png: Callable[..., list[bytes]]) -> Iterator[Any]:
    with serve(encoder=encoder, job_threads=2) as served:
        served.names = {"id": served.taught({"red": png("red", 2), "blue": png("blue", 2)}), "name": "red"}
        yield served


@_SCHEMA.parametrize()
@settings(
    max_examples=_EXAMPLES,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=list(HealthCheck),
)
def test_no_answer_is_a_fault_or_undeclared(case: Any, fuzzed: Any) -> None:
    if case.method != "DELETE" and "/jobs/" not in case.path:  # of random ones little is ever reached
        case.path_parameters |= {
            name: fuzzed.names[name] for name in case.path_parameters if name in fuzzed.names
        }
    case.call_and_validate(
        base_url=fuzzed.url,
        checks=[
            checks.not_a_server_error,
            checks.status_code_conformance,
            checks.content_type_conformance,
            checks.response_schema_conformance,
            checks.response_headers_conformance,
        ],
    )

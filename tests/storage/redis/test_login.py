"""Users, passwords and TLS."""

import logging
import traceback

import pytest
from tests.redis_servers import Certificates, Server, redis_server
from tests.storage.redis.conftest import Connect

from handful.errors import StorageError
from handful.storage.redis import connection as connections
from handful.storage.redis import pool as pools
from handful.storage.redis.connection import Connection

pytestmark = pytest.mark.anyio


async def said_by(connection: Connection) -> str:
    """The error of using it, with all that a traceback shows."""
    with pytest.raises(StorageError) as raised:
        await connection.script(["list"], ["one"])
    return "".join(traceback.format_exception(raised.value))


async def test_a_password_opens_a_server_and_is_shown_nowhere(
    connect: Connect, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    with redis_server(requirepass="se/cr@t") as server:
        connection = connect(f"redis://:se%2Fcr%40t@127.0.0.1:{server.port}")
        await connection.check()
        assert await connection.script(["list"], ["one"]) == 1
        server.kill()
        said = await said_by(connection)
        wrong = connect(f"redis://:wr%2Fng@127.0.0.1:{server.port}")
        server.start()
        said += await said_by(wrong) + repr(connection) + str(vars(wrong)) + caplog.text
    assert "cannot be reached" in said
    assert "refuses the user or the password" in said
    assert "cr@t" not in said
    assert "wr/ng" not in said
    assert "wr%2Fng" not in said


@pytest.mark.parametrize("version", ["8", "7"])
async def test_a_missing_password_is_told(version: str, connect: Connect) -> None:
    with redis_server(version, requirepass="secret") as server:
        assert "refuses the user or the password; set both" in await said_by(connect(server.url))


@pytest.mark.parametrize("version", ["8", "7"])
async def test_a_user_may_be_kept_to_the_stores_keys(version: str, connect: Connect) -> None:
    with redis_server(version, user="shop on >pw ~hf:* +@all -@dangerous +info") as server:
        connection = connect(f"redis://shop:pw@127.0.0.1:{server.port}")
        await connection.check()
        assert await connection.script(["hf:list"], ["one"]) == 1
        assert "forbids its user something" in await said_by(connection)


async def test_tls_is_spoken_to_a_server_whose_authority_is_given(
    tls_certificates: Certificates, connect: Connect
) -> None:
    with redis_server("7", tls=tls_certificates) as server:
        connection = connect(server.url)
        await connection.check()
        assert await connection.script(["list"], ["one"]) == 1
        careless = connect(f"rediss://127.0.0.1:{server.port}?ssl_cert_reqs=none&ssl_check_hostname=false")
        assert await careless.script(["list"], ["two"]) == 2


async def test_a_certificate_of_an_unknown_authority_is_refused(
    tls_certificates: Certificates, connect: Connect
) -> None:
    with redis_server("7", tls=tls_certificates) as server:
        said = await said_by(connect(f"rediss://127.0.0.1:{server.port}"))
    assert "cannot be spoken to by TLS (CERTIFICATE_VERIFY_FAILED); give the authority" in said


async def test_a_certificate_for_another_name_is_refused(
    tls_certificates: Certificates, connect: Connect
) -> None:
    with redis_server("7", tls=tls_certificates) as server:
        said = await said_by(connect(server.url.replace("127.0.0.1", "localhost")))
    assert "a name that it is for" in said


async def test_tls_where_it_is_not_wanted_or_wanted_and_not_given_is_told(
    tls_certificates: Certificates,
    connect: Connect,
    redis_8: Server,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(pools, "CONNECT_SECONDS", 0.3)
    monkeypatch.setattr(connections, "PATIENCE_SECONDS", 0.5)
    assert "wants TLS (rediss) or not" in await said_by(connect(f"rediss://127.0.0.1:{redis_8.port}"))
    with redis_server("7", tls=tls_certificates) as server:
        assert "wants TLS (rediss)" in await said_by(connect(f"redis://127.0.0.1:{server.port}"))

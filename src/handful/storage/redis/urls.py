"""What the URL of a Redis says."""

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal
from urllib.parse import parse_qsl, unquote

from handful.errors import StorageError

Kind = Literal["single", "sentinel", "cluster"]
Host = tuple[str, int]

_KINDS: dict[str, tuple[Kind, bool]] = {
    "redis": ("single", False),
    "rediss": ("single", True),
    "redis+sentinel": ("sentinel", False),
    "rediss+sentinel": ("sentinel", True),
    "redis+cluster": ("cluster", False),
    "rediss+cluster": ("cluster", True),
}
SCHEMES = tuple(f"{scheme}:" for scheme in _KINDS)

_TLS_OPTIONS = {
    "ssl_ca_certs",  # file of the authorities to trust
    "ssl_ca_path",  # folder of them
    "ssl_certfile",  # this client's certificate, its key, and the key's password
    "ssl_keyfile",
    "ssl_password",
    "ssl_cert_reqs",  # required, optional or none
    "ssl_check_hostname",  # true or false
    "ssl_ciphers",
}
_FILES = {"ssl_ca_certs", "ssl_ca_path", "ssl_certfile", "ssl_keyfile"}
_PASSWORD_FILES = {  # files with what would otherwise stand in the URL, as containers are given secrets
    "password_file": "password",
    "sentinel_password_file": "sentinel_password",
}
_SENTINEL_OPTIONS = {"sentinel_username", "sentinel_password", "sentinel_password_file"}
_FORMS = (
    "redis://[user:password@]host[:port][/database], rediss:// for TLS, "
    "redis+sentinel://[user:password@]host:port,host:port/service[/database] or "
    "redis+cluster://[user:password@]host:port,host:port"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """Where a Redis is, and how to log in.    tls : None without, else redis-py's ssl_… options.

    hosts : of the server, of Sentinels, or of some nodes of a Cluster.
    """

    kind: Kind
    hosts: tuple[Host, ...]
    service: str = ""
    database: int = 0
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    sentinel_username: str | None = None
    sentinel_password: str | None = field(default=None, repr=False)
    tls: dict[str, Any] | None = field(default=None, repr=False)  # as redis-py takes them

    def __str__(self) -> str:
        """Without anything secret."""
        hosts = ",".join(shown(host) for host in self.hosts)
        return f"{hosts}/{self.service}" if self.service else hosts


def shown(host: Host) -> str:
    name, port = host
    return f"[{name}]:{port}" if ":" in name else f"{name}:{port}"


def parse(url: str) -> Address:
    """Raises StorageError for a malformed one, in words that hold no part of it that may be secret."""
    scheme, colon, rest = url.partition("://")
    if not colon or scheme not in _KINDS:
        raise StorageError(f"this is no URL of a Redis; write {_FORMS}")
    kind, tls = _KINDS[scheme]
    rest, _, query = rest.partition("?")
    authority, _, path = rest.partition("/")
    login, _, hosts = authority.rpartition("@")
    username, _, password = login.partition(":")
    named = _hosts(hosts, kind)
    options = _options(query, tls=tls, sentinel=kind == "sentinel")
    passwords = _passwords(unquote(password), options)
    service, database = _path(path, kind)
    return Address(
        kind=kind,
        hosts=named,
        service=service,
        database=database,
        username=unquote(username) or None,
        password=passwords["password"],
        sentinel_username=options.pop("sentinel_username", None),
        sentinel_password=passwords["sentinel_password"],
        tls={name: _typed(name, text) for name, text in options.items()} if tls else None,
    )


def _hosts(text: str, kind: Kind) -> tuple[Host, ...]:
    usual = 26379 if kind == "sentinel" else 6379
    names = text.split(",") if text else ["localhost"]
    if kind == "single" and len(names) > 1:
        raise StorageError(
            "the URL of one Redis has one host; for several, write redis+sentinel:// or redis+cluster://"
        )
    hosts = []
    for name in names:
        found = re.fullmatch(r"(\[[0-9A-Fa-f:.%]+\]|[^\s:/?#\[\]@]+)(?::(\d{1,5}))?", name)
        if found is None or not 0 < int(found[2] or usual) < 65536:
            raise StorageError(
                "the URL of the Redis has a host that is none (a password with /, ? or # has them "
                f"as %2F, %3F and %23); write {_FORMS}"
            )
        hosts.append((found[1].strip("[]"), int(found[2] or usual)))
    return tuple(hosts)


def _path(path: str, kind: Kind) -> tuple[str, int]:
    """Service and database."""
    service, database = "", path
    if kind == "sentinel":
        service, _, database = path.partition("/")
        if not service:
            raise StorageError(
                "the URL of Sentinels names no service; write redis+sentinel://host:port/service"
            )
    if kind == "cluster" and database not in ("", "0"):
        raise StorageError("a Redis Cluster has no databases; leave the path of its URL away")
    if not re.fullmatch(r"\d{0,5}", database):
        raise StorageError(f"the database in the URL of the Redis is a number; write {_FORMS}")
    return unquote(service), int(database or 0)


def _options(query: str, *, tls: bool, sentinel: bool) -> dict[str, str]:
    allowed = (
        {"password_file"} | (_TLS_OPTIONS if tls else set()) | (_SENTINEL_OPTIONS if sentinel else set())
    )
    options = dict(parse_qsl(query, keep_blank_values=True))
    for name in options.keys() - allowed:
        hint = "" if tls else "; TLS is spoken where the URL begins with rediss"
        raise StorageError(
            f"the URL of the Redis has the option {name!r}; it takes {', '.join(sorted(allowed))}{hint}"
        )
    return options


def _passwords(password: str, options: dict[str, str]) -> dict[str, str | None]:
    """Those that the URL holds, or the files that it names; takes them out of its options."""
    found = {"password": password or None, "sentinel_password": options.pop("sentinel_password", None)}
    for option, name in _PASSWORD_FILES.items():
        if (file := options.pop(option, None)) is None:
            continue
        if found[name]:
            raise StorageError(f"the URL of the Redis has a password, and {option}; leave one of them away")
        try:
            found[name] = Path(file).read_text("utf-8").strip()
        except (OSError, UnicodeDecodeError) as exc:
            raise StorageError(
                f"{option} in the URL of the Redis names {file}, which cannot be read ({exc})"
            ) from exc
        if not found[name]:
            raise StorageError(f"{option} in the URL of the Redis names {file}, which is empty")
    return found


def _typed(name: str, text: str) -> str | bool:
    if name in _FILES and not Path(text).exists():
        raise StorageError(f"{name} in the URL of the Redis names {text}, which is not there")
    if name == "ssl_check_hostname":
        if text.lower() not in ("true", "false"):
            raise StorageError("ssl_check_hostname in the URL of the Redis is true or false")
        return text.lower() == "true"
    if name == "ssl_cert_reqs" and text not in ("required", "optional", "none"):
        raise StorageError("ssl_cert_reqs in the URL of the Redis is required, optional or none")
    return text

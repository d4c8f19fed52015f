from pathlib import Path
from urllib.parse import quote

import pytest

from handful.errors import StorageError
from handful.storage.redis.urls import parse


def test_a_url_names_a_server_a_user_and_a_database() -> None:
    address = parse("redis://shop:s%40cret@db.example:7000/3")
    assert (address.kind, address.hosts, address.database) == ("single", (("db.example", 7000),), 3)
    assert (address.username, address.password, address.tls) == ("shop", "s@cret", None)


def test_what_a_url_leaves_out_is_as_redis_has_it() -> None:
    address = parse("redis://")
    assert (address.hosts, address.database, address.username) == ((("localhost", 6379),), 0, None)
    assert parse("redis://:word@h").password == "word"
    assert parse("redis+sentinel://a,b/s").hosts == (("a", 26379), ("b", 26379))
    assert parse("redis://[::1]").hosts == (("::1", 6379),)


def test_tls_has_options_of_its_own(tmp_path: Path) -> None:
    file = tmp_path / "ca one.pem"
    file.touch()
    address = parse(f"rediss://h?ssl_ca_certs={quote(str(file))}&ssl_check_hostname=false")
    assert address.tls == {"ssl_ca_certs": str(file), "ssl_check_hostname": False}
    assert parse("rediss+cluster://a,b").tls == {}


def test_sentinels_are_named_with_a_service_and_may_have_a_login_of_their_own() -> None:
    address = parse("redis+sentinel://:pw@a:1,b:2/shop/4?sentinel_password=other")
    assert (address.kind, address.service, address.database) == ("sentinel", "shop", 4)
    assert (address.password, address.sentinel_password) == ("pw", "other")
    assert str(address) == "a:1,b:2/shop"


def test_passwords_may_be_in_files_of_their_own(tmp_path: Path) -> None:
    for name in ("server", "sentinels"):
        (tmp_path / name).write_text(f"p@ss/{name}\n")
    one = parse(f"redis://u@h?password_file={tmp_path}/server")
    assert (one.username, one.password) == ("u", "p@ss/server")
    both = parse(
        f"redis+sentinel://h/main?password_file={tmp_path}/server&sentinel_password_file={tmp_path}/sentinels"
    )
    assert (both.password, both.sentinel_password) == ("p@ss/server", "p@ss/sentinels")


def test_a_file_without_a_password_is_refused(tmp_path: Path) -> None:
    (tmp_path / "empty").write_text("\n")
    (tmp_path / "full").write_text("secret")
    for url, said in (
        (f"redis://h?password_file={tmp_path}/none", "cannot be read"),
        (f"redis://h?password_file={tmp_path}/empty", "which is empty"),
        (f"redis://:other@h?password_file={tmp_path}/full", "leave one of them away"),
    ):
        with pytest.raises(StorageError, match=said) as caught:
            parse(url)
        assert "other" not in str(caught.value)


def test_a_cluster_is_named_by_some_of_its_nodes() -> None:
    address = parse("redis+cluster://:pw@a:1,[fe80::1]:2/0")
    assert (address.kind, address.hosts, address.password) == ("cluster", (("a", 1), ("fe80::1", 2)), "pw")
    assert str(address) == "a:1,[fe80::1]:2"


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("redis:/secret@h", "no URL"),
        ("memcached://:secret@h", "no URL"),
        ("redis://:secret@h:port", "a host that is none"),
        ("redis://:secret@h:65536", "a host that is none"),
        ("redis://:secret@h:0", "a host that is none"),
        ("redis://:secret/more@h", "a host that is none"),
        ("redis://:secret@a,b", "has one host"),
        ("redis://:secret@h/shop", "is a number"),
        ("redis://:secret@h?ssl_ca_certs=/f", "begins with rediss"),
        ("rediss://:secret@h?socket_timeout=4", "takes password_file, ssl_ca_certs"),
        ("rediss://:secret@h?ssl_ca_certs=/none.pem", "names /none.pem, which is not there"),
        ("rediss://:secret@h?ssl_cert_reqs=maybe", "required, optional or none"),
        ("rediss://:secret@h?ssl_check_hostname=maybe", "true or false"),
        ("redis+sentinel://:secret@a,b", "names no service"),
        ("redis+cluster://:secret@a,b/1", "no databases"),
        ("redis+cluster://:secret@a,,b", "a host that is none"),
    ],
)
def test_a_malformed_url_is_refused_with_the_reason_and_without_its_password(url: str, said: str) -> None:
    with pytest.raises(StorageError, match=said) as raised:
        parse(url)
    assert "secret" not in str(raised.value)


def test_an_address_shows_no_password() -> None:
    address = parse("rediss+sentinel://shop:secret@a:1/s?sentinel_password=secret&ssl_password=secret")
    assert "secret" not in f"{address} {address!r}"

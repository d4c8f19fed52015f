"""compose.yaml: of the form that its schema has, and as closed as it can be."""

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from handful.settings import Settings

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "compose.yaml").read_text("utf-8")
COMPOSE: dict[str, Any] = yaml.safe_load(TEXT)  # Any: of YAML
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
PAGE = (ROOT / "docs" / "containers.md").read_text("utf-8")


def test_it_is_what_the_specification_of_compose_allows() -> None:
    checker = Path(sys.executable).with_name("check-jsonschema")
    command = [checker, "--builtin-schema", "vendor.compose-spec", ROOT / "compose.yaml"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("name", SERVICES)
def test_every_container_can_write_only_where_it_must_and_has_limits(name: str) -> None:
    service = SERVICES[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert set(service["deploy"]["resources"]["limits"]) == {"cpus", "memory"}
    assert service["restart"] == "unless-stopped"


def test_only_the_proxy_can_be_reached_from_outside_and_by_default_from_this_machine_alone() -> None:
    assert [name for name, service in SERVICES.items() if "ports" in service] == ["proxy"]
    for port in SERVICES["proxy"]["ports"]:
        assert re.match(r"\$\{HTTPS?_PORT:-127\.0\.0\.1:\d+\}:\d+$", port)
    assert "front" not in SERVICES["redis"]["networks"]
    assert COMPOSE["networks"]["back"]["internal"] is True


def test_each_container_is_asked_whether_it_is_well() -> None:
    in_image = {"service"}  # by the image's own HEALTHCHECK
    assert {name for name, service in SERVICES.items() if "healthcheck" not in service} == in_image


def test_secrets_come_as_files_and_stand_in_no_variable() -> None:
    assert {name: list(secret) for name, secret in COMPOSE["secrets"].items()} == {
        "admin_key": ["file"],
        "redis_password": ["file"],
    }
    environment = SERVICES["service"]["environment"]
    assert environment["HANDFUL_STORE_URL"].endswith("?password_file=/run/secrets/redis_password")
    assert environment["HANDFUL_ADMIN_KEY_FILE"] == "/run/secrets/admin_key"
    ignored = (ROOT / ".gitignore").read_text("utf-8").splitlines()
    assert "deploy/secrets/" in ignored


@pytest.mark.parametrize("name", ["service", "worker"])
def test_the_settings_of_the_service_are_settings(name: str) -> None:
    for variable, value in SERVICES[name]["environment"].items():
        assert variable.removeprefix("HANDFUL_").lower() in Settings.model_fields
        assert isinstance(value, str), f"{variable} is no text, and engines write numbers each in their way"


def test_the_files_that_containers_are_given_are_there() -> None:
    named = [one for service in SERVICES.values() for one in service["volumes"] if one.startswith("./")]
    assert len(named) >= 3
    for one in named:
        assert (ROOT / one.partition(":")[0]).is_file(), one


def test_jobs_are_worked_on_by_the_worker_alone() -> None:
    assert SERVICES["service"]["environment"]["HANDFUL_JOB_THREADS"] == "0"
    assert "HANDFUL_JOB_THREADS" not in SERVICES["worker"]["environment"]


def test_each_variable_that_it_reads_has_a_line_on_the_page() -> None:
    read = dict(re.findall(r"\$\{([A-Z_]+):-([^}]*)\}", TEXT))
    told = dict(re.findall(r"^\| `([A-Z_]+)` \| `([^`]*)` \|", PAGE, re.MULTILINE))
    assert read == told


def test_each_line_of_it_is_on_the_page() -> None:
    """The page shows the file in parts, each with what it is for."""
    shown = "\n".join(re.findall(r"^```yaml\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)).splitlines()
    lines = [line for line in TEXT.splitlines() if line and not line.lstrip().startswith("#")]
    assert [line for line in shown if line] == lines

"""scripts/containers/pip_settings.py: what the pip of a build is told."""

import configparser
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

SCRIPTS = str(Path(__file__).parents[2] / "scripts")


@pytest.fixture
def pip_settings() -> Iterator[ModuleType]:
    with pytest.MonkeyPatch.context() as patched:
        patched.syspath_prepend(SCRIPTS)
        from containers import pip_settings

        yield pip_settings


def test_the_environment_goes_before_files_as_in_pip(pip_settings: ModuleType) -> None:
    listing = ":env:.timeout='180'\nglobal.timeout='10'\ninstall.timeout='20'\nglobal.cert='/ca.pem'\n"
    assert pip_settings.parsed(listing) == {"timeout": "180", "cert": "/ca.pem"}


def test_only_what_says_where_packages_come_from_reaches_a_build(pip_settings: ModuleType) -> None:
    listing = "global.quiet='1'\nglobal.index-url='https://u:p@index.example/simple'\nfreeze.exclude='pip'\n"
    assert pip_settings.parsed(listing) == {"index-url": "https://u:p@index.example/simple"}


def test_several_values_of_one_option_stay_several(pip_settings: ModuleType) -> None:
    listing = "global.extra-index-url='file:///a/simple\\nfile:///b/simple'\n"
    written = pip_settings.as_file(pip_settings.parsed(listing))
    read = configparser.RawConfigParser()
    read.read_string(written)
    assert read["global"]["extra-index-url"].split() == ["file:///a/simple", "file:///b/simple"]


def test_paths_of_this_machine_are_those_that_the_settings_name_and_an_index_has_its_files_beside_it(
    pip_settings: ModuleType, tmp_path: Path
) -> None:
    for name in ("index/simple", "wheels", "authority.pem"):
        (tmp_path / name).mkdir(parents=True)
    settings = {
        "extra-index-url": f"file://{tmp_path}/index/simple https://index.example/simple",
        "find-links": f"{tmp_path}/wheels {tmp_path}/gone",
        "cert": f"{tmp_path}/authority.pem",
    }
    assert pip_settings.local_paths(settings) == [
        tmp_path / name for name in ("authority.pem", "index", "wheels")
    ]

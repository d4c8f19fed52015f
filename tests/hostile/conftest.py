"""Gives hostile tests `run_limited` of limits.py, which stands beside this file."""

import importlib.util
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def run_limited():
    spec = importlib.util.spec_from_file_location("hostile_limits", Path(__file__).with_name("limits.py"))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.run_limited

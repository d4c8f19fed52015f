"""`__all__` against what is there."""

import ast
import importlib
import importlib.util
import inspect
import pkgutil
from pathlib import Path

import pytest

import handful
import handful.errors


def test_every_public_name_is_there_and_documented():
    for name in handful.__all__:
        thing = getattr(handful, name)
        if name != "__version__":
            assert inspect.getdoc(thing), name
    assert dir(handful) == sorted(handful.__all__)
    assert len(set(handful.__all__)) == len(handful.__all__)


def test_the_names_of_the_contract_are_public():
    contract = {"load_encoder", "fit_head", "Head", "Background", "FewShotClassifier", "Prediction", "load"}
    assert contract <= set(handful.__all__)


def test_a_name_that_is_not_public_is_no_attribute():
    with pytest.raises(AttributeError, match="no attribute 'Classifier'"):
        _ = handful.Classifier


def test_the_types_that_editors_see_are_those_there_are():
    source = inspect.getsource(handful)
    for name, home in handful._HOME.items():
        assert f"from {home} import {name} as {name}" in source


def test_the_tree_of_errors_is_drawn_whole():
    drawn = handful.errors.__doc__
    for name, error in vars(handful.errors).items():
        if inspect.isclass(error) and error.__module__ == "handful.errors":
            assert name in drawn
            assert issubclass(error, handful.errors.HandfulError)


def test_every_module_says_what_it_is_for():
    for file in Path(handful.__file__).parent.rglob("*.py"):
        if file.name != "__main__.py":
            assert ast.get_docstring(ast.parse(file.read_text())), file


def test_every_module_can_be_imported_but_those_that_need_an_extra():
    extras = {"handful.export": "torch"}
    for module in pkgutil.walk_packages(handful.__path__, "handful."):
        needed = next((extra for home, extra in extras.items() if module.name.startswith(home)), None)
        if not module.name.endswith("__main__") and (needed is None or importlib.util.find_spec(needed)):
            importlib.import_module(module.name)

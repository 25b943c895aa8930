from __future__ import annotations

import ast
import subprocess
import sys
import types
from pathlib import Path

import pytest

import connectors.sdk as sdk

HERE = Path(sdk.__file__).parent


def test_the_public_names_are_sorted_and_all_there():
    # Constants, classes, functions; each group by name: what ruff's isort-like order is, too.
    def kind(name):
        return (not name.isupper(), not name[0].isupper(), name)

    assert list(sdk.__all__) == sorted(sdk.__all__, key=kind)
    assert len(set(sdk.__all__)) == len(sdk.__all__)
    for name in sdk.__all__:
        assert getattr(sdk, name) is not None
        assert name in dir(sdk)


def test_nothing_is_public_by_accident():
    imported = {
        name
        for name, value in vars(sdk).items()
        if not name.startswith("_") and not isinstance(value, types.ModuleType) and name not in ("annotations", "Any")
    }
    assert imported - set(sdk.__all__) <= {"TYPE_CHECKING", "import_module"}


def test_what_type_checkers_see_is_what_is_loaded_on_first_use():
    tree = ast.parse((HERE / "__init__.py").read_text())
    block = next(node for node in tree.body if isinstance(node, ast.If))
    seen = {node.module.rsplit(".", 1)[1]: tuple(alias.name for alias in node.names) for node in block.body}
    assert seen == sdk._ON_FIRST_USE


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no public name 'Nonsense'"):
        _ = sdk.Nonsense


def test_records_and_settings_load_without_an_http_client():
    """A build calls nobody."""
    code = "import sys, connectors.sdk, connectors.sdk.records; sys.exit('requests' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_every_public_class_and_function_says_what_it_is():
    for name in sdk.__all__:
        value = getattr(sdk, name)
        if isinstance(value, type | types.FunctionType):
            assert (value.__doc__ or "").strip(), name


def test_an_example_in_a_docstring_is_not_rotten():
    """The cursor module's example uses names that exist."""
    from connectors.sdk import cursor

    for name in ("open_window", "latest", "next_cursor"):
        assert name in (cursor.__doc__ or "")
        assert hasattr(cursor, name)

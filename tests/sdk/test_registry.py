from __future__ import annotations

import sys
from importlib.metadata import EntryPoint

import pytest

from connectors.sdk import registry as installed
from connectors.sdk.connector import Connector
from connectors.sdk.errors import ConfigError
from connectors.sdk.registry import GROUP, Registry
from connectors.sdk.settings import ConnectorSettings


class Distribution:
    def __init__(self, name: str, version: str = "1.0") -> None:
        self.name, self.version = name, version


def point(name: str, value: str, distribution: str = "muara-acme") -> EntryPoint:
    made = EntryPoint(name, value, GROUP)
    vars(made).update(dist=Distribution(distribution))
    return made


class Acme(Connector):
    name = "acme"
    Settings = ConnectorSettings


class Misnamed(Acme):
    name = "other"


class NoSettings(Connector):
    name = "acme"


class Older(Acme):
    sdk_version = "0.9"


class Newer(Acme):
    sdk_version = "2.0"


class NeedsMore(Acme):
    sdk_version = "1.99"


class Odd(Acme):
    sdk_version = "one"


NOT_A_CLASS = object()


def registry_of(*points: EntryPoint) -> Registry:
    return Registry(lambda: points)


def here(attr: str, **rest: str) -> EntryPoint:
    return point("acme", f"{__name__}:{attr}", **rest)


def test_a_connector_is_loaded_by_its_name():
    """C1."""
    assert registry_of(here("Acme")).load("acme") is Acme


def test_names_are_listed_without_importing_anything():
    registry = registry_of(point("zeta", "muara_not_there:Zeta"), point("acme", "muara_not_there:Acme"))
    assert registry.names() == ["acme", "zeta"]
    rows = registry.listed()
    assert [(row.name, row.distribution, row.version, row.module, row.problem) for row in rows] == [
        ("acme", "muara-acme", "1.0", "muara_not_there:Acme", ""),
        ("zeta", "muara-acme", "1.0", "muara_not_there:Zeta", ""),
    ]
    assert "muara_not_there" not in sys.modules


@pytest.mark.parametrize("body", ["import not_installed_at_all", "def broken(:", "raise SystemExit(3)", "1 / 0", ""])
def test_a_broken_plug_in_hurts_only_itself(body, tmp_path, monkeypatch):
    (tmp_path / "muara_broken.py").write_text(body)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "muara_broken", raising=False)
    registry = registry_of(here("Acme"), point("broken", "muara_broken:Broken", "muara-broken"))
    with pytest.raises(
        ConfigError, match=r"connector 'broken' of muara-broken does not load: .*pip uninstall muara-broken"
    ) as caught:
        registry.load("broken")
    assert caught.value.__cause__ is not None
    assert registry.load("acme") is Acme
    problems = {row.name: row.problem for row in registry.listed(load=True)}
    assert problems["acme"] == ""
    assert "does not load" in problems["broken"]
    assert [row.problem for row in registry_of(here("Acme")).listed(load=True)] == [""]


@pytest.mark.parametrize(
    ("attr", "message"),
    [
        ("Older", r"built for version 0\.9 of the connector SDK; this muara has .*Update the plug-in"),
        ("Newer", r"built for version 2\.0 .*Update muara"),
        ("NeedsMore", r"needs version 1\.99 .*Update muara"),
        ("Odd", "no version like"),
        ("NOT_A_CLASS", "no subclass of connectors.sdk.Connector"),
        ("Misnamed", "calls itself 'other'; its `name` must be 'acme'"),
        ("NoSettings", "Settings is no subclass"),
    ],
)
def test_what_this_sdk_cannot_run_gets_a_message_and_no_traceback(attr, message):
    """C6."""
    with pytest.raises(ConfigError, match=f"connector 'acme' of muara-acme.*{message}"):
        registry_of(here(attr)).load("acme")


def test_two_distributions_of_one_name_are_both_named():
    registry = registry_of(here("Acme"), here("Misnamed", distribution="muara-rival"), point("fine", "x:Y"))
    with pytest.raises(ConfigError, match=r"muara-acme .* and muara-rival .*Uninstall one"):
        registry.load("acme")
    rows = registry.listed()
    assert [row.name for row in rows] == ["acme", "acme", "fine"]
    assert all("more than once" in row.problem for row in rows[:2])
    assert rows[2].problem == ""


def test_one_distribution_seen_twice_is_no_clash():
    assert registry_of(here("Acme"), here("Acme")).load("acme") is Acme


def test_an_unknown_name_gets_the_nearest_known_one():
    with pytest.raises(ConfigError, match="Did you mean 'acme'"):
        registry_of(here("Acme")).load("acmee")
    with pytest.raises(ConfigError, match="There are: acme"):
        registry_of(here("Acme")).load("zzz")


def test_nothing_registered_says_what_to_run():
    for question in (Registry(list).names, Registry(list).listed, lambda: Registry(list).load("acme")):
        with pytest.raises(ConfigError, match=r"pip install -e \."):
            question()


def test_our_own_connectors_come_through_the_same_door():
    assert {"hubspot", "pipedrive", "salesforce", "spreadsheet"} <= set(installed.names())
    assert {row.distribution for row in installed.listed() if row.module.startswith("connectors.")} == {"muara"}

from __future__ import annotations

from typing import Annotated

import msgspec
import pytest

from connectors.sdk.errors import ConfigError
from connectors.sdk.settings import (
    ConnectorSettings,
    Secret,
    check_shape,
    describe,
    env_names,
    load,
    resolve,
    secrets_of,
)


class AcmeSettings(ConnectorSettings, frozen=True, kw_only=True):
    token: Annotated[Secret, msgspec.Meta(description="A private app's token.")]
    second: Secret | None = None
    verify: bool = True
    ratio: float = 0.5


def test_any_value_may_come_from_a_variable_whatever_its_type():
    config = {"token": {"env": "T"}, "page_size": {"env": "SIZE"}, "verify": {"env": "V"}, "ratio": {"env": "R"}}
    assert env_names(config) == ["T", "SIZE", "V", "R"]
    check_shape(AcmeSettings, config, where="acme")
    resolved = resolve(config, {"T": "12345", "SIZE": "50", "V": "false", "R": "0.25"}, where="acme")
    settings = load(AcmeSettings, resolved, where="acme")
    assert (settings.token.reveal(), settings.page_size, settings.verify, settings.ratio) == ("12345", 50, False, 0.25)


def test_a_missing_variable_is_named_and_an_empty_one_is_missing():
    for env in ({}, {"T": ""}):
        with pytest.raises(ConfigError, match=r"acme\.token: environment variable T is not set"):
            resolve({"token": {"env": "T"}}, env, where="acme")


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"token": 5}, "expected text, got int: write it in quotes - at `token`"),
        ({}, "missing required field `token`"),
        ({"token": "x", "page_size": "many"}, "Expected `int"),
        ({"token": "x", "page_size": 0}, ">= 1"),
        ({"token": "x", "zero_amount": "none"}, "zero_amount"),
        ({"token": "x", "tokem": "y"}, "unknown setting 'tokem'. Did you mean 'token'"),
    ],
)
def test_a_wrong_setting_is_named_and_no_value_is_shown(config, message):
    """A20."""
    with pytest.raises(ConfigError, match="acme") as caught:
        load(AcmeSettings, config, where="acme")
    assert message in str(caught.value)


def test_the_shape_is_checked_without_reading_any_variable():
    check_shape(AcmeSettings, {"token": {"env": "NOT_SET"}}, where="acme")
    for wrong in ({}, {"token": {"env": "T"}, "page_size": "many"}, {"token": {"env": "T"}, "odd": 1}):
        with pytest.raises(ConfigError):
            check_shape(AcmeSettings, wrong, where="acme")


def test_a_secret_never_prints_itself():
    """A28."""
    settings = load(AcmeSettings, {"token": "marker-1", "second": "marker-2"}, where="acme")
    shown = f"{settings} {settings!r} {settings.token} {settings.token:>20} " + "%s" % settings.second  # noqa: UP031
    assert "marker" not in shown
    assert sorted(secrets_of(settings)) == ["marker-1", "marker-2"]


def test_settings_describe_themselves_for_the_docs():
    rows = {row["name"]: row for row in describe(AcmeSettings)}
    assert rows["token"] == {
        "name": "token",
        "type": "secret",
        "required": True,
        "default": None,
        "description": "A private app's token.",
    }
    assert rows["zero_amount"]["type"] == "zero | unknown | unknown_if_lost"

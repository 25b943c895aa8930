"""What a connector says of itself, and what it must never say: settings, capabilities, secrets."""

from __future__ import annotations

import base64
import contextlib
import inspect
import io
import logging
import re
import traceback
import urllib.parse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from connectors.sdk import (
    KEYS,
    SDK_VERSION,
    Company,
    ConfigError,
    ConnectorSettings,
    Deal,
    HistoryRead,
    MuaraError,
    Owner,
    Record,
    secrets_of,
)
from connectors.sdk.settings import load
from connectors.testing.bench import Bench, must, some
from connectors.testing.check import check
from connectors.testing.fixtures import problems, recordings
from connectors.testing.harness import FaultKind, Impossible

_SECRET_NAMES = re.compile(r"(token|password|secret|private_key|api_key|session_id)(?!_url|_file|_path)")


@check()
def it_is_built_for_this_sdk(bench: Bench) -> None:
    """The connector names itself and the version of the SDK that it was built for."""
    connector = bench.connector
    name = getattr(connector, "name", "")
    must(re.fullmatch(r"[a-z][a-z0-9_]*", name), f"name is {name!r}: write lower-case letters, digits and _")
    theirs, ours = str(connector.sdk_version).split("."), SDK_VERSION.split(".")
    same = theirs[0] == ours[0] and len(theirs) == 2 and theirs[1].isdigit() and int(theirs[1]) <= int(ours[1])
    must(
        same,
        f"sdk_version is {connector.sdk_version!r}, this SDK is {SDK_VERSION}: the connector would be refused when it is loaded",
    )


@check()
def settings_refuse_what_they_do_not_know(bench: Bench) -> None:
    """An unknown key is an error that names it, so that a typo is never ignored."""
    model = bench.connector.Settings
    is_model = isinstance(model, type) and issubclass(model, ConnectorSettings)
    must(is_model, "Settings is no subclass of connectors.sdk.ConnectorSettings")
    must(model.__struct_config__.forbid_unknown_fields, "Settings was made with forbid_unknown_fields=False")
    must(model.__struct_config__.frozen, "Settings can be changed while a sync runs: write frozen=True")
    marker = "value-that-nobody-may-see"
    try:
        load(model, {**bench.crm.settings, "no_such_setting": marker}, where="acme")
    except ConfigError as error:
        must("no_such_setting" in str(error), f"the error does not name the unknown key: {error}")
        must(marker not in str(error), "the error shows the value of a setting")
        return
    must(False, "a setting that does not exist was taken without a word")


@check()
def secrets_are_typed_as_secrets(bench: Bench) -> None:
    """Tokens, passwords and keys are of type Secret, so that they never print themselves."""
    model = bench.connector.Settings
    for field in msgspec.structs.fields(model):
        if _SECRET_NAMES.search(field.name) and field.name not in ConnectorSettings.__struct_fields__:
            must(
                "Secret" in str(field.type),
                f"the setting {field.name} holds a secret, its type is {_type_name(field.type)}: use Secret",
            )
    settings = bench.settings()
    shown = [secret for secret in secrets_of(settings) if len(secret) > 3 and secret in repr(settings)]
    must(not shown, "a secret stands in the printed settings")


def _type_name(kind: Any) -> str:
    return getattr(kind, "__name__", str(kind))


@check()
def impossibilities_are_explained(bench: Bench) -> None:
    """Every capability that is declared False has a sentence in `notes`; no note is about anything else."""
    capabilities = bench.capabilities
    for name, note in capabilities.impossible().items():
        must(note.strip(), f"capability {name} is False without a note: say in one sentence why the CRM cannot do it")
    strange = capabilities.notes.keys() - {name for name in capabilities.__struct_fields__ if name != "notes"}
    must(not strange, f"notes about capabilities that do not exist: {some(strange)}")


@check()
def nothing_is_declared_impossible_that_is_done(bench: Bench) -> None:
    """What the connector declares impossible it does not do: the declarations make the table that people choose by."""
    outcome = bench.sync()
    declared = bench.capabilities.impossible()
    readings = outcome.of(HistoryRead)
    done = {
        "stage_history": any(reading.stage_changes for reading in readings),
        "field_history": any(reading.field_changes for reading in readings),
        "owners": bool(outcome.of(Owner)),
        "companies": bool(outcome.of(Company)),
        "custom_fields": any(deal.custom_fields for deal in outcome.of(Deal)),
    }
    for name, is_done in done.items():
        must(
            not (is_done and name in declared),
            f"{name} is declared impossible ({declared.get(name)}), yet such records came",
        )


@check()
def streams_declare_what_they_yield(bench: Bench) -> None:
    """Every kind of row that comes is declared by a `@stream`, and each stream says in a docstring what it is."""
    streams = bench.connector.streams()
    must(streams, "no method is marked with @stream")
    silent = [decl.method for decl in streams if not decl.description]
    must(not silent, f"streams without a docstring: {some(silent)}. It becomes the asset's description.")
    declared = {kind for decl in streams for kind in decl.records}
    outcome = bench.good_sync()
    landed: set[type[Record]] = {*KEYS, HistoryRead}
    missing = {type(record).__name__ for record in outcome.records if type(record) in landed} - {
        kind.__name__ for kind in declared
    }
    must(
        not missing, f"these came, but no @stream declares them: {some(missing)}. Volume is judged by what is declared."
    )


@check("incremental")
def start_date_leaves_out_what_is_older(bench: Bench) -> None:
    """With `start_date` only deals modified since then come, each with its whole history."""
    bench.start()
    bench.advance(days=400)
    since = bench.now().date().isoformat()
    bench.advance(days=2)
    one, two = bench.ids()[:2]
    bench.crm.move(one)
    bench.crm.move(two)
    bench.advance(hours=1)
    outcome = bench.good_sync(start_date=since)
    came = {deal.deal_id for deal in outcome.of(Deal)}
    must({one, two} <= came, f"deals modified after start_date did not come: {some({one, two} - came)}")
    must(
        came <= {one, two}, f"deals came that were last modified 400 days before start_date: {some(came - {one, two})}"
    )
    if "stage_history" not in bench.capabilities.impossible():
        path = bench.truth.deals[one].path
        count = len({event.event_id for event in bench.landing.events(one)})
        whole = path is msgspec.UNSET or count >= len(path) - 1  # the entry stage has a check of its own
        must(
            whole,
            f"deal {one} came with {count} stage changes, it has {len(path or ())}: start_date chooses deals, not history",
        )


@check()
def no_secret_is_shown_anywhere(bench: Bench) -> None:
    """Not in logs, prints, errors, warnings, cursors, rejects, progress, or in any record: neither the settings' secrets nor tokens."""
    bench.start()
    texts: dict[str, str] = {}
    with _listening() as heard:
        _remember(bench, texts, "a sync without trouble")
        for kind in ("unauthorized", "bad_request", "daily_limit", "cut_body"):
            _troubled(bench, texts, kind)
    texts["the log, or what was printed"] = heard.getvalue()
    secrets = [*secrets_of(bench.settings()), *bench.crm.secrets]
    for where, text in texts.items():
        for secret in secrets:
            must(len(secret) < 4 or not any(form in text for form in _forms(secret)), f"a secret stands in {where}")


@check()
def recorded_answers_are_scrubbed(bench: Bench) -> None:
    """Answers that were recorded for tests hold no token, and no e-mail address outside the domains reserved for examples."""
    folder = bench.harness.recordings or _home_of(bench.harness)
    if folder is None:
        return
    secrets = secrets_of(bench.settings())
    for path in recordings(folder):
        found = list(problems(path.read_text(encoding="utf-8", errors="replace"), secrets))
        must(
            not found,
            f"{path.relative_to(folder)} holds {' and '.join(found)}. Write recordings with `connectors.testing.save_fixture`.",
        )


def _home_of(harness: type) -> Path | None:
    try:
        return Path(inspect.getfile(harness)).parent
    except (TypeError, OSError):
        return None  # written into a prompt: no files beside it


def _troubled(bench: Bench, texts: dict[str, str], kind: FaultKind) -> None:
    bench.fresh()
    try:
        bench.crm.fault(kind, after=2, times=None if kind != "cut_body" else 1)
    except Impossible:
        return
    _remember(bench, texts, f"a sync with {kind}")
    bench.crm.clear_faults()


def _remember(bench: Bench, texts: dict[str, str], when: str) -> None:
    outcome = bench.sync(bugs=True)
    for record in outcome.records:
        texts[f"{when}: a {type(record).__name__}"] = texts.get(f"{when}: a {type(record).__name__}", "") + _shown(
            record
        )
    texts[f"{when}: the cursors"] = str(bench.landing.cursors)
    texts[f"{when}: the progress"] = "\n".join(outcome.progress)
    texts[f"{when}: the reasons"] = "\n".join(outcome.reasons)
    texts[f"{when}: the names of the calls"] = repr(outcome.calls)
    error = outcome.error or outcome.bug
    if error is not None:
        shown = "".join(traceback.format_exception(error)) if isinstance(error, MuaraError) else str(error)
        texts[f"{when}: the error"] = shown + repr(error.args)


def _shown(record: Record) -> str:
    try:
        return msgspec.json.encode(record).decode() + "\n"
    except (TypeError, ValueError, UnicodeError):
        return repr(record) + "\n"


def _forms(secret: str) -> Iterator[str]:
    yield secret
    yield urllib.parse.quote(secret, safe="")
    yield base64.b64encode(secret.encode()).decode().rstrip("=")


@contextlib.contextmanager
def _listening() -> Iterator[io.StringIO]:
    """Everything that is logged, at whatever level, or printed."""
    heard = io.StringIO()
    root, handler = logging.getLogger(), logging.StreamHandler(heard)
    level = root.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    try:
        with contextlib.redirect_stdout(heard), contextlib.redirect_stderr(heard):
            yield heard
    finally:
        root.removeHandler(handler)
        root.setLevel(level)


FORM = [
    it_is_built_for_this_sdk,
    settings_refuse_what_they_do_not_know,
    secrets_are_typed_as_secrets,
    impossibilities_are_explained,
    nothing_is_declared_impossible_that_is_done,
    streams_declare_what_they_yield,
    start_date_leaves_out_what_is_older,
    no_secret_is_shown_anywhere,
    recorded_answers_are_scrubbed,
]

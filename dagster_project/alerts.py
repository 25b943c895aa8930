"""Telling people: newly stalled deals, syncs that failed or look suspicious, checks that fail, posted to Slack or any webhook.

What was told is remembered in `<home>/alerts.json`, so each thing is told once, and once more when it is well again. A receiver that is down never
breaks a run: the news stays untold and goes out with the next run.
"""

from __future__ import annotations

import json
import logging
import time
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from http.client import HTTPException
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import msgspec
from msgspec import Meta

from connectors.sdk.errors import ConfigError, MuaraError
from connectors.sdk.redaction import redactor
from connectors.sdk.settings import resolve
from dagster_project.cli_output import offending
from warehouse.home import LockedError, lock

if TYPE_CHECKING:
    from dagster_project.operations import Hub
    from warehouse.build import BuildResult
    from warehouse.landing.reports import SyncReport

Event = Literal["stalled_deals", "syncs", "checks"]
EVENTS: tuple[Event, ...] = ("stalled_deals", "syncs", "checks")
TIMEOUT_S = 5.0
#: Lines in one message; the rest is a number.
MOST_LINES = 10
_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
_log = logging.getLogger("muara.alerts")


class AlertSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Attributes of `dagster_project.components.Alerts`."""

    url: Annotated[
        str,
        Meta(
            description="Address to post to; best as {env: NAME}, for it is a secret. https, or http on this machine."
        ),
    ]
    format: Annotated[
        Literal["slack", "discord", "json"],
        Meta(description="slack (also Mattermost, Google Chat), discord, or json: {event, project, text, items}."),
    ] = "slack"
    events: Annotated[tuple[Event, ...], Meta(description="What is told: stalled_deals, syncs, checks.")] = EVENTS
    sources: Annotated[tuple[str, ...], Meta(description="Only of these sources; default: all.")] = ()


class News(msgspec.Struct, frozen=True, kw_only=True):
    """One message: `lines` for people, `items` for programs."""

    event: Event
    title: str
    lines: Sequence[str]
    items: Sequence[Mapping[str, Any]]

    @property
    def text(self) -> str:
        """Title and the first lines."""
        more = [f"... and {len(self.lines) - MOST_LINES} more"] if len(self.lines) > MOST_LINES else []
        return "\n".join([self.title, *self.lines[:MOST_LINES], *more])


class Known(msgspec.Struct, kw_only=True):
    """What one receiver was told and is still true: deal key -> since when it stands, source -> trouble, check -> severity."""

    stalled_deals: dict[str, str] = {}
    syncs: dict[str, str] = {}
    checks: dict[str, str] = {}


class Receiver(msgspec.Struct, frozen=True, kw_only=True):
    """One Alerts document of the project. `attributes` as written, not resolved; `where` for messages."""

    attributes: Mapping[str, Any]
    where: str


def settings_of(receiver: Receiver, env: Mapping[str, str]) -> AlertSettings:
    """The settings with the address read from the environment and hidden from now on. Raises ConfigError naming the key."""
    where = f"{receiver.where}: attributes"
    settings = _checked(resolve(receiver.attributes, env, where=where), where)
    parts = urllib.parse.urlsplit(settings.url)
    redactor.add(settings.url, *(part for part in parts.path.split("/") if len(part) > 8), parts.query)
    if parts.scheme != "https" and not (parts.scheme == "http" and parts.hostname in _LOOPBACK):
        raise ConfigError(f"{where}: url must begin with https:// (http:// on this machine only).")
    return settings


def check_shape(receiver: Receiver) -> None:
    """Check the document as far as that is possible without reading any variable. Raises ConfigError."""
    shown = {
        key: "https://x" if isinstance(value, Mapping) and set(value) == {"env"} else value
        for key, value in receiver.attributes.items()
    }
    _checked(shown, f"{receiver.where}: attributes")


def _checked(attributes: Mapping[str, Any], where: str) -> AlertSettings:
    try:
        return msgspec.convert(attributes, AlertSettings)
    except msgspec.ValidationError as error:
        known = ", ".join(AlertSettings.__struct_fields__)
        raise ConfigError(f"{where}: {error}. Known keys: {known}.") from None


@contextmanager
def watched_sync(hub: Hub, source: str) -> Iterator[Callable[[SyncReport], SyncReport]]:
    """Run a sync in this block and pass its report through what the block is given: how it ended is told, an error of it too."""

    def told(report: SyncReport) -> SyncReport:
        _tell(hub, "syncs", lambda settings, known: sync_news(source, report.status, report.reasons, settings, known))
        return report

    try:
        yield told
    except MuaraError as error:
        reason = redactor.redact(str(error))
        _tell(hub, "syncs", lambda settings, known: sync_news(source, "failed", [reason], settings, known))
        raise


def tell_build(hub: Hub, result: BuildResult) -> None:
    """Tell of checks that fail since this build, and of deals that stall since it was published."""
    _tell(hub, "checks", lambda settings, known: check_news(result, settings, known))
    if result.status == "published":
        _tell(
            hub, "stalled_deals", lambda settings, known: stalled_news(_stalled(hub, result.published), settings, known)
        )


def sync_news(
    source: str, status: str, reasons: Sequence[str], settings: AlertSettings, known: Known
) -> tuple[News | None, Known]:
    """What is new of a source's sync, and what is known once it is told. Partial is no news: the next sync goes on."""
    before = known.syncs.get(source)
    if (settings.sources and source not in settings.sources) or status == before:
        return None, known
    others = {key: value for key, value in known.syncs.items() if key != source}
    if status in ("failed", "suspicious"):
        now = msgspec.structs.replace(known, syncs={**others, source: status})
        title = f"Sync of {source} {'failed' if status == 'failed' else 'looks suspicious; nothing was deleted'}"
        items = [{"source": source, "status": status, "reasons": list(reasons)}]
        return News(event="syncs", title=title, lines=[f"- {reason}" for reason in reasons], items=items), now
    if status == "complete" and before is not None:
        title = f"Sync of {source} is well again (it was {before})"
        items = [{"source": source, "status": status, "reasons": []}]
        return News(event="syncs", title=title, lines=[], items=items), msgspec.structs.replace(known, syncs=others)
    return None, known


def check_news(result: BuildResult, settings: AlertSettings, known: Known) -> tuple[News | None, Known]:
    """Checks that fail and were not told to fail, errors first."""
    failing = [
        check
        for check in result.failed_checks
        if not settings.sources or not check.source_keys or set(check.source_keys) & set(settings.sources)
    ]
    now = msgspec.structs.replace(known, checks={check.name: check.severity for check in failing})
    new = [check for check in failing if known.checks.get(check.name) != check.severity]
    well = sorted(known.checks.keys() - now.checks.keys())
    if not new and not well:
        return None, now
    refused = result.status == "refused"
    title = "Not published: checks failed; the published file is as it was" if refused else "Checks of the warehouse"
    lines = [f"- {check.severity}: {check.name}: {offending(check.failing, check.description)}" for check in new]
    lines += [f"- passes again: {name}" for name in well]
    items: list[dict[str, Any]] = [
        {"check": check.name, "severity": check.severity, "rows": check.failing, "status": "fail"} for check in new
    ]
    items += [{"check": name, "severity": known.checks[name], "rows": 0, "status": "pass"} for name in well]
    return News(event="checks", title=title, lines=lines, items=items), now


def stalled_news(
    deals: Sequence[Mapping[str, Any]], settings: AlertSettings, known: Known
) -> tuple[News | None, Known]:
    """Deals that stall and were not told to stall in this stage, the worst first."""
    wanted = [deal for deal in deals if not settings.sources or deal["source_key"] in settings.sources]
    now = msgspec.structs.replace(known, stalled_deals={deal["deal_key"]: deal["stage_key"] or "" for deal in wanted})
    new = [deal for deal in wanted if known.stalled_deals.get(deal["deal_key"]) != (deal["stage_key"] or "")]
    if not new:
        return None, now
    title = f"{len(new):,} {'deal has' if len(new) == 1 else 'deals have'} stalled"
    lines = [f"- {_link(deal, settings.format)}: {_standing(deal)}" for deal in new]
    return News(event="stalled_deals", title=title, lines=lines, items=new), now


def _standing(deal: Mapping[str, Any]) -> str:
    parts = [
        f"{deal['days_in_stage']:,.0f} days in {deal['stage'] or 'an unknown stage'} (usual limit {deal['threshold_days']:,.0f})"
    ]
    if deal["amount_reporting"] is not None:
        parts.append(f"{deal['amount_reporting']:,.0f} {deal['reporting_currency']}")
    if deal["owner"]:
        parts.append(str(deal["owner"]))
    return ", ".join(parts)


def _link(deal: Mapping[str, Any], form: str) -> str:
    name = _plain(deal["name"] or deal["deal_key"], form)
    url = str(deal["deal_url"] or "")
    if not url.startswith("https://") or form == "json":
        return f"{name} ({deal['deal_key']})"
    return f"<{url}|{name}>" if form == "slack" else f"[{name}](<{url}>)"


def _plain(text: str, form: str) -> str:
    """A deal's name cannot address a channel or forge a link."""
    if form == "slack":
        return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace("|", "¦")
    return text.translate(str.maketrans("[]()@", "⟦⟧❨❩＠")) if form == "discord" else text


_STALLED = """
select s.deal_key, s.source_key, s.source, s.pipeline, s.stage_key, s.stage, s.name, s.deal_url, s.owner, s.amount_reporting,
       $1 as reporting_currency, s.days_in_stage, s.threshold_days, s.reasons, s.reason_text
from main.stalled_deals as s where s.is_stalled and s.is_primary order by s.stalled_rank, s.deal_key
"""


def _stalled(hub: Hub, published: Path) -> list[dict[str, Any]]:
    from warehouse.published import query  # noqa: PLC0415 - brings duckdb

    return query(published, _STALLED, [hub.warehouse_settings().reporting_currency]).dicts()


def _tell(hub: Hub, event: Event, news: Callable[[AlertSettings, Known], tuple[News | None, Known]]) -> None:
    """Post what is new to every receiver that wants this event. Nothing that goes wrong here leaves this function."""
    try:
        receivers = hub.project.alerts
        if receivers:
            with _state(hub) as states:
                for receiver in receivers:
                    _tell_one(hub, receiver, states, event, news)
    except Exception as error:  # an alert must not break the run that it is about
        _log.warning("alerts: not told (%s: %s)", type(error).__name__, redactor.redact(str(error)))


def _tell_one(
    hub: Hub,
    receiver: Receiver,
    states: dict[str, Known],
    event: Event,
    news: Callable[[AlertSettings, Known], tuple[News | None, Known]],
) -> None:
    try:
        settings = settings_of(receiver, hub.env)
        if event not in settings.events:
            return
        # By the address as written, so that a renewed one behind the same variable does not hear everything again.
        name = (
            json.dumps(receiver.attributes["url"], sort_keys=True)
            if isinstance(receiver.attributes["url"], Mapping)
            else "url"
        )
        message, now = news(settings, states.get(name, Known()))
        if message is not None:
            post(settings, message, project=hub.root.name)
        states[name] = now
    except (MuaraError, OSError, HTTPException) as error:
        _log.warning("alerts: %s not told; the next run tries again (%s)", event, redactor.redact(str(error)))


def post(settings: AlertSettings, message: News, *, project: str) -> None:
    """Send one message, once. Raises OSError when the receiver cannot be reached or refuses."""
    if settings.format == "json":
        body: dict[str, Any] = {
            "event": message.event,
            "project": project,
            "text": message.text,
            "items": list(message.items),
        }
    else:
        body = {"content" if settings.format == "discord" else "text": f"[{project}] {message.text}"}
    request = urllib.request.Request(  # noqa: S310 - https, or http on this machine: settings_of saw to it
        settings.url,
        data=msgspec.json.encode(body),
        headers={"Content-Type": "application/json", "User-Agent": "muara"},
        method="POST",
    )
    with urllib.request.urlopen(request, timeout=TIMEOUT_S) as answer:  # noqa: S310
        answer.read()


@contextmanager
def _state(hub: Hub) -> Iterator[dict[str, Known]]:
    """What each receiver knows; written back when the block ends. One process at a time."""
    path = hub.home.root / "alerts.json"
    with _patiently(hub.home.root / "alerts.lock"):
        try:
            states = msgspec.json.decode(path.read_bytes(), type=dict[str, Known])
        except (FileNotFoundError, msgspec.MsgspecError):
            states = {}
        yield states
        beside = path.with_suffix(".tmp")
        beside.write_bytes(msgspec.json.encode(states))
        beside.replace(path)


@contextmanager
def _patiently(path: Path) -> Iterator[None]:
    """The lock, waited for a little: several syncs may end in one second."""
    until = time.monotonic() + 4 * TIMEOUT_S
    with ExitStack() as stack:
        while True:
            try:
                stack.enter_context(lock(path, "alerts"))
                break
            except LockedError:
                if time.monotonic() > until:
                    raise
                time.sleep(0.1)
        yield

"""What a connector says about itself, and what it is handed.

    class Acme(Connector):
        name = "acme"                              # its entry-point name in `muara.connectors`
        Settings = AcmeSettings                    # a ConnectorSettings model; any value may be {env: NAME}
        capabilities = Capabilities(...)

        @stream(Stage)                             # small: whole, every sync
        def stages(self, sync): ...
        @stream(Deal, HistoryRead, cursor="updated_at")
        def deals(self, sync): ...

The sync loop (`warehouse.sync`) calls `read`, which by default runs the declared streams in order. A connector keeps no state of its own
between syncs: what it must remember goes into a cursor (`Checkpoint`), what is already stored it asks `sync.held`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, ClassVar, Literal, Protocol, TypeVar

import msgspec

from connectors.sdk.clock import Clock
from connectors.sdk.records import FieldDef, Record, SourceInfo
from connectors.sdk.settings import ConnectorSettings

#: Version of this interface. A plug-in built for another major version is refused with a message, not a traceback.
SDK_VERSION = "1.0"

StreamName = Literal["pipelines", "stages", "deals", "stage_changes", "field_changes", "owners", "companies"]
STREAMS: tuple[StreamName, ...] = (
    "pipelines",
    "stages",
    "deals",
    "stage_changes",
    "field_changes",
    "owners",
    "companies",
)


class Capabilities(msgspec.Struct, frozen=True, kw_only=True):
    """What this CRM can and cannot do, declared once: the docs table, the contract suite and the UI are made from it.

    Every False is a *declared impossibility* and wants a sentence in `notes` under the same name.
    """

    stage_history: bool = True
    field_history: bool = True
    entry_stage: bool = True
    incremental: bool = True
    reports_deletes: bool = True
    reports_archives: bool = True
    reports_merges: bool = True
    finds_purges: bool = True
    late_commits: bool = True
    custom_fields: bool = True
    owners: bool = True
    companies: bool = True
    call_budget: bool = True
    renews_tokens: bool = True
    notes: Mapping[str, str] = {}

    def impossible(self) -> dict[str, str]:
        """Declared impossibilities: capability -> why."""
        return {
            name: self.notes.get(name, "")
            for name in self.__struct_fields__
            if name != "notes" and getattr(self, name) is False
        }


class HeldDeal(msgspec.Struct, frozen=True):
    """What landing already holds of one deal. `version` is the record's updated_at as ISO text in UTC ("" = unknown)."""

    version: str
    pipeline_id: str | None
    stage_id: str | None
    status: str | None
    stage_entered_at: str | None
    presence: str
    has_history: bool
    history_complete: bool


class Held(Protocol):
    """Read-only view of what is stored, as of the start of this sync. Backed by an index on disk; safe for many keys."""

    def deals(self, keys: Sequence[str]) -> dict[str, HeldDeal]:
        """Held deals among `keys` (missing keys are not held). Any number of keys."""

    def versions(self, stream: str, keys: Sequence[str]) -> dict[str, str]:
        """Key -> version text of held records of `stream`."""

    def live_count(self, stream: str) -> int:
        """How many keys of `stream` are held and not gone."""

    def live_keys(self, stream: str) -> Iterator[str]:
        """All live keys of `stream`, ascending as text, streamed from disk."""

    def live_deals_without_history(self, limit: int = 1_000_000) -> Iterator[str]:
        """Keys of live deals whose history was never read completely since they last moved; open and recently moved first."""


class Sync(Protocol):
    """Everything a connector is handed for one sync."""

    source_key: str
    settings: Any
    clock: Clock
    held: Held
    #: `--full`: re-read everything; windows are open at the start, cursors still move.
    full: bool
    #: Cursors as of the last commit, by stream; {} where none.
    cursors: Mapping[str, Mapping[str, Any]]
    #: Rows a page: from settings, None = the vendor's maximum.
    page_size: int | None
    #: The call policy (`connectors.sdk.client.CallPolicy`): every request of the sync goes through it.
    calls: Any

    def cursor(self, stream: str) -> Mapping[str, Any]:
        """The committed cursor of `stream`, or {} (also {} under `--full`)."""

    def sweep_is_due(self, stream: str, every_days: float) -> bool:
        """True when no complete sweep of `stream` was recorded within `every_days` (or a sweep is open, or `--full`)."""

    def progress(self, done: int, total: int | None, what: str) -> None:
        """Tell the person watching. Cheap; call it as often as you like."""


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """One result of `check`. `level` error = the sync cannot work, warning = it will miss something, ok = was tried and works."""

    level: Literal["ok", "warning", "error"]
    what: str
    message: str
    what_to_do: str = ""


class PlanLine(msgspec.Struct, frozen=True, kw_only=True):
    """One line of `plan`: about how many rows and calls this stream will take. None = cannot be told without reading."""

    stream: str
    rows: int | None
    calls: int | None
    note: str = ""


class ReplayContext(msgspec.Struct, frozen=True, kw_only=True):
    """What a mapping function may lean on when stored `raw` is mapped again: settings and the reference records held."""

    settings: Any
    info: SourceInfo | None
    field_defs: tuple[FieldDef, ...]


F = TypeVar("F", bound=Callable[..., Iterable[Record]])


class StreamDecl(msgspec.Struct, frozen=True, kw_only=True):
    """A declared stream: the method's name, the record types it yields, its cursor in words, and its docstring as description."""

    method: str
    records: tuple[type[Record], ...]
    cursor: str | None
    description: str


def stream(*records: type[Record], cursor: str | None = None) -> Callable[[F], F]:
    """Declare a method as a stream of a connector. Streams run in the order in which they are written in the class."""

    def mark(method: F) -> F:
        method.__muara_stream__ = StreamDecl(  # type: ignore[attr-defined]  # functions may carry attributes, their type does not say which
            method=method.__name__, records=records, cursor=cursor, description=(method.__doc__ or "").strip()
        )
        return method

    return mark


class Connector:
    """Base of all connectors. An instance belongs to one source and one sync; nothing in it outlives the sync."""

    name: ClassVar[str]
    title: ClassVar[str] = ""
    sdk_version: ClassVar[str] = SDK_VERSION
    #: Raise it when a mapping function changes meaning; `muara replay` then re-derives typed columns from `raw`.
    mapper_version: ClassVar[int] = 1
    Settings: ClassVar[type[ConnectorSettings]]
    capabilities: ClassVar[Capabilities] = Capabilities()
    #: What a person must set up in the CRM, step by step (Markdown), for the docs page.
    setup_guide: ClassVar[str] = ""

    def __init__(self, settings: ConnectorSettings, *, source_key: str) -> None:
        self.settings = settings
        self.source_key = source_key

    @classmethod
    def streams(cls) -> tuple[StreamDecl, ...]:
        """Declared streams in the order in which they run."""
        found: dict[str, StreamDecl] = {}
        for klass in reversed(cls.__mro__):
            for attr, value in vars(klass).items():
                decl = getattr(value, "__muara_stream__", None)
                if decl is not None:
                    found[attr] = decl
        return tuple(found.values())

    def read(self, sync: Sync) -> Iterator[Record]:
        """Yield everything new since the cursors, in an order in which a deal never comes after its own history reading is lost.

        Raises ConfigError, QuotaError (ends the sync as partial), TransientError, VendorError.
        """
        for decl in self.streams():
            yield from getattr(self, decl.method)(sync)

    def check(self, sync: Sync) -> Iterable[Finding]:
        """Try credentials, scopes and field permissions with as few calls as possible; name what is missing."""
        raise NotImplementedError(f"connector {self.name!r} does not say how to check access")

    def plan(self, sync: Sync) -> Iterable[PlanLine]:
        """Calls and rows that a sync would take now, without reading the data."""
        return ()

    def remap(self, stream_name: str, raw: Mapping[str, Any], context: ReplayContext) -> Record | None:
        """Map one stored `raw` again (pure). None = this stream is not re-mapped by this connector."""
        return None

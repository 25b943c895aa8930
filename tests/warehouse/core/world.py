"""A small world for the core models: records as landing would hold them, a stand-in for the stage normaliser, and the built tables.

Days count from DAY_0 (2025-01-01 00:00 UTC): `day(5)` is 2025-01-06, `day(5.5)` is noon of that day.
"""

from __future__ import annotations

import types
import typing
from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime, timedelta
from decimal import Decimal
from functools import cache
from typing import Any

import duckdb

from connectors.sdk import records
from warehouse.ops import SOURCE_STATUS
from warehouse.runner import (
    MODELS,
    Check,
    Description,
    Model,
    PythonModel,
    in_order,
    insert_rows,
    load_models,
    run_models,
)
from warehouse.seeds import SEEDS, create_settings
from warehouse.settings import Thresholds, WarehouseSettings
from warehouse.stage_answers import stage_answers_model
from warehouse.stage_links import link_stages
from warehouse.stages import StageMapping

DAY_0 = datetime(2025, 1, 1)  # noqa: DTZ001 the warehouse keeps UTC as plain TIMESTAMP

CANONICAL = {
    "prospecting": 10,
    "qualification": 20,
    "discovery": 30,
    "nurture": 40,
    "proposal": 50,
    "negotiation": 60,
    "won": None,
    "lost": None,
    "on_hold": None,
    "post_sale": None,
}
#: label -> canonical stage, for the stand-in normaliser
WORDS = {
    "P": "prospecting",
    "Q": "qualification",
    "R": "proposal",
    "N": "negotiation",
    "Won": "won",
    "Lost": "lost",
    "Hold": "on_hold",
    "Onboarding": "post_sale",
}
_OUTCOME = {"won": "won", "lost": "lost", "post_sale": "won"}

_META = {
    "source_key": "VARCHAR",
    "_key": "VARCHAR",
    "_read_at": "TIMESTAMP",
    "_sync_seq": "BIGINT",
    "_ordinal": "BIGINT",
    "_mapper_version": "BIGINT",
    "_hash": "VARCHAR",
}
_STREAMS: dict[str, type[records.Record] | None] = {
    "sources": records.SourceInfo,
    "pipelines": records.Pipeline,
    "stages": records.Stage,
    "deals": records.Deal,
    "owners": records.Owner,
    "companies": records.Company,
    "currency_rates": records.CurrencyRate,
    "stage_changes": records.StageChange,
    "field_changes": records.FieldChange,
    "history_reads": None,
    "presence": None,
}
_PLAIN = {
    "history_reads": {"deal_id": "VARCHAR", "complete": "BOOLEAN", "is_combined": "BOOLEAN", "note": "VARCHAR"},
    "presence": {
        "stream": "VARCHAR",
        "key": "VARCHAR",
        "kind": "VARCHAR",
        "gone_at": "TIMESTAMP",
        "survivor": "VARCHAR",
    },
}


def day(number: float) -> datetime:
    """The instant so many days after DAY_0."""
    return DAY_0 + timedelta(days=number)


@cache
def landing_columns(stream: str) -> dict[str, str]:
    """Columns of one landing view, as docs/architecture.md describes them."""
    record = _STREAMS[stream]
    own = _PLAIN[stream] if record is None else _record_columns(record)
    extra = {"_read_ordinal": "BIGINT"} if stream in ("stage_changes", "field_changes") else {}
    return {**_META, **own, **extra}


def _record_columns(record: type[records.Record]) -> dict[str, str]:
    hints = typing.get_type_hints(record)
    return {name: _column_type(name, hints[name]) for name in record.__struct_fields__ if name != "read_at"}


def _column_type(name: str, hint: Any) -> str:
    parts = [part for part in typing.get_args(hint) if part is not type(None)]
    if isinstance(hint, types.UnionType) or typing.get_origin(hint) is typing.Union:
        hint = parts[0]
    simple = {datetime: "TIMESTAMP", date: "DATE", int: "BIGINT", float: "DOUBLE", bool: "BOOLEAN", str: "VARCHAR"}
    if hint is Decimal:
        return "DECIMAL(24,12)" if name == "rate" else "DECIMAL(18,4)"
    return simple.get(hint, "VARCHAR")


@cache
def core_models() -> tuple[Model, ...]:
    """The staging and core models, with their checks."""
    return tuple(model for model in load_models() if model.layer in {"staging", "core"})


def _answers(con: duckdb.DuckDBPyConnection) -> None:
    """The stand-in for the normaliser: WORDS by label; outcome from the flag where there is one."""
    con.execute(
        "create table staging.stage_answers (source_key varchar, pipeline_id varchar, stage_id varchar, valid_from timestamp, "
        "canonical_stage varchar, outcome varchar, mapping_method varchar, mapping_confidence double, mapping_explanation varchar)"
    )
    rows = con.execute(
        "select source_key, pipeline_id, stage_id, valid_from, label, outcome_flag from staging.stg_stage_labels"
    ).fetchall()
    for source, pipeline, stage, valid_from, label, flag in rows:
        canonical = WORDS.get(label, "unmapped")
        outcome = flag or _OUTCOME.get(canonical, "open")
        con.execute(
            "insert into staging.stage_answers values (?, ?, ?, ?, ?, ?, 'dictionary', 0.95, 'test')",
            [source, pipeline, stage, valid_from, canonical, outcome],
        )


_NORMALISER = PythonModel(
    schema="staging",
    name="stage_answers",
    reads=frozenset({"staging.stg_stage_labels"}),
    run=_answers,
    about=Description(description="Stand-in for the normaliser."),
)


class Built:
    """The tables of one build. Rows come as dicts, ordered by the given columns."""

    def __init__(self, con: duckdb.DuckDBPyConnection) -> None:
        self.con = con

    def rows(self, sql: str, *values: Any) -> list[dict[str, Any]]:
        cursor = self.con.execute(sql, list(values))
        names = [column[0] for column in cursor.description or []]
        return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]

    def one(self, sql: str, *values: Any) -> Any:
        row = self.con.execute(sql, list(values)).fetchone()
        return row[0] if row else None

    def deal(self, deal_key: str) -> dict[str, Any]:
        return self.rows("select * from main.deals where deal_key = ?", deal_key)[0]

    def changes(self, deal_key: str) -> list[dict[str, Any]]:
        return self.rows("select * from main.stage_changes where deal_key = ? order by seq", deal_key)

    def visits(self, deal_key: str) -> list[dict[str, Any]]:
        return self.rows("select * from main.stage_intervals where deal_key = ? order by seq", deal_key)

    def path(self, deal_key: str) -> list[tuple[str, float]]:
        """(stage id, day of entry) of every visit."""
        return [
            (v["stage_key"].rsplit(":", 1)[1], (v["entered_at"] - DAY_0) / timedelta(days=1))
            for v in self.visits(deal_key)
        ]

    def movements(self, deal_key: str) -> list[str]:
        return [c["movement"] for c in self.changes(deal_key)]

    def failed(self, severity: str | None = None) -> dict[str, list[dict[str, Any]]]:
        """Failing checks of the staging and core models: name -> offending rows."""
        checks = [check for model in core_models() for check in model.checks()]
        found = {check.name: self.rows(check.sql) for check in checks if severity in (None, check.severity)}
        return {name: rows for name, rows in found.items() if rows}

    def check(self, name: str) -> list[dict[str, Any]]:
        """Offending rows of one check."""
        checks: dict[str, Check] = {check.name: check for model in core_models() for check in model.checks()}
        return self.rows(checks[name].sql)


class World:
    """What landing holds. Every record is read at `read` (a day number) in the sync of the same number unless told otherwise."""

    def __init__(self, *, as_of: float = 400.0, currency: str = "USD", **thresholds: Any) -> None:
        self.as_of = day(as_of)
        self.settings = WarehouseSettings(reporting_currency=currency, thresholds=Thresholds(**thresholds))
        self.rows: dict[str, list[dict[str, Any]]] = {stream: [] for stream in _STREAMS}
        self.sources: list[dict[str, Any]] = []
        self.rates: list[dict[str, Any]] = []
        self.priorities: list[dict[str, Any]] = []
        self.links: list[dict[str, Any]] = []
        self._ordinal = 0

    def source(self, source_key: str = "crm", source_type: str = "hubspot", **more: Any) -> World:
        row = {"source_key": source_key, "source_type": source_type, "name": source_key, "is_stale": False}
        self.sources.append({**row, "data_through_at": self.as_of, **more})
        return self

    def land(
        self, stream: str, source_key: str, key: str, /, *, read: float = 300.0, mapper: int = 1, **values: Any
    ) -> int:
        """One landed row; returns its ordinal."""
        self._ordinal += 1
        meta = {
            "source_key": source_key,
            "_key": key,
            "_read_at": day(read),
            "_sync_seq": values.pop("sync_seq", int(read * 1000)),
            "_ordinal": self._ordinal,
            "_mapper_version": mapper,
        }
        self.rows[stream].append({**meta, **values})
        return self._ordinal

    def pipeline(
        self,
        stages: Sequence[str | tuple[str, str | None]],
        *,
        source_key: str = "crm",
        pipeline_id: str = "sales",
        read: float = 0.0,
    ) -> World:
        """A pipeline with its stages in order; a pair gives (stage id, outcome flag). The id is the label too."""
        self.land(
            "pipelines", source_key, pipeline_id, read=read, pipeline_id=pipeline_id, name=pipeline_id, is_active=True
        )
        for order, entry in enumerate(stages, start=1):
            stage_id, outcome = (
                entry if isinstance(entry, tuple) else (entry, _OUTCOME.get(WORDS.get(entry, ""), "open"))
            )
            self.stage(stage_id, order, outcome, source_key=source_key, pipeline_id=pipeline_id, read=read)
        return self

    def stage(
        self,
        stage_id: str,
        order: int | None,
        outcome: str | None,
        *,
        source_key: str = "crm",
        pipeline_id: str = "sales",
        **more: Any,
    ) -> World:
        values = {"name": stage_id, "is_archived": False, "is_synthetic": False, **more}
        key = f"{pipeline_id}:{stage_id}"
        self.land(
            "stages",
            source_key,
            key,
            pipeline_id=pipeline_id,
            stage_id=stage_id,
            display_order=order,
            outcome=outcome,
            **values,
        )
        return self

    def deal(self, deal_id: str = "1", *, source_key: str = "crm", **values: Any) -> World:
        """A version of a deal. `created` and `closed` are day numbers."""
        for name in ("created", "closed", "stage_entered", "updated", "last_activity"):
            if name in values:
                number = values.pop(name)
                values[f"{name}_at"] = None if number is None else day(number)
        base = {
            "pipeline_id": "sales",
            "presence": "present",
            "dates_only": False,
            "foreign_ids": "{}",
            "custom_fields": "{}",
        }
        self.land("deals", source_key, deal_id, **{**base, "deal_id": deal_id, **values})
        return self

    def history(
        self,
        events: Iterable[tuple[Any, ...]],
        deal_id: str = "1",
        *,
        source_key: str = "crm",
        read: float = 300.0,
        complete: bool = True,
        mapper: int = 1,
        fields: Iterable[Mapping[str, Any]] = (),
        **reading: Any,
    ) -> World:
        """One reading of a deal's history. Events: (stage id, day[, {more columns}]); fields: dicts with field, day, old_value, new_value."""
        ordinal = self.land(
            "history_reads",
            source_key,
            deal_id,
            read=read,
            mapper=mapper,
            deal_id=deal_id,
            complete=complete,
            **{"is_combined": False, **reading},
        )
        base = {
            "deal_id": deal_id,
            "to_pipeline_id": "sales",
            "sequence": 0,
            "evidence": "exact",
            "precision": "instant",
        }
        for number, (stage_id, at, *more) in enumerate(events):
            values = {
                **base,
                "event_id": f"e{number:03}",
                "to_stage_id": stage_id,
                "changed_at": day(at),
                **(more[0] if more else {}),
            }
            self.land(
                "stage_changes",
                source_key,
                f"{deal_id}:{values['event_id']}",
                read=read,
                mapper=mapper,
                _read_ordinal=ordinal,
                **values,
            )
        for number, change in enumerate(fields):
            values = {
                "event_id": f"f{number:03}",
                "sequence": 0,
                **change,
                "deal_id": deal_id,
                "changed_at": day(change["day"]),
            }
            values.pop("day")
            self.land(
                "field_changes",
                source_key,
                f"{deal_id}:{values['event_id']}",
                read=read,
                mapper=mapper,
                _read_ordinal=ordinal,
                **values,
            )
        return self

    def gone(
        self,
        kind: str,
        deal_id: str = "1",
        *,
        stream: str = "deals",
        source_key: str = "crm",
        read: float,
        gone: float | None = None,
        survivor: str | None = None,
    ) -> World:
        """A tombstone, or with kind `present` a sign of life."""
        self.land(
            "presence",
            source_key,
            f"{stream}:{deal_id}",
            read=read,
            stream=stream,
            key=deal_id,
            kind=kind,
            gone_at=None if gone is None else day(gone),
            survivor=survivor,
        )
        return self

    def build(self, *, session_zone: str = "UTC", mapping: StageMapping | None = None) -> Built:
        """All staging and core tables, in a database of its own. With a `mapping`, the real normaliser answers, not the stand-in."""
        con = duckdb.connect(config={"threads": 1})
        con.execute(f"set TimeZone = '{session_zone}'")
        for schema in ("landing", "staging", "ops"):
            con.execute(f"create schema {schema}")
        con.execute((MODELS / "macros.sql").read_text(encoding="utf-8"))
        for stream in _STREAMS:
            _insert(con, f"landing.{stream}", landing_columns(stream), self.rows[stream])
        create_settings(con, self.settings, as_of=str(self.as_of))
        self._seed(con)
        link_stages(con, mapping)
        normaliser = _NORMALISER if mapping is None else stage_answers_model(mapping, 0.75)
        run_models(con, in_order([*core_models(), normaliser]))
        return Built(con)

    def _seed(self, con: duckdb.DuckDBPyConnection) -> None:
        canonical = [
            {"canonical_stage": k, "canonical_order": v, "outcome": _OUTCOME.get(k, k if k == "lost" else "open")}
            for k, v in CANONICAL.items()
        ]
        _insert(con, "staging.source_status", SOURCE_STATUS, self.sources)
        given = {
            "staging.seed_fx_rates": self.rates,
            "staging.seed_source_priority": self.priorities,
            "staging.seed_deal_links": self.links,
            "staging.seed_canonical_stages": canonical,
        }
        for table, types_of in SEEDS.items():
            _insert(con, table, types_of, given[table])


def _insert(
    con: duckdb.DuckDBPyConnection, table: str, columns: Mapping[str, str], rows: Sequence[Mapping[str, Any]]
) -> None:
    """As `insert_rows`, but a column that the table lacks is a mistake of the test."""
    unknown = {name for row in rows for name in row} - set(columns)
    assert not unknown, f"{table} has no column {unknown}"
    insert_rows(con, table, columns, rows)


def sales_world(**settings: Any) -> World:
    """One CRM with one pipeline P, Q, R, N, Won, Lost."""
    return World(**settings).source().pipeline(["P", "Q", "R", "N", "Won", "Lost"])

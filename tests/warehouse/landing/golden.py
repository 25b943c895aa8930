"""Makes the golden landing folder of a release: `python -m tests.warehouse.landing.golden`. Run once per schema version, then committed for good."""

from __future__ import annotations

import json
import shutil
import sys
import tempfile
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

from connectors.sdk.records import (
    Checkpoint,
    Company,
    CurrencyRate,
    FieldChange,
    FieldDef,
    HistoryRead,
    Owner,
    Pipeline,
    Reject,
    Seen,
    SourceInfo,
    Stage,
    Tombstone,
)
from tests.warehouse.scripted import START, Land, change, deal, sweep
from warehouse.landing.schema import MUARA_SCHEMA, STREAMS

GOLDEN = Path(__file__).parents[2] / "golden"


def fill(root: Path) -> Land:
    """Two syncs with at least one row in every stream and a value in every field of a deal."""
    land = Land(root)
    land.sync(
        SourceInfo(
            account_id="acc-1",
            name="Acme",
            deep_link="https://crm.example/{id}",
            time_zone="Asia/Jakarta",
            home_currency="USD",
        ),
        Pipeline(pipeline_id="p", name="Sales", display_order=1, updated_at=START),
        Stage(pipeline_id="p", stage_id="new", name="New", display_order=1, outcome="open", probability=0.1),
        Owner(owner_id="o", name="Olga", email="olga@example.com"),
        Company(company_id="c", name="Cora", domain="cora.example", country="ID", industry="Food"),
        CurrencyRate(currency="EUR", base_currency="USD", rate=Decimal("1.123456789012"), rate_date=date(2026, 1, 1)),
        FieldDef(object_type="deal", code="x", label="X", field_type="text", is_custom=True),
        deal("a", **_every_value()),
        deal("b"),
        HistoryRead(
            deal_id="a",
            complete=True,
            stage_changes=(change("a", "1"), change("a", "2", "won", START + timedelta(days=1), evidence="created")),
            field_changes=(
                FieldChange(event_id="f", deal_id="a", field="amount", changed_at=START, old_value="1", new_value="2"),
            ),
        ),
        Reject(
            stream="deals",
            reason="no_date",
            detail="row 7 has no date",
            source_file="a.csv",
            source_row=7,
            raw={"a": 1},
        ),
        Tombstone(stream="deals", key="z", kind="merged", gone_at=START, survivor="a"),
        Checkpoint(stream="deals", cursor={"updated_at": "2026-03-01T08:00:00Z"}),
    )
    land.clock.advance(hours=1)
    land.sync(deal("b", "won"), Seen(stream="deals", key="a"), sweep(complete=False))
    return land


def _every_value() -> dict[str, Any]:
    return {
        "name": "Café “№ 1”",
        "pipeline_id": "p",
        "status": "open",
        "amount": Decimal("1234.5678"),
        "currency": "EUR",
        "home_amount": Decimal("1300"),
        "created_at": START - timedelta(days=3, microseconds=1),
        "stage_entered_at": START,
        "closed_at": START,
        "expected_close_date": date(2026, 4, 1),
        "owner_id": "o",
        "company_id": "c",
        "company_name": "Cora",
        "lead_source": "web",
        "deal_type": "new",
        "lost_reason": "price",
        "probability": 0.25,
        "last_activity_at": START,
        "next_activity_at": START,
        "url": "https://crm.example/a",
        "source_file": "a.csv",
        "source_sheet": "S",
        "source_row": 3,
        "dates_only": True,
        "foreign_ids": {"salesforce": "006"},
        "custom_fields": {"Größe": [1, None, {"x": "y"}]},
        "updated_at": START,
    }


def content(land: Land) -> dict[str, list[dict[str, str | None]]]:
    """All rows of every stream by column name, values as text."""
    found = {}
    for stream, columns in STREAMS.items():
        names = ["source_key", *columns]
        shown = ", ".join(f"cast({name} as varchar)" for name in names)
        rows = land.query(f"select {shown} from landing.{stream} order by _sync_seq, _ordinal")
        found[stream] = [dict(zip(names, row, strict=True)) for row in rows]
    return found


def main() -> None:
    target = GOLDEN / f"landing_v{MUARA_SCHEMA}"
    if target.exists():
        sys.exit(f"{target} exists. A golden folder is made once; raise MUARA_SCHEMA for a new one.")
    with tempfile.TemporaryDirectory() as folder:
        land = fill(Path(folder))
        shutil.copytree(land.home.landing, target, ignore=shutil.ignore_patterns(".work", "lock"))
        (target / "expected.json").write_text(
            json.dumps(content(land), ensure_ascii=False, indent=1) + "\n", encoding="utf-8"
        )


if __name__ == "__main__":
    main()

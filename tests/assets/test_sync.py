"""What Dagster is told about a sync: everything a person needs, and never more success than there was."""

from datetime import UTC, datetime, timedelta

import dagster as dg
import pytest

from assets.keys import streams_of
from assets.landed import _WORDS, landed_schema
from assets.sync import COMPLETE_CHECK, FIELDS_CHECK, REJECTS_CHECK, VOLUME_CHECK, Landed, SyncRequest, source_assets
from assets.translation import Freshness, Translation
from connectors.sdk.connector import STREAMS, Capabilities, Connector, stream
from connectors.sdk.errors import ConfigError, QuotaError, TransientError
from connectors.sdk.records import Deal
from warehouse.landing.reports import DriftLine, Notice, RowCounts, SyncReport

START = datetime(2026, 1, 1, tzinfo=UTC)


class Acme(Connector):
    name = "acme"
    capabilities = Capabilities(owners=False, companies=False, notes={"owners": "has none", "companies": "has none"})

    @stream(Deal, cursor="updated_at")
    def deals(self, sync):
        """Deals by their last change."""


def report(status="complete", **more) -> SyncReport:
    return SyncReport(
        sync_id="20260101T000000Z",
        source_key="acme_eu",
        connector="acme",
        status=status,
        started_at=START,
        ended_at=START + timedelta(seconds=90),
        rows={"deals": RowCounts(read=10, new=3, changed=2, deleted=1, rejected=1)},
        calls={"deals.list": 4, "stages.list": 1},
        quota_left=1000,
        cursors_before={"deals": {"at": "2025-12-31"}},
        cursors_after={"deals": {"at": "2026-01-01"}},
        **more,
    )


NO_TRANSLATION = Translation()


def assets(run, translation=NO_TRANSLATION) -> dg.AssetsDefinition:
    return source_assets(source="acme_eu", connector_name="acme", connector=Acme, translation=translation, run=run)


def materialize(run, **config):
    run_config = {"ops": {"sync_acme_eu_step": {"config": config}}} if config else None
    return dg.materialize([assets(run)], raise_on_error=False, run_config=run_config)


def metadata_of(result, name: str) -> dict:
    event = next(e for e in result.get_asset_materialization_events() if e.asset_key == dg.AssetKey(["acme_eu", name]))
    return {key: value.value for key, value in event.materialization.metadata.items()}


def check_of(result, name: str = COMPLETE_CHECK) -> dg.AssetCheckEvaluation:
    return next(e for e in result.get_asset_check_evaluations() if e.check_name == name)


def observed(result, name: str) -> dict:
    event = next(
        e.event_specific_data.asset_observation
        for e in result.all_events
        if e.is_asset_observation and e.asset_key == dg.AssetKey(["acme_eu", name])
    )
    return {key: value.value for key, value in event.metadata.items()}


def failure_of(result):
    return next(event for event in result.all_events if event.is_step_failure).step_failure_data


def test_streams_declared_impossible_are_no_assets():
    assert streams_of(Acme) == ("pipelines", "stages", "deals", "stage_changes", "field_changes")
    assert {key.path[1] for key in assets(lambda request: report()).keys} == set(streams_of(Acme))


def test_each_materialisation_shows_rows_calls_quota_cursor_and_duration():
    """A34."""
    shown = metadata_of(materialize(lambda request: report()), "deals")
    expected = {
        "rows_read": 10,
        "rows_new": 3,
        "rows_changed": 2,
        "rows_deleted": 1,
        "rows_rejected": 1,
        "calls": 5,
        "quota_left": 1000,
        "cursor_before": {"at": "2025-12-31"},
        "cursor_after": {"at": "2026-01-01"},
        "status": "complete",
        "duration_seconds": 90.0,
    }
    assert {key: shown[key] for key in expected} == expected
    assert "deal_id" in {column.name for column in shown["dagster/column_schema"].columns}


def test_a_complete_sync_passes_its_check():
    result = materialize(lambda request: report())
    assert result.success
    assert check_of(result).passed


@pytest.mark.parametrize("status", ["partial", "suspicious"])
def test_a_partial_or_suspicious_sync_is_never_plain_success(status):
    """A14: rows are there, the check fails as a warning and says why."""
    result = materialize(lambda request: report(status, reasons=["the daily budget of 5 calls is used up"]))
    found = check_of(result)
    assert not found.passed
    assert found.severity == dg.AssetCheckSeverity.WARN
    assert "daily budget" in found.description
    assert metadata_of(result, "deals")["status"] == status


def test_a_failed_sync_fails_its_step_with_the_reason():
    result = materialize(lambda request: report("failed", reasons=["token refused"]))
    assert not result.success
    assert "token refused" in failure_of(result).user_failure_data.description


def test_a_setting_that_is_wrong_is_not_retried():
    """A20: errors that retrying cannot cure are not retried."""
    tries = []

    def run(request):
        tries.append(1)
        raise ConfigError("acme: access_token is not set")

    result = materialize(run)
    assert len(tries) == 1
    assert failure_of(result).user_failure_data.description == "acme: access_token is not set"


def test_a_passing_failure_is_tried_again_after_the_vendors_waiting_time():
    tries = []

    def run(request):
        tries.append(1)
        if len(tries) == 1:
            raise TransientError("acme: 503", retry_after_s=0)
        return report()

    assert materialize(run).success
    assert len(tries) == 2


def test_a_report_that_ended_in_a_passing_failure_is_tried_again_and_then_shown(monkeypatch):
    monkeypatch.setattr("assets.sync.DEFAULT_WAIT_S", 0)
    tries = []

    def run(request):
        tries.append(1)
        return report("failed", reasons=["TransientError: acme: no answer"])

    result = materialize(run)
    assert not result.success
    assert len(tries) == 3
    assert not check_of(result).passed
    assert check_of(result).severity == dg.AssetCheckSeverity.ERROR
    assert observed(result, "deals")["status"] == "failed"


def test_a_failed_sync_does_not_look_fresh():
    """A source that fails every half hour must pass no freshness policy and start no build."""
    result = materialize(lambda request: report("failed", reasons=["token refused"]))
    assert result.get_asset_materialization_events() == []


def test_a_long_wait_is_left_to_the_next_sync():
    def run(request):
        raise TransientError("acme: 503.", retry_after_s=7200)

    assert "asks to wait 7,200 s" in failure_of(materialize(run)).user_failure_data.description


def test_a_used_up_quota_says_when_it_returns():
    def run(request):
        raise QuotaError("acme: no calls left.", resumes_at=datetime(2026, 1, 2, tzinfo=UTC))

    assert "2026-01-02 00:00 UTC" in failure_of(materialize(run)).user_failure_data.description


def test_run_config_asks_for_a_full_read():
    asked: list[SyncRequest] = []

    def run(request):
        asked.append(request)
        return report()

    materialize(run, full=True, accept_deletes=True)
    assert (asked[0].full, asked[0].accept_deletes) == (True, True)


def test_warnings_are_shown():
    result = materialize(lambda request: report(warnings=[Notice("history_cap", "history goes back to 2025 only")]))
    assert "2025 only" in metadata_of(result, "deals")["warnings"]


def test_translation_renames_what_dagster_shows():
    chosen = Translation(
        key_prefix=("crm", "emea"), group="sales", owners=("team:revops",), tags={"tier": "1"}, kinds=("oauth",)
    )
    found = assets(lambda request: report(), chosen)
    spec = next(spec for spec in found.specs if spec.key.path[-1] == "deals")
    assert spec.key.path == ["crm", "emea", "deals"]
    assert spec.group_name == "sales"
    assert list(spec.owners) == ["team:revops"]
    assert spec.tags["tier"] == "1"
    assert {"acme", "parquet", "oauth"} <= spec.kinds


def test_descriptions_are_the_connectors_own_words():
    spec = next(spec for spec in assets(lambda request: report()).specs if spec.key.path[-1] == "deals")
    assert "Deals by their last change." in spec.description
    assert "Cursor: updated_at." in spec.description


def test_a_source_cannot_be_synced_in_part():
    """History must never fall behind its deals."""
    found = assets(lambda request: report())
    assert not found.can_subset
    assert found.op.pool == "api_acme_eu"


def test_freshness_stands_with_the_deals():
    found = source_assets(
        source="acme_eu",
        connector_name="acme",
        connector=Acme,
        translation=NO_TRANSLATION,
        run=lambda request: report(),
        freshness=Freshness(warn_hours=2, fail_hours=5),
    )
    policies = {spec.key.path[-1]: spec.freshness_policy for spec in found.specs if spec.freshness_policy}
    assert list(policies) == ["deals"]
    assert policies["deals"].fail_window.to_timedelta() == timedelta(hours=5)
    assert policies["deals"].warn_window.to_timedelta() == timedelta(hours=2)


def test_what_is_held_is_shown_and_versions_the_data():
    """The same rows give the same data version, so that nothing downstream looks stale."""

    def versions(landed):
        found = source_assets(
            source="acme_eu",
            connector_name="acme",
            connector=Acme,
            translation=NO_TRANSLATION,
            run=lambda request: report(),
            landed=lambda: {"deals": landed},
        )
        result = dg.materialize([found])
        assert metadata_of(result, "deals")["dagster/row_count"] == landed.rows
        events = [e for e in result.get_asset_materialization_events() if e.asset_key.path[-1] == "deals"]
        return events[0].materialization.tags["dagster/data_version"]

    assert versions(Landed(10, "a:10")) == versions(Landed(10, "a:10")) == "a:10"
    assert versions(Landed(11, "a:11")) == "a:11"


def test_a_fall_in_volume_fails_its_own_check():
    """A17."""
    assert check_of(materialize(lambda request: report()), VOLUME_CHECK).passed
    reasons = ["deals: 900 of 1,000 live deals have vanished"]
    found = check_of(materialize(lambda request: report("suspicious", reasons=reasons)), VOLUME_CHECK)
    assert not found.passed
    assert "900 of 1,000" in found.description
    partial = materialize(lambda request: report("partial", reasons=["the budget is used up"]))
    assert check_of(partial, VOLUME_CHECK).passed


def test_rejected_rows_and_changed_fields_are_warnings():
    line = DriftLine(object_type="deal", field_code="region__c", change="gone", detail="was text")
    result = materialize(lambda request: report(drift=[line]))
    assert result.success
    rejects, fields = check_of(result, REJECTS_CHECK), check_of(result, FIELDS_CHECK)
    assert not rejects.passed
    assert rejects.metadata["rejected_by_stream"].value == {"deals": 1}
    assert not fields.passed
    assert fields.severity == dg.AssetCheckSeverity.WARN
    assert "region__c" in str(fields.metadata["changes"].value)


def test_history_back_to_a_date_is_asked_for_by_run_config():
    asked: list[SyncRequest] = []

    def run(request):
        asked.append(request)
        return report()

    materialize(run, history_since="2020-01-01")
    assert asked[0].history_since == "2020-01-01"


def test_every_landed_column_is_explained():
    """And nothing is explained that is not there."""
    columns = {column.name: column.description for name in STREAMS for column in landed_schema(name).columns}
    assert [name for name, words in columns.items() if not words] == []
    assert set(_WORDS) == set(columns)

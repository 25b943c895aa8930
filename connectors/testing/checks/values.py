"""Values mean what they say: instants, dates, money, custom fields; what cannot be read is put aside."""

from __future__ import annotations

from datetime import date, datetime
from decimal import Decimal
from typing import Any

import msgspec

from connectors.sdk import Deal, FieldDef, HistoryRead, Record, Reject
from connectors.testing.bench import Bench, must
from connectors.testing.check import check
from connectors.testing.shapes import fields_of, wrong_values

_KINDS: dict[type, str] = {datetime: "instant", date: "date", Decimal: "amount"}


def _all(records: list[Record]) -> list[Record]:
    """Records and the events inside the readings."""
    events = [e for r in records if isinstance(r, HistoryRead) for e in (*r.stage_changes, *r.field_changes)]
    return [*records, *events]


def _well_made(bench: Bench, wanted: type) -> None:
    for record in _all(bench.good_sync().records):
        names = fields_of(type(record), wanted)
        for name, problem in wrong_values(record):
            must(name not in names, f"{type(record).__name__}.{name} {problem}")


def _as_told(bench: Bench, name: str, hint: str) -> None:
    held = bench.landing.current("deals")
    for deal_id, true in bench.truth.deals.items():
        expected = getattr(true, name)
        if expected is not msgspec.UNSET and deal_id in held:
            found = getattr(held[deal_id], name)
            must(found == expected, f"deal {deal_id}: {name} is {found}, the source says {expected}. {hint}")


@check()
def instants_are_aware(bench: Bench) -> None:
    """Every instant has a time zone."""
    _well_made(bench, datetime)


@check()
def instants_are_those_of_the_source(bench: Bench) -> None:
    """A deal was created when the source says so: no zone was guessed, none was dropped."""
    bench.good_sync()
    _as_told(bench, "created_at", "Was the text read in another zone?")


@check()
def dates_are_days(bench: Bench) -> None:
    """The expected close date is a calendar day, and the same one as in the source."""
    _well_made(bench, date)
    _as_told(bench, "expected_close_date", "A day does not shift with a time zone.")


@check()
def money_is_decimal(bench: Bench) -> None:
    """Amounts are Decimal, with the digits of the source."""
    bench.crm.edit(bench.ids()[0], amount=Decimal("1234567.89"))
    _well_made(bench, Decimal)
    _as_told(bench, "amount", "Never by way of a float.")


@check()
def an_unknown_amount_is_none(bench: Bench) -> None:
    """A deal without an amount has None, not 0; a deal of 0 has 0."""
    empty, zero = bench.crm.create(amount=None), bench.crm.create(amount=Decimal(0))
    bench.good_sync()
    held = bench.landing.current("deals")
    must(
        empty in held and held[empty].amount is None, f"deal {empty} has no amount, landing has {_amount(held, empty)}"
    )
    expected = bench.truth.deals[zero].amount
    must(
        zero in held and held[zero].amount == expected,
        f"deal {zero} has the amount {expected}, landing has {_amount(held, zero)}",
    )


def _amount(held: dict[str, Any], deal_id: str) -> str:
    return str(held[deal_id].amount) if deal_id in held else "no such deal"


@check()
def amounts_state_their_currency(bench: Bench) -> None:
    """Every amount comes with the ISO code of its currency, the one that the source says."""
    bench.good_sync()
    for deal_id, deal in bench.landing.current("deals").items():
        if deal.amount is None:
            continue
        code = deal.currency
        good = isinstance(code, str) and len(code) == 3 and code.isascii() and code.isupper()
        must(good, f"deal {deal_id}: its amount has the currency {code!r}")
        expected = bench.truth.deals[deal_id].currency if deal_id in bench.truth.deals else msgspec.UNSET
        must(expected in (msgspec.UNSET, code), f"deal {deal_id}: its currency is {code}, the source says {expected}")


@check()
def words_are_among_those_allowed(bench: Bench) -> None:
    """Texts, flags and numbers are of the declared types; outcome, evidence, presence and the like are among the words of the SDK."""
    others = (datetime, date, Decimal)
    for record in _all(bench.good_sync().records):
        special = {name for kind in others for name in fields_of(type(record), kind)}
        for name, problem in wrong_values(record):
            must(name in special, f"{type(record).__name__}.{name} {problem}")


@check()
def a_bad_record_is_put_aside(bench: Bench) -> None:
    """One value that cannot be read: a Reject with key, reason and detail; everything else comes, and the sync is complete."""
    bad = bench.crm.bad_record()
    outcome = bench.sync()
    must(
        outcome.status == "complete", f"one bad record ended the sync as {outcome.status}: {'; '.join(outcome.reasons)}"
    )
    found = [reject for reject in outcome.of(Reject) if reject.key == bad and not reject.is_dropped]
    whole = [deal for deal in outcome.of(Deal) if deal.deal_id == bad]
    must(found or not whole, f"deal {bad} has a value that cannot be read, yet a Deal came and no Reject")
    must(
        found,
        f"deal {bad} has a value that cannot be read; it came neither as a Deal nor as a Reject: it is lost in silence",
    )
    must(all(reject.reason and reject.detail for reject in found), f"the Reject of deal {bad} does not say why")
    missing = bench.truth.deals.keys() - {deal.deal_id for deal in outcome.of(Deal)} - {bad}
    must(not missing, f"{len(missing)} good deals did not come because one was bad")


@check()
def a_bad_record_is_no_news_each_time(bench: Bench) -> None:
    """A record that stays bad does not write a row in every sync, and does not look like a deal that vanished."""
    bench.good_sync()
    bench.advance(hours=1)
    bad = bench.crm.bad_record()
    bench.sync()
    bench.advance(days=bench.harness.sweep_days)
    outcome = bench.sync(full=True)
    must(
        outcome.rows == 0,
        f"nothing has changed, but a sync wrote {outcome.rows} rows: is the reject's text the same each time?",
    )
    kind = bench.landing.presence().get(bad)
    must(kind == "present", f"deal {bad} is there, if unreadable; landing has it as {kind}: its Reject needs its `key`")


@check("custom_fields")
def unknown_fields_are_kept_in_raw(bench: Bench) -> None:
    """A field that no mapping knows stands untouched in `raw`."""
    bench.good_sync()
    bench.advance(hours=1)
    field = bench.crm.add_field()
    bench.advance(hours=25)
    bench.good_sync()
    raw = bench.landing.current("deals")[field.deal_id].raw
    text = bytes(raw).decode() if isinstance(raw, msgspec.Raw) else msgspec.json.encode(raw).decode()
    must(
        field.code in text,
        f"deal {field.deal_id} has a value in the new field {field.code!r}, its raw does not know it",
    )


@check("custom_fields")
def custom_fields_go_by_their_label(bench: Bench) -> None:
    """`custom_fields` is keyed by the label that people see, with the value as it is."""
    bench.good_sync()
    bench.advance(hours=1)
    field = bench.crm.add_field()
    bench.advance(hours=25)
    bench.good_sync()
    found = bench.landing.current("deals")[field.deal_id].custom_fields
    names = [name for name in found if name in (field.label, f"{field.label} ({field.code})")]
    must(names, f"deal {field.deal_id}: no custom field {field.label!r} among {', '.join(found) or 'none'}")
    value = found[names[0]]
    same = value == field.value or str(value) == str(field.value)
    must(same, f"deal {field.deal_id}: {field.label!r} is {value!r}, the source says {field.value!r}")


@check("custom_fields")
def drift_is_listed(bench: Bench) -> None:
    """A field that appears comes as FieldDef within a day, with code, label and type."""
    bench.good_sync()
    before = bench.landing.current("field_defs")
    must(before, "no FieldDef came: nobody can tell what fields there are")
    bench.advance(hours=1)
    field = bench.crm.add_field()
    bench.advance(hours=25)
    outcome = bench.good_sync()
    found = [one for one in outcome.of(FieldDef) if one.code == field.code]
    must(found, f"the field {field.code!r} has appeared, no FieldDef names it")
    must(
        found[0].label == field.label, f"the new field's label is {field.label!r}, its FieldDef says {found[0].label!r}"
    )


VALUES = [
    instants_are_aware,
    instants_are_those_of_the_source,
    dates_are_days,
    money_is_decimal,
    an_unknown_amount_is_none,
    amounts_state_their_currency,
    words_are_among_those_allowed,
    a_bad_record_is_put_aside,
    a_bad_record_is_no_news_each_time,
    unknown_fields_are_kept_in_raw,
    custom_fields_go_by_their_label,
    drift_is_listed,
]

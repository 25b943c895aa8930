"""Nothing is missing and nothing comes twice: keys, pages, completeness."""

from __future__ import annotations

from collections import Counter
from typing import Any

import msgspec

from connectors.sdk import KEYS, Company, Deal, HistoryRead, Owner, Pipeline, Reject, Seen, SourceInfo, Stage, stage_key
from connectors.testing.bench import Bench, differences, must, some
from connectors.testing.check import check
from connectors.testing.landing import key_of


@check()
def every_row_has_a_key_of_its_own(bench: Bench) -> None:
    """In one sync each deal comes once, and no key with two contents; keys are text and not empty; so are the ids of a deal's events."""
    outcome = bench.good_sync()
    seen: dict[tuple[str, str, str], Any] = {}
    twice = []
    for record in outcome.of(*KEYS):
        parts = [getattr(record, name) for name in KEYS[type(record)][1]]
        stream = KEYS[type(record)][0]
        if stream != "currency_rates":
            must(all(isinstance(part, str) and part for part in parts), f"{stream}: a record has the key {parts!r}")
        place = (stream, key_of(record), str(getattr(record, "read_at", None)))
        if place in seen and (isinstance(record, Deal) or seen[place] != record):
            twice.append(f"{stream} {place[1]}")
        seen[place] = record
    must(
        not twice, f"these came more than once in one sync: {some(twice)}. Look at what happens at the edge of a page."
    )
    for reading in outcome.of(HistoryRead):
        events = [event.event_id for event in (*reading.stage_changes, *reading.field_changes)]
        kinds = Counter((type(e).__name__, e.event_id) for e in (*reading.stage_changes, *reading.field_changes))
        again = [name for (_, name), count in kinds.items() if count > 1]
        must(
            all(events) and not again, f"deal {reading.deal_id}: events without an id, or with the same: {some(again)}"
        )


@check()
def every_deal_is_there(bench: Bench) -> None:
    """Every live deal of the account is read, whatever page it stands on, and none that does not exist."""
    outcome = bench.good_sync()
    read = {deal.deal_id for deal in outcome.of(Deal)} | {reject.key for reject in outcome.of(Reject)}
    missing = bench.truth.deals.keys() - read
    must(not missing, f"{len(missing)} of {len(bench.truth.deals)} live deals did not come: {some(missing)}")
    extra = {deal.deal_id for deal in outcome.of(Deal)} - bench.truth.deals.keys() - bench.truth.gone.keys()
    must(not extra, f"deals came that do not exist: {some(extra)}")


@check()
def deals_say_what_the_source_says(bench: Bench) -> None:
    """Stage, pipeline, owner and company of every deal are those of the source."""
    bench.good_sync()
    names = ("stage_id", "pipeline_id", "owner_id", "company_id")
    held = bench.landing.current("deals")
    for deal_id, true in bench.truth.deals.items():
        for name in names:
            expected = getattr(true, name)
            if expected is not msgspec.UNSET and deal_id in held:
                found = getattr(held[deal_id], name)
                must(found == expected, f"deal {deal_id}: {name} is {found!r}, the source says {expected!r}")


@check()
def every_page_size_gives_the_same(bench: Bench) -> None:
    """One row a page and as many as the source allows give the same records."""
    bench.crm.limit_pages(1)
    bench.good_sync(page_size=bench.harness.smallest_page)
    small = bench.landing
    bench.fresh()
    bench.crm.limit_pages(None)
    bench.good_sync()
    for stream in ("deals", "owners", "companies", "stages", "pipelines"):
        found = list(differences(small.current(stream), bench.landing.current(stream)))
        must(not found, f"{stream}: the smallest page (first) and the largest differ: {some(found, 3)}")


@check("owners")
def owners_are_complete(bench: Bench) -> None:
    """Everybody who may own a deal comes, people who have left too."""
    outcome = bench.good_sync()
    missing = bench.truth.owners - {owner.owner_id for owner in outcome.of(Owner)}
    must(not missing, f"owners did not come: {some(missing)}. Deactivated people still own deals.")


@check("companies")
def companies_are_complete(bench: Bench) -> None:
    """Every company comes, also those beyond the first page."""
    outcome = bench.good_sync()
    known = {company.company_id for company in outcome.of(Company)}
    missing = bench.truth.companies - known
    must(not missing, f"companies did not come: {some(missing)}")


@check()
def every_stage_of_a_deal_is_known(bench: Bench) -> None:
    """Each stage and pipeline that a deal is in has a record; a stage that can be chosen no more keeps its record."""
    pipeline_id, stage_id = bench.crm.remove_stage()
    bench.good_sync()
    stages, pipelines = bench.landing.current("stages"), bench.landing.current("pipelines")
    for deal in bench.landing.current("deals").values():
        if deal.stage_id is None:
            continue
        key = stage_key(deal.pipeline_id or "", deal.stage_id)
        hint = (
            " That stage was retired, but deals still stand in it."
            if (pipeline_id, stage_id) == (deal.pipeline_id, deal.stage_id)
            else ""
        )
        must(key in stages, f"deal {deal.deal_id} is in stage {key}, of which no Stage came.{hint}")
        must(
            deal.pipeline_id in pipelines,
            f"deal {deal.deal_id} is in pipeline {deal.pipeline_id}, of which no Pipeline came",
        )


@check()
def a_renamed_stage_keeps_its_key(bench: Bench) -> None:
    """When people rename a stage, the next sync has the new name under the same key, and no deal moves."""
    bench.good_sync()
    before = {key: deal.stage_id for key, deal in bench.landing.current("deals").items()}
    bench.advance(hours=1)
    pipeline_id, stage_id, name = bench.crm.rename_stage()
    outcome = bench.good_sync()
    found = bench.landing.current("stages").get(stage_key(pipeline_id, stage_id))
    shown = found.name if found else None
    must(
        shown == name,
        f"stage {stage_id} is called {name!r} now, landing has {shown!r}. Stages are read whole in every sync.",
    )
    after = {key: deal.stage_id for key, deal in bench.landing.current("deals").items()}
    must(before == after, "a rename moved deals: stage ids must not be made of names")
    must(outcome.of(Stage), "no Stage came in the second sync")


@check()
def the_source_says_who_it_is(bench: Bench) -> None:
    """Each sync begins with one SourceInfo: the account's id (which guards against a mix-up), its name, and a link template for deals."""
    outcome = bench.good_sync()
    infos = outcome.of(SourceInfo)
    must(len(infos) == 1, f"{len(infos)} SourceInfo came, one is needed")
    rows = [record for record in outcome.records if isinstance(record, (Deal, Stage, Pipeline, Seen))]
    must(outcome.records.index(infos[0]) < outcome.records.index(rows[0]), "SourceInfo must come before the rows")
    link = infos[0].deep_link
    must(link is None or "{id}" in link, "SourceInfo.deep_link has no {id} in it")


ROWS = [
    every_row_has_a_key_of_its_own,
    every_deal_is_there,
    deals_say_what_the_source_says,
    every_page_size_gives_the_same,
    owners_are_complete,
    companies_are_complete,
    every_stage_of_a_deal_is_known,
    a_renamed_stage_keeps_its_key,
    the_source_says_who_it_is,
]

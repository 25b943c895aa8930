"""Broken connectors: what they say of themselves, their rows, and how they go on from one sync to the next."""

from __future__ import annotations

import itertools
from datetime import timedelta
from pathlib import Path

import msgspec

from connectors.sdk import Capabilities, Checkpoint, Deal, SourceInfo, Stage, SweepEnd, open_window, stream
from connectors.testing.checks import form, increments, rows
from tests.contract.acme.connector import Acme, AcmeSettings
from tests.contract.acme.harness import AcmeHarness
from tests.contract.broken import breaks

replace = msgspec.structs.replace


@breaks(form.it_is_built_for_this_sdk)
class ForTheNextSdk(Acme):
    """Says that it was built for version 2 of the SDK."""

    sdk_version = "2.0"


class _LaxSettings(AcmeSettings, frozen=True, kw_only=True, forbid_unknown_fields=False):
    pass


@breaks(form.settings_refuse_what_they_do_not_know)
class LaxSettings(Acme):
    """Its settings model takes unknown keys."""

    Settings = _LaxSettings


class _PlainSettings(AcmeSettings, frozen=True, kw_only=True):
    api_token: str = ""


@breaks(form.secrets_are_typed_as_secrets)
class PlainToken(Acme):
    """Has a setting for a token that is plain text."""

    Settings = _PlainSettings


class _Unscrubbed(AcmeHarness):
    recordings = Path(__file__).parents[1] / "golden" / "unscrubbed"


@breaks(form.recorded_answers_are_scrubbed)
class RecordedAsItCame(Acme):
    """Its tests use an answer that was recorded with a real person's address in it."""

    harness = _Unscrubbed


@breaks(form.impossibilities_are_explained, "the check of what is declared impossible asks for the reason, too")
class NoReason(Acme):
    """Declares that it reports no merges, and does not say why."""

    capabilities = Capabilities(reports_merges=False)


@breaks(form.nothing_is_declared_impossible_that_is_done)
class FalseModesty(Acme):
    """Declares owners impossible, yet yields them."""

    capabilities = Capabilities(owners=False, notes={"owners": "Acme has no list of users"})


@breaks(form.streams_declare_what_they_yield)
class Undeclared(Acme):
    """Its stream of companies does not declare Company."""

    @stream(SweepEnd)
    def companies(self, sync):
        """Customers."""
        yield from Acme.companies(self, sync)


@breaks(form.start_date_leaves_out_what_is_older)
class NoStartDate(Acme):
    """Reads everything, whatever `start_date` says."""

    def window(self, sync):
        return open_window(sync.cursor("deals"), overlap_minutes=self.settings.overlap_minutes)


@breaks(form.no_secret_is_shown_anywhere, "another token is another content")
class TokenInRaw(Acme):
    """Keeps the request's headers in `raw`, the token with them."""

    def account(self, sync):
        for info in Acme.account(self, sync):
            yield replace(info, raw={**info.raw, "headers": dict(self.api.auth.headers())})

    account.__muara_stream__ = Acme.account.__muara_stream__


@breaks(form.no_secret_is_shown_anywhere)
class PrintsItsSecret(Acme):
    """Prints what it logs in with."""

    @stream(SourceInfo)
    def account(self, sync):
        """Who this is."""
        print("logging in with", self.settings.client_secret.reveal())
        yield from Acme.account(self, sync)


# --- rows ------------------------------------------------------------------------------------------------------------


@breaks(rows.every_row_has_a_key_of_its_own)
class RepeatsAtTheEdge(Acme):
    """Yields the last deal of each page again."""

    def page(self, sync, rows, newest):
        yield from Acme.page(self, sync, rows, newest)
        for row in rows[-1:]:
            yield from self.deal_or_reject(sync, row)


@breaks(rows.every_deal_is_there, "a deal that is missing is missing wherever deals are compared with the source")
class LosesARow(Acme):
    """Skips the first deal of the second page."""

    def pages(self, since):
        for number, page in enumerate(Acme.pages(self, since)):
            yield page[number == 1 :]


@breaks(rows.deals_say_what_the_source_says)
class WrongOwner(Acme):
    """Takes the company's id for the owner's."""

    def deal(self, row):
        return replace(Acme.deal(self, row), owner_id=str(row["company"]))


@breaks(rows.every_page_size_gives_the_same)
class EndsOnAPageOfOne(Acme):
    """Takes a page of one row for the last one."""

    def pages(self, since):
        for page in Acme.pages(self, since):
            yield page
            if len(page) == 1:
                return


@breaks(rows.owners_are_complete)
class ActiveOwnersOnly(Acme):
    """Leaves out people who have left."""

    def owners(self, sync):
        yield from (one for one in Acme.owners(self, sync) if getattr(one, "is_active", True))

    owners.__muara_stream__ = Acme.owners.__muara_stream__


@breaks(rows.companies_are_complete)
class StopsARowEarly(Acme):
    """Stops one company before the end."""

    def companies(self, sync):
        found = list(Acme.companies(self, sync))
        yield from [*found[:-2], found[-1]]

    companies.__muara_stream__ = Acme.companies.__muara_stream__


@breaks(rows.every_stage_of_a_deal_is_known)
class ActiveStagesOnly(Acme):
    """Leaves out stages that can be chosen no more."""

    def pipelines(self, sync):
        yield from (one for one in Acme.pipelines(self, sync) if not getattr(one, "is_archived", False))

    pipelines.__muara_stream__ = Acme.pipelines.__muara_stream__


@breaks(rows.a_renamed_stage_keeps_its_key)
class StagesOnce(Acme):
    """Reads the stages in the first sync only."""

    def pipelines(self, sync):
        if sync.full or not sync.held.live_count("stages"):
            yield from Acme.pipelines(self, sync)

    pipelines.__muara_stream__ = Acme.pipelines.__muara_stream__


@breaks(rows.the_source_says_who_it_is)
class DeadLink(Acme):
    """Its link to a deal has no place for the deal's id."""

    def account(self, sync):
        yield from (replace(info, deep_link="https://acme.example/deals") for info in Acme.account(self, sync))

    account.__muara_stream__ = Acme.account.__muara_stream__


# --- increments ------------------------------------------------------------------------------------------------------


@breaks(increments.an_increment_gives_the_same_rows_as_a_full_sync, "a cut first sync goes on as an increment")
class ThinIncrements(Acme):
    """In increments a deal comes without `closed_at`."""

    def read(self, sync):
        is_first = not sync.cursor("deals")
        for record in Acme.read(self, sync):
            yield record if is_first or not isinstance(record, Deal) else replace(record, closed_at=None)


@breaks(increments.ties_at_the_cursor_are_not_lost)
class OpenAtTheCursor(Acme):
    """Reads what is newer than the cursor, not what is as new."""

    def window(self, sync):
        window = Acme.window(self, sync)
        return window if window.start is None else replace(window, start=window.start + timedelta(milliseconds=1))


@breaks(increments.late_rows_inside_the_overlap_are_not_lost, "without an overlap its size does not matter either")
class NoOverlap(Acme):
    """Reads from the cursor on, without an overlap."""

    def window(self, sync):
        return open_window(sync.cursor("deals"), start_date=self.settings.start_date)


@breaks(increments.the_overlap_is_a_setting)
class FixedOverlap(Acme):
    """Its overlap is ten minutes, whatever the settings say."""

    def window(self, sync):
        minutes = min(10, self.settings.overlap_minutes)
        return open_window(sync.cursor("deals"), overlap_minutes=minutes, start_date=self.settings.start_date)


@breaks(increments.the_cursor_never_runs_ahead_of_what_was_read)
class CursorIsTheClock(Acme):
    """Its cursor is the time of the sync, not that of the newest row."""

    def deals(self, sync):
        began = sync.clock.now()
        yield from Acme.deals(self, sync)
        yield Checkpoint(stream="deals", cursor=Acme.cursor(self, sync, began))

    deals.__muara_stream__ = Acme.deals.__muara_stream__


@breaks(increments.an_unchanged_account_yields_nothing_new, "a row that is new each time is news each time")
class TimeOfReadingInRaw(Acme):
    """Puts the time of reading into `raw`."""

    def pipelines(self, sync):
        for one in Acme.pipelines(self, sync):
            yield replace(one, raw={**one.raw, "read": str(sync.clock.now())}) if isinstance(one, Stage) else one

    pipelines.__muara_stream__ = Acme.pipelines.__muara_stream__


@breaks(increments.history_is_read_only_for_deals_that_changed)
class RereadsHistory(Acme):
    """Reads the history of some deals anew in every sync."""

    def deals(self, sync):
        yield from Acme.deals(self, sync)
        yield from self.histories(list(itertools.islice(sync.held.live_keys("deals"), 4)))

    deals.__muara_stream__ = Acme.deals.__muara_stream__


@breaks(increments.calls_grow_with_what_changed)
class AsksForEachDeal(Acme):
    """Makes a call for every few deals that it holds, changed or not."""

    def deals(self, sync):
        yield from Acme.deals(self, sync)
        for _ in range(sync.held.live_count("deals") // 4):
            self.api.get("count")

    deals.__muara_stream__ = Acme.deals.__muara_stream__


@breaks(
    increments.a_restart_after_a_cut_loses_and_repeats_nothing,
    "whatever ends a sync in the midst of a page loses the rest of it",
)
class CursorBeforeItsRows(Acme):
    """Saves the cursor of a page before the page's rows."""

    def page(self, sync, rows, newest):
        yield Checkpoint(stream="deals", cursor=self.cursor(sync, newest))
        yield from (record for record in Acme.page(self, sync, rows, newest) if not isinstance(record, Checkpoint))


@breaks(increments.a_restart_in_an_increment_loses_and_repeats_nothing)
class CursorBeforeItsIncrement(Acme):
    """Saves the cursor before the rows, in increments only."""

    def deals(self, sync):
        self.is_first = not sync.cursor("deals")
        yield from Acme.deals(self, sync)

    deals.__muara_stream__ = Acme.deals.__muara_stream__

    def page(self, sync, rows, newest):
        if not self.is_first:
            yield Checkpoint(stream="deals", cursor=self.cursor(sync, newest))
        yield from Acme.page(self, sync, rows, newest)


@breaks(increments.cursors_are_json_and_stable)
class CursorIsNoJson(Acme):
    """Counts pages in its cursor by number; in JSON all names are texts."""

    def cursor(self, sync, newest):
        return {**Acme.cursor(self, sync, newest), "pages": {1: 4}}

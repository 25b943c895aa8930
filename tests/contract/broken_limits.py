"""Broken connectors: trouble, budgets, memory; and values that do not mean what they say."""

from __future__ import annotations

import contextlib
import json
import threading
from datetime import datetime, timedelta
from decimal import Decimal

import msgspec
import requests

from connectors.sdk import Answer, Finding, Reject, TransientError, Verdict, Warn
from connectors.testing.checks import limits, values
from tests.contract.acme.connector import Acme, Api, judge
from tests.contract.acme.crm import send
from tests.contract.broken import breaks

replace = msgspec.structs.replace


def _status(outcome):
    answer = Answer.of(outcome)
    return (0, {}) if answer is None else (answer.status, answer.json() or {})


def api(judge_with):
    """A client that judges in another way."""
    return type("OtherApi", (Api,), {"judge": staticmethod(judge_with)})


def _at_once(outcome):
    verdict = judge(outcome)
    return Verdict.retry("too fast", 0.0) if verdict.kind == "burst" else verdict


@breaks(limits.too_many_requests_waits_as_told)
class Impatient(Acme):
    """Tries again at once after 429, whatever `Retry-After` says."""

    Api = api(_at_once)


@breaks(limits.a_used_up_day_ends_the_sync_as_partial)
class WaitsForTomorrow(Acme):
    """Takes a used-up day for too many calls at once, and waits."""

    Api = api(lambda outcome: Verdict.burst("too fast") if judge(outcome).kind == "daily" else judge(outcome))


class _PastThePolicy(Api):
    def get(self, name, **query):
        with contextlib.suppress(Exception):
            send(self.settings.base_url, "GET", "/count", dict(self.auth.headers()))
        return Api.get(self, name, **query)


@breaks(limits.our_own_budget_is_kept, "each call beside the policy is waited for as well")
class CallsPastThePolicy(Acme):
    """Makes calls that the call policy does not know of."""

    Api = _PastThePolicy


class _Fixed(Api):
    def get(self, name, **query):
        token = self.auth
        self.auth = None if name != "account" else token
        try:
            headers = dict(token.headers())
            texts = "&".join(f"{key}={value}" for key, value in query.items() if value is not None)
            target = f"/{name}?{texts.replace('+', '%2B')}"
            reply = self.calls.call(name, lambda: send(self.settings.base_url, "GET", target, headers), self.judge)
            return json.loads(reply.body, parse_float=Decimal)
        finally:
            self.auth = token


@breaks(limits.a_token_that_dies_in_mid_sync_is_renewed)
class NeverRenews(Acme):
    """Does not know how to renew a token."""

    Api = _Fixed


def _hopeful(outcome):
    return Verdict.reauth("refused", then=Verdict.retry("refused")) if _status(outcome)[0] == 401 else judge(outcome)


@breaks(limits.refused_credentials_end_the_sync_at_once)
class KnocksOnAndOn(Acme):
    """Tries refused credentials again and again."""

    Api = api(_hopeful)


def _twice(outcome):
    return Verdict.retry("down", tries=1) if _status(outcome)[0] == 503 else judge(outcome)


@breaks(limits.server_errors_are_tried_again)
class GivesUpSoon(Acme):
    """Tries once more after 503, then gives up."""

    Api = api(_twice)


class _TakesHalf(Api):
    def get(self, name, **query):
        try:
            return Api.get(self, name, **query)
        except requests.exceptions.ChunkedEncodingError:
            return {"results": [], "total": 0, "id": "acme-1", "name": "?", "zone": None, "currency": None}


def _takes_half(outcome):
    is_cut = isinstance(outcome, requests.exceptions.ChunkedEncodingError)
    return Verdict.ok() if is_cut else judge(outcome)


_TakesHalf.judge = staticmethod(_takes_half)


@breaks(limits.cut_answers_are_asked_for_again)
class TakesHalfForTheWhole(Acme):
    """Takes an answer that breaks off for an empty one."""

    Api = _TakesHalf


@breaks(limits.trouble_that_stays_is_no_success)
class LooksTheOtherWay(Acme):
    """Ends without an error when the source is down."""

    def read(self, sync):
        try:
            yield from Acme.read(self, sync)
        except TransientError:
            yield Warn(code="source_down", message="the source was down for a while")


def _stubborn(outcome):
    return Verdict.retry("not understood") if _status(outcome)[0] == 400 else judge(outcome)


@breaks(limits.what_no_retry_cures_is_not_tried_again)
class Stubborn(Acme):
    """Repeats a request that is not understood."""

    Api = api(_stubborn)


@breaks(limits.check_tells_what_is_wrong)
class AlwaysContent(Acme):
    """Its `check` tries nothing and finds all well."""

    def check(self, sync):
        return [Finding(level="ok", what="credentials", message="were given")]


@breaks(limits.plan_reads_no_data)
class PlansByReading(Acme):
    """Its `plan` reads all deals to count them."""

    def plan(self, sync):
        self.api, self.limit = self.Api(sync), 1
        count = sum(len(page) for page in self.pages(None))
        return [line for line in Acme.plan(self, sync) if count >= 0]


class _CallForEach(Acme):
    """For those that ask for each history by itself."""

    def histories(self, deal_ids):
        for found in self.asked(lambda key: list(Acme.histories(self, [key])), deal_ids):
            yield from found


@breaks(limits.slow_answers_are_waited_for_together)
class OneAfterAnother(_CallForEach):
    """Asks for the history of each deal by itself, and waits for each answer before the next call."""

    def asked(self, ask, deal_ids):
        return map(ask, deal_ids)


@breaks(limits.slow_answers_are_waited_for_together, "what is asked for at once is held at once")
class AllAtOnce(_CallForEach):
    """Starts the calls for all histories at once, however many there are."""

    def asked(self, ask, deal_ids):
        gate = threading.Barrier(max(1, len(deal_ids)))

        def together(key):
            gate.wait(30)
            return ask(key)

        return self.api.calls.map(together, deal_ids, workers=500)

    def pages(self, since):
        yield [row for rows in Acme.pages(self, since) for row in rows]


@breaks(limits.memory_does_not_grow_with_the_account)
class KeepsEverything(Acme):
    """Reads all deals before it yields the first."""

    def pages(self, since):
        yield from list(Acme.pages(self, since))


# --- values ----------------------------------------------------------------------------------------------------------


class _Deal(Acme):
    """For those that map one value otherwise."""

    def deal(self, row):
        return replace(Acme.deal(self, row), **self.other(row))


@breaks(values.instants_are_aware)
class NoZone(Acme):
    """Says since when there is history without saying in which zone."""

    def account(self, sync):
        yield from (replace(info, history_starts_at=datetime(2020, 1, 1)) for info in Acme.account(self, sync))  # noqa: DTZ001

    account.__muara_stream__ = Acme.account.__muara_stream__


@breaks(values.instants_are_those_of_the_source)
class LocalTime(_Deal):
    """Takes the time of creation for local time, seven hours off."""

    def other(self, row):
        return {"created_at": Acme.deal(self, row).created_at - timedelta(hours=7)}


@breaks(values.dates_are_days)
class DayBefore(_Deal):
    """Its close date is a day early, as seen from another zone."""

    def other(self, row):
        day = Acme.deal(self, row).expected_close_date
        return {"expected_close_date": day and day - timedelta(days=1)}


@breaks(values.money_is_decimal)
class MoneyByFloat(_Deal):
    """Makes Decimal of a float: 1234567.89 becomes 1234567.8899999998975."""

    def other(self, row):
        return {"amount": None if row["amount"] is None else Decimal(float(self.money(row["amount"])))}


@breaks(values.an_unknown_amount_is_none)
class UnknownIsZero(_Deal):
    """Makes 0 of an amount that nobody knows."""

    def other(self, row):
        return {"amount": self.money(row["amount"] or 0)}


@breaks(values.amounts_state_their_currency)
class NoCurrency(_Deal):
    """Says amounts without their currency."""

    def other(self, row):
        return {"currency": None}


@breaks(values.words_are_among_those_allowed)
class NumberForName(Acme):
    """Gives a company a number for a name."""

    def companies(self, sync):
        for one in Acme.companies(self, sync):
            yield replace(one, name=len(one.name)) if hasattr(one, "name") else one

    companies.__muara_stream__ = Acme.companies.__muara_stream__


@breaks(values.a_bad_record_is_put_aside)
class DropsInSilence(Acme):
    """Leaves out a deal that it cannot read."""

    def deal_or_reject(self, sync, row):
        yield from (one for one in Acme.deal_or_reject(self, sync, row) if not isinstance(one, Reject))


@breaks(values.a_bad_record_is_no_news_each_time)
class RejectsWithTheTime(Acme):
    """Writes the time of reading into each reject."""

    def deal_or_reject(self, sync, row):
        for one in Acme.deal_or_reject(self, sync, row):
            yield replace(one, detail=f"{one.detail} {sync.clock.now()}") if isinstance(one, Reject) else one


@breaks(values.unknown_fields_are_kept_in_raw)
class KnownFieldsOnly(_Deal):
    """Keeps in `raw` what it knows."""

    def other(self, row):
        return {"raw": {name: value for name, value in row.items() if name != "custom"}}


@breaks(values.custom_fields_go_by_their_label)
class FieldsByCode(_Deal):
    """Names custom fields by their code."""

    def other(self, row):
        return {"custom_fields": row["custom"]}


@breaks(values.drift_is_listed)
class FieldsOnce(Acme):
    """Lists the fields in the first sync only."""

    def fields(self, sync):
        found = list(Acme.fields(self, sync))
        if sync.full or not sync.held.live_count("field_defs"):
            yield from found

    fields.__muara_stream__ = Acme.fields.__muara_stream__

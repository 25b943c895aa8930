"""Deals with a story: one of every awkward life that a connector must tell rightly."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from typing import Any

from connectors.sandbox.world import DAY_MS, World, to_date

CASES = {
    "open": "an ordinary open deal with a few moves",
    "won": "the straight road to won",
    "lost": "lost after two moves, with a reason",
    "never_moved": "created and never touched again",
    "reopened": "lost, later open again",
    "won_reopened_won": "won, opened again, won for good",
    "lost_reopened_lost": "lost twice",
    "skipped": "jumped over stages",
    "backward": "a step back in the pipeline",
    "bounced": "the same stage visited three times",
    "ties": "two moves and an edit in one and the same second",
    "born_closed": "entered as won; it was never open",
    "moved_pipeline": "changed its pipeline (and with it the stage)",
    "equal_stage_moved_pipeline": "changed its pipeline into a stage of the same name",
    "edited": "amount, close date and owner edited while the stage stood still",
    "unknown_amount": "nobody ever said an amount",
    "zero_amount": "an amount of exactly 0",
    "amount_emptied": "had an amount once, has none now",
    "foreign_currency": "in euros (or the home currency in a single-currency company)",
    "currency_changed": "same number, another currency",
    "non_ascii": "a name in several scripts, quotes, a comma, a line break",
    "long_text": "a custom text with line breaks, quotes, NA and None in it",
    "no_company": "belongs to no company",
    "deactivated_owner": "its owner has left",
    "deleted_owner": "its owner is listed nowhere any more",
    "inactive_stage": "sits in a stage that is no longer offered",
    "gone_stage": "was once in a stage that the CRM has forgotten",
    "renamed_stage": "sits in the stage that was renamed",
    "back_dated": "won, with a close date a month before it really closed",
    "deleted": "in the recycle bin",
    "restored": "was in the bin, is back",
    "archived": "put away",
    "merged": "merged away; `merged_into` names the survivor",
    "merge_survivor": "took over another deal",
    "purged": "gone without a trace",
}


def play(world: World, start_ms: int) -> None:
    """Put one deal of every case into the world, from an instant on."""
    _Cases(world, start_ms).play()


class _Cases:
    """Deals with a story, told through the world's own verbs; one step is two days."""

    def __init__(self, world: World, start_ms: int) -> None:
        self.world, self.clock = world, start_ms

    def play(self) -> None:
        for name in CASES:
            if name != "merge_survivor":  # made by "merged"
                self.clock += DAY_MS // 3 + 17_321
                self.at = self.clock
                getattr(self, name)()

    def later(self) -> int:
        self.at += 2 * DAY_MS + 61_007
        return self.at

    def new(self, case: str, stage: int | str | None = None, pipeline: int = 1, **values: Any) -> int:
        values.setdefault("name", f"Case: {case}")
        values.setdefault("amount", Decimal("12500.50"))
        values.setdefault("company_id", 1)
        values.setdefault("owner_id", 1)
        deal = self.world.create(pipeline, stage, at=self.at, **values)
        self.world.cases[case] = deal.id
        return deal.id

    def steps(self, deal_id: int, *stages: str) -> int:
        for stage in stages:
            self.world.move(deal_id, stage, at=self.later())
        return deal_id

    def open(self) -> None:
        self.steps(self.new("open"), "Qualification", "Discovery")

    def won(self) -> None:
        deal = self.steps(self.new("won"), "Qualification", "Discovery", "Proposal", "Negotiation")
        self.world.win(deal, at=self.later())

    def lost(self) -> None:
        deal = self.steps(self.new("lost"), "Qualification", "Proposal")
        self.world.lose(deal, "Competitor", at=self.later())

    def never_moved(self) -> None:
        self.new("never_moved")

    def reopened(self) -> None:
        deal = self.steps(self.new("reopened"), "Proposal")
        self.world.lose(deal, "Timing", at=self.later())
        self.world.reopen(deal, at=self.later())

    def won_reopened_won(self) -> None:
        deal = self.steps(self.new("won_reopened_won"), "Proposal")
        self.world.win(deal, at=self.later())
        self.world.reopen(deal, "Negotiation", at=self.later())
        self.world.win(deal, at=self.later())

    def lost_reopened_lost(self) -> None:
        deal = self.steps(self.new("lost_reopened_lost"), "Qualification")
        self.world.lose(deal, "Price", at=self.later())
        self.world.reopen(deal, at=self.later())
        self.world.lose(deal, "No decision", at=self.later())

    def skipped(self) -> None:
        self.steps(self.new("skipped"), "Negotiation")

    def backward(self) -> None:
        self.steps(self.new("backward"), "Qualification", "Proposal", "Qualification")

    def bounced(self) -> None:
        self.steps(self.new("bounced"), "Qualification", "Discovery", "Qualification", "Discovery", "Qualification")

    def ties(self) -> None:
        deal = self.new("ties")
        second = self.later() // 1000 * 1000
        self.world.move(deal, "Qualification", at=second + 10)
        self.world.edit(deal, at=second + 10, amount=Decimal(777))
        self.world.move(deal, "Proposal", at=second + 900)

    def born_closed(self) -> None:
        self.new("born_closed", "Closed Won", close_date=to_date(self.at))

    def moved_pipeline(self) -> None:
        deal = self.steps(self.new("moved_pipeline"), "Discovery")
        self.world.change_pipeline(deal, 2, "Renewal Due", at=self.later())

    def equal_stage_moved_pipeline(self) -> None:
        deal = self.steps(self.new("equal_stage_moved_pipeline"), "Proposal")
        self.world.change_pipeline(deal, 2, "Proposal", at=self.later())

    def edited(self) -> None:
        deal = self.new("edited")
        self.world.edit(deal, at=self.later(), amount=Decimal(20000))
        self.world.edit(deal, at=self.later(), close_date=to_date(self.at) + dt.timedelta(days=90))
        self.world.edit(deal, at=self.later(), owner=2)
        self.world.edit(deal, at=self.later(), amount=Decimal("20000.01"), name="Case: edited (twice)")

    def unknown_amount(self) -> None:
        self.steps(self.new("unknown_amount", amount=None), "Qualification")

    def zero_amount(self) -> None:
        self.steps(self.new("zero_amount", amount=Decimal(0)), "Qualification")

    def amount_emptied(self) -> None:
        self.world.edit(self.new("amount_emptied"), at=self.later(), amount=None)

    def foreign_currency(self) -> None:
        self.steps(self.new("foreign_currency", currency="EUR" if self.world.multi_currency else "USD"), "Proposal")

    def currency_changed(self) -> None:
        deal = self.new("currency_changed")
        if self.world.multi_currency:
            self.world.edit(deal, at=self.later(), currency="JPY")

    def non_ascii(self) -> None:
        deal = self.new("non_ascii", pipeline=2, name="Größe, \"Über\" 東京 – Łódź\nproyek 🚀 \\ 'Ω'")
        self.world.move(deal, "Prüfung", at=self.later())

    def long_text(self) -> None:
        self.new(
            "long_text",
            custom={"remarks": 'line one\nline "two", NA\r\nNone\tnull; N/A', "region": "N/A", "region_detail": "NA"},
        )

    def no_company(self) -> None:
        self.new("no_company", company_id=None)

    def deactivated_owner(self) -> None:
        left = [o.id for o in self.world.owners.values() if not o.active and not o.deleted]
        self.new("deactivated_owner", owner_id=left[0] if left else 1)

    def deleted_owner(self) -> None:
        gone = [o.id for o in self.world.owners.values() if o.deleted]
        self.new("deleted_owner", owner_id=gone[0] if gone else 1)

    def inactive_stage(self) -> None:
        self.steps(self.new("inactive_stage"), "Proposal", "Legal Hold")

    def gone_stage(self) -> None:
        self.steps(self.new("gone_stage"), "Discovery", "Verbal Yes", "Negotiation")

    def renamed_stage(self) -> None:
        self.steps(self.new("renamed_stage"), "Qualification", "Discovery")

    def back_dated(self) -> None:
        deal = self.steps(self.new("back_dated"), "Proposal")
        self.world.win(deal, at=self.later(), close_date=to_date(self.at - 30 * DAY_MS))

    def deleted(self) -> None:
        self.world.delete(self.steps(self.new("deleted"), "Proposal"), at=self.world.now_ms - 3 * DAY_MS)

    def restored(self) -> None:
        deal = self.steps(self.new("restored"), "Proposal")
        self.world.delete(deal, at=self.later())
        self.world.restore(deal, at=self.later())

    def archived(self) -> None:
        self.world.archive(self.steps(self.new("archived"), "Qualification"), at=self.world.now_ms - 5 * DAY_MS)

    def merged(self) -> None:
        loser = self.steps(self.new("merged", amount=Decimal(900)), "Qualification")
        survivor = self.steps(self.new("merge_survivor", amount=None), "Proposal")
        self.world.merge(loser, survivor, at=self.world.now_ms - 2 * DAY_MS)

    def purged(self) -> None:
        deal = self.steps(self.new("purged"), "Proposal")
        self.world.purge(deal, at=self.later())

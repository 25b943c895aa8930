"""The second half of the calculation: cycles, velocity, action lists, capacity and forecast."""

from __future__ import annotations

from collections import Counter, defaultdict
from datetime import date, timedelta
from decimal import ROUND_HALF_UP, Decimal
from fractions import Fraction
from typing import Any

from tests.warehouse.independent.calc import Mart
from tests.warehouse.independent.flow import FlowCalculation
from tests.warehouse.independent.history import Story, Visit, local_day, money, period
from tests.warehouse.independent.numbers import average_money, mean, quantile, rate, survival_quantiles, wilson

CENT = Decimal("0.01")


class FullCalculation(FlowCalculation):
    """Every mart of a world."""

    @property
    def today(self) -> date:
        return local_day(self.world.as_of, self.world.zone)

    def pipeline_of(self, story: Story) -> str:
        """Where the deal was closed, or is now."""
        return story.closing_pipeline or story.visits[-1].stage.pipeline

    def cycle(self, story: Story) -> timedelta:
        end = story.closed_at or self.through[story.deal.source]
        return max(end - story.started_at, timedelta())

    def cycle_time(self) -> Mart:
        cells: dict[tuple[Any, ...], list[Story]] = defaultdict(list)
        for story in self.living:
            cells[self.pipeline_of(story), "all", None].append(story)
            if story.closed_at:
                quarter = period("quarter", local_day(story.closed_at, self.world.zone))
                cells[self.pipeline_of(story), "quarter", quarter].append(story)
        found: Mart = {}
        for key, cell in cells.items():
            won = [self.cycle(story) / timedelta(days=1) for story in cell if story.outcome == "won"]
            lost = [self.cycle(story) / timedelta(days=1) for story in cell if story.outcome == "lost"]
            whole = key[1] == "all"
            spells = [(round(self.cycle(s) / timedelta(milliseconds=1)), s.outcome != "open") for s in cell]
            found[key] = {
                "won_count": len(won),
                "lost_count": len(lost),
                "won_cycle_mean_days": mean(won),
                "won_cycle_median_days": quantile(won, 0.5),
                "won_cycle_p75_days": quantile(won, 0.75),
                "won_cycle_p90_days": quantile(won, 0.9),
                "lost_cycle_median_days": quantile(lost, 0.5),
                "open_count": sum(story.outcome == "open" for story in cell) if whole else None,
                "km_close_median_days": survival_quantiles(spells, [Fraction(1, 2)])[0] if whole else None,
            }
        return found

    def lost_reasons(self) -> Mart:
        lost = [story for story in self.living if story.outcome == "lost"]
        cells: dict[tuple[Any, ...], list[Story]] = defaultdict(list)
        for story in lost:
            cells[story.deal.source, story.last_open_stage, story.deal.lost_reason or "unknown"].append(story)
        found: Mart = {}
        for key, cell in cells.items():
            of_source = [story for story in lost if story.deal.source == key[0]]
            of_stage = [story for story in of_source if story.last_open_stage == key[1]]
            found[key] = {
                "lost_count": len(cell),
                "lost_amount": money([story.deal.amount for story in cell]),
                "amount_missing_count": sum(story.deal.amount is None for story in cell),
                "source_lost_count": len(of_source),
                "lost_share": len(cell) / len(of_source),
                "stage_lost_count": len(of_stage),
                "stage_lost_share": len(cell) / len(of_stage),
                "is_small_sample": len(of_stage) < 10,
            }
        return found

    def cohort_win_rates(self) -> Mart:
        cells: dict[tuple[Any, ...], list[Story]] = defaultdict(list)
        for story in self.living:
            month = period("month", local_day(story.started_at, self.world.zone))
            cells[story.deal.source, month].append(story)
            if story.deal.is_primary:
                cells["all", month].append(story)
        found: Mart = {}
        for key, cell in cells.items():
            outcomes = Counter(story.outcome for story in cell)
            closed = outcomes["won"] + outcomes["lost"]
            low, high = wilson(outcomes["won"], closed)
            found[key] = {
                "deal_count": len(cell),
                "won_count": outcomes["won"],
                "lost_count": outcomes["lost"],
                "open_count": outcomes["open"],
                "win_rate_to_date": outcomes["won"] / len(cell),
                "win_rate": rate(outcomes["won"], closed),
                "win_rate_low": low,
                "win_rate_high": high,
                "maturity": closed / len(cell),
                "is_mature": closed / len(cell) >= 0.8,
                "started_amount": money([story.deal.amount for story in cell]),
                "won_amount": money([story.deal.amount for story in cell if story.outcome == "won"]),
                "amount_missing_count": sum(story.deal.amount is None for story in cell),
                "is_small_sample": len(cell) < 10,
            }
        return found

    def sales_velocity(self) -> Mart:
        worked: dict[tuple[Any, ...], set[str]] = defaultdict(set)
        closed: dict[tuple[Any, ...], list[Story]] = defaultdict(list)
        for story in self.living:
            for visit in story.visits:
                if visit.is_open:
                    for scope in self._scopes(story, visit.stage.pipeline):
                        for key in self._periods_of(visit):
                            worked[(*scope, *key)].add(story.key)
            if story.closed_at:
                for scope in self._scopes(story, story.closing_pipeline):
                    for grain in ("month", "quarter"):
                        start = period(grain, local_day(story.closed_at, self.world.zone))
                        closed[(*scope, grain, start)].append(story)
        return {key: self._velocity(key, len(worked[key]), closed[key]) for key in worked.keys() | closed.keys()}

    @staticmethod
    def _scopes(story: Story, pipeline: str) -> list[tuple[str, str]]:
        scopes = [(story.deal.source, pipeline), (story.deal.source, "all")]
        return [*scopes, ("all", "all")] if story.deal.is_primary else scopes

    def _last_day(self, visit: Visit | None = None) -> date:
        """The day of the last instant in the visit, or before as_of."""
        end = visit.exited if visit and visit.exited else self.world.as_of
        if visit and end == visit.entered:
            return local_day(end, self.world.zone)
        return local_day(end - timedelta(microseconds=1), self.world.zone)

    def _periods_of(self, visit: Visit) -> set[tuple[str, date]]:
        day, last, found = local_day(visit.entered, self.world.zone), self._last_day(visit), set()
        while day <= last:
            found |= {("month", period("month", day)), ("quarter", period("quarter", day))}
            day = (day.replace(day=1) + timedelta(days=31)).replace(day=1)
        return found

    def _velocity(self, key: tuple[Any, ...], worked: int, closed: list[Story]) -> dict[str, Any]:
        grain, start = key[2:]
        following = start
        while period(grain, following) == start:
            following += timedelta(days=1)
        days = (min(following, self._last_day() + timedelta(days=1)) - start).days
        won = [story for story in closed if story.outcome == "won"]
        amount, missing = money([s.deal.amount for s in won]), sum(s.deal.amount is None for s in won)
        parts = (
            worked,
            rate(len(won), len(closed)),
            average_money(amount, len(won) - missing),
            mean([self.cycle(story) / timedelta(days=1) for story in won]),
        )
        return {
            "worked_count": worked,
            "won_count": len(won),
            "lost_count": len(closed) - len(won),
            "win_rate": parts[1],
            "won_amount": amount,
            "won_amount_missing_count": missing,
            "avg_won_amount": parts[2],
            "avg_cycle_days": parts[3],
            "period_days": float(days),
            "is_partial": following > self._last_day(),
            "velocity_per_day": worked * parts[1] * float(parts[2]) / parts[3] if all(parts) else None,
            "realised_per_day": None if amount is None else float(amount) / days,
        }

    def forgotten_prospects(self) -> Mart:
        found: Mart = {}
        for story in self.living:
            deal, stage = story.deal, story.visits[-1].stage
            touches = [deal.last_activity_at, story.visits[-1].entered, *(change.at for change in deal.changes)]
            quiet = (self.through[deal.source] - max(t for t in touches if t)) / timedelta(days=1)
            early = (stage.ladder is not None and stage.ladder <= 40) or stage.canonical == "on_hold"
            planned = deal.next_activity_at is not None and deal.next_activity_at >= self.world.as_of
            if story.outcome == "open" and deal.presence == "present" and early and not planned and quiet > 30:
                found[(deal.key,)] = {
                    "days_since_touch": quiet,
                    "amount_reporting": deal.amount,
                    "stage_key": stage.key,
                }
        return found

    def owner_capacity(self) -> Mart:
        desks: dict[str, list[Story]] = defaultdict(list)
        closes: dict[str, list[Story]] = defaultdict(list)
        for story in self.living:
            if not story.deal.is_primary:
                continue
            if story.outcome == "open":
                desks[self._person(story.deal.owner)].append(story)
            elif story.closed_at >= self.world.as_of - timedelta(days=90):
                closes[self._person(story.closing_owner)].append(story)
        capacity = quantile([len(desk) for person, desk in desks.items() if person != "unknown"], 0.75)
        found: Mart = {}
        for person in desks.keys() | closes.keys():
            desk, done, known = desks.get(person, []), closes.get(person, []), person != "unknown"
            lines = [self.stalled[(s.key,)] for s in desk if (s.key,) in self.stalled]
            found[(person,)] = {
                "open_count": len(desk),
                "open_amount": money([s.deal.amount for s in desk]),
                "amount_missing_count": sum(s.deal.amount is None for s in desk),
                "stalled_count": sum(line["is_stalled"] for line in lines),
                "overdue_count": sum(line["is_overdue"] for line in lines),
                "closed_90d": len(done),
                "won_90d": sum(s.outcome == "won" for s in done),
                "closes_per_week": len(done) * 7 / 90,
                "capacity": capacity if known else None,
                "load_ratio": len(desk) / capacity if known and capacity else None,
                "weeks_to_clear": len(desk) / (len(done) * 7 / 90) if done else None,
                "is_over_capacity": known and capacity is not None and len(desk) > capacity,
            }
        return found

    def _person(self, owner: str | None) -> str:
        return self.world.people[owner][0] if owner else "unknown"

    def forecast_deals(self) -> Mart:
        stages = {key[0]: row for key, row in self.stage_conversion().items() if key[1] == "all"}
        rates = {key[:2]: row["win_rate"] for key, row in self.win_rates().items() if key[2] == "all"}
        found: Mart = {}
        for story in self.living:
            if story.outcome != "open":
                continue
            deal, stage = story.deal, story.visits[-1].stage
            passed = stages.get(stage.key, {"won_count": 0, "final_lost_count": 0})
            won, resolved = passed["won_count"], passed["won_count"] + passed["final_lost_count"]
            prior = rates.get(("pipeline", stage.pipeline))
            prior = rates.get(("all", "all")) if prior is None else prior
            own = deal.probability if deal.probability is not None else stage.probability
            historical = None if prior is None else (won + 10 * prior) / (resolved + 10)
            crm, past = _weigh(deal.amount, own), _weigh(deal.amount, historical)
            timing = "undated" if deal.close_date is None else "overdue" if deal.close_date < self.today else "dated"
            found[(deal.key,)] = {
                "pipeline_key": stage.pipeline,
                "timing": timing,
                "close_month": period("month", deal.close_date) if timing == "dated" else None,
                "crm_probability": own,
                "historical_probability": historical,
                "resolved_count": resolved,
                "weighted_amount_crm": crm,
                "weighted_amount_historical": past,
                "gap_amount": None if crm is None or past is None else past - crm,
                "amount_reporting": deal.amount,
            }
        return found

    def forecast(self) -> Mart:
        cells: dict[tuple[Any, ...], list[dict[str, Any]]] = defaultdict(list)
        for row in self.forecast_deals().values():
            cells[row["pipeline_key"], row["timing"], row["close_month"]].append(row)
        return {
            key: {
                "open_count": len(cell),
                "amount_missing_count": sum(row["amount_reporting"] is None for row in cell),
                "open_amount": money([row["amount_reporting"] for row in cell]),
                **{
                    name: money([row[name] for row in cell])
                    for name in ("weighted_amount_crm", "weighted_amount_historical", "gap_amount")
                },
            }
            for key, cell in cells.items()
        }


def _weigh(amount: Decimal | None, probability: float | None) -> Decimal | None:
    if amount is None or probability is None:
        return None
    exact = amount * Decimal(probability).quantize(Decimal("1e-12"), ROUND_HALF_UP)
    return exact.quantize(CENT, ROUND_HALF_UP)

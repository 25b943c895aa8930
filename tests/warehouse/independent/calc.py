"""The marts once more, calculated in plain Python over the events. Written from the words of the specification; shares nothing with the SQL.

Every function gives {key: {column: value}}; keys are the grain of the mart of the same name.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from functools import cached_property
from itertools import pairwise
from typing import Any

from tests.warehouse.independent.history import Story, Visit, local_day, money, period, pushes, stories
from tests.warehouse.independent.numbers import (
    average_money,
    incidences,
    mean,
    quantile,
    rate,
    survival_quantiles,
    wilson,
)
from tests.warehouse.independent.world import Stage, World

Mart = dict[tuple[Any, ...], dict[str, Any]]
WON = float("inf")
GRAINS = ("month", "quarter", "all")


@dataclass(frozen=True)
class Reach:
    """One deal reached one stage (of a pipeline, or canonical)."""

    story: Story
    stage: Any
    at: datetime
    visited: bool
    state: str
    final: str
    strict: bool = False
    strict_on: bool = False


class Calculation:
    """All marts of a world. Thresholds are the defaults of the specification."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.stories = stories(world)
        self.living = [story for story in self.stories if story.is_living]
        self.stage = {stage.key: stage for stage in world.stages}
        self.source_of = {pipeline.key: pipeline.source for pipeline in world.pipelines}
        self.through = {source.key: min(source.data_through, world.as_of) for source in world.sources}
        self.open_stages = [stage for stage in world.stages if stage.outcome == "open"]

    def ladder(self, pipeline: str) -> list[Stage]:
        """The stages that get conversion rows, first to last."""
        own = [s for s in self.open_stages if s.pipeline == pipeline and s.order is not None and not s.is_archived]
        return sorted(own, key=lambda s: s.order)

    # -- section 5 ---------------------------------------------------------------------------------------------------

    @cached_property
    def reaches(self) -> list[Reach]:
        """The rows of deal_stage_facts."""
        found = []
        for story in self.living:
            for pipeline in {visit.stage.pipeline for visit in story.visits}:
                found += self._reached_in(story, pipeline)
        return found

    def _reached_in(self, story: Story, pipeline: str) -> list[Reach]:
        visits = [visit for visit in story.visits if visit.stage.pipeline == pipeline]
        final = visits[-1].outcome

        def level(visit: Visit) -> float | None:
            if visit.is_open:
                return visit.stage.order
            return WON if visit.outcome == "won" and final == "won" else None

        levels = [level(visit) for visit in visits]
        entry = next((lv for lv in levels if lv is not None), None)
        entry = None if entry == WON else entry
        steps = self.ladder(pipeline)
        found = []
        for stage in steps:
            hit = next(
                (
                    n
                    for n, (visit, lv) in enumerate(zip(visits, levels, strict=True))
                    if (visit.is_open and visit.stage.key == stage.key)
                    or (lv is not None and lv > stage.order and entry is not None and entry < stage.order)
                ),
                None,
            )
            if hit is None:
                continue
            if any(lv is not None and lv > stage.order for lv in levels[hit:]):
                state = "advanced"
            elif final == "lost":
                state = "lost"
            elif final == "open" and story.visits[-1].stage.pipeline != pipeline:
                state = "moved"
            else:
                state = "open"
            visited = any(v.is_open and v.stage.key == stage.key for v in visits)
            strict = self._strict(visits, steps, stage)
            following = steps[steps.index(stage) + 1 :]
            onward = self._strict(visits, steps, following[0]) if following else final == "won"
            found.append(Reach(story, stage, visits[hit].entered, visited, state, final, strict, strict and onward))
        return found

    @staticmethod
    def _strict(visits: list[Visit], steps: list[Stage], stage: Stage) -> bool:
        firsts = []
        for step in steps[: steps.index(stage) + 1]:
            sat = [n for n, visit in enumerate(visits) if visit.is_open and visit.stage.key == step.key]
            if not sat:
                return False
            firsts.append(sat[0])
        return all(a < b for a, b in pairwise(firsts))

    def deal_stage_facts(self) -> Mart:
        return {
            (r.story.key, r.stage.key): {
                "reached_at": r.at,
                "is_visited": r.visited,
                "is_skipped": not r.visited,
                "state": r.state,
                "final_outcome": r.final,
                "is_strict": r.strict,
                "is_strict_advanced": r.strict_on,
                "amount_reporting": r.story.deal.amount,
                "source_key": self.source_of[r.stage.pipeline],
                "is_primary": r.story.deal.is_primary,
            }
            for r in self.reaches
        }

    def stage_conversion(self) -> Mart:
        cells: dict[tuple[Any, ...], list[Reach]] = {
            (stage.key, "all", None): [] for p in self.world.pipelines for stage in self.ladder(p.key)
        }
        for reach in self.reaches:
            day = local_day(reach.at, self.world.zone)
            for grain in GRAINS:
                cells.setdefault((reach.stage.key, grain, period(grain, day)), []).append(reach)
        return {
            key: self._funnel(cell, strict=True) | {"expected_conversion_90d": self.dwell[key[:1]]["cif_advanced_90d"]}
            for key, cell in cells.items()
        }

    def _funnel(self, cell: list[Reach], *, strict: bool) -> dict[str, Any]:
        states = Counter(reach.state for reach in cell)
        resolved = states["advanced"] + states["lost"]
        low, high = wilson(states["advanced"], resolved)
        won = sum(reach.final == "won" for reach in cell)
        lost = sum(reach.final == "lost" for reach in cell)
        maturity = rate(resolved, len(cell) - states["moved"])

        def amount(*wanted: str) -> Decimal | None:
            return money([reach.story.deal.amount for reach in cell if not wanted or reach.state in wanted])

        row = {
            "reached_count": len(cell),
            "visited_count": sum(reach.visited for reach in cell),
            "skipped_count": sum(not reach.visited for reach in cell),
            "advanced_count": states["advanced"],
            "lost_count": states["lost"],
            "open_count": states["open"],
            "resolved_count": resolved,
            "conversion_rate": rate(states["advanced"], len(cell)),
            "conversion_rate_resolved": rate(states["advanced"], resolved),
            "conversion_low": low,
            "conversion_high": high,
            "maturity": maturity,
            "is_mature": maturity is not None and maturity >= 0.8,
            "won_count": won,
            "final_lost_count": lost,
            "win_rate_from_stage": rate(won, won + lost),
            "reached_amount": amount(),
            "advanced_amount": amount("advanced"),
            "lost_amount": amount("lost"),
            "open_amount": amount("open"),
            "amount_missing_count": sum(reach.story.deal.amount is None for reach in cell),
            "is_small_sample": resolved < 10,
        }
        if strict:
            reached, onward = sum(r.strict for r in cell), sum(r.strict_on for r in cell)
            row |= {
                "moved_count": states["moved"],
                "moved_amount": amount("moved"),
                "strict_reached_count": reached,
                "strict_advanced_count": onward,
                "strict_conversion_rate": rate(onward, reached),
            }
        return row

    # -- section 6 ---------------------------------------------------------------------------------------------------

    @cached_property
    def offered(self) -> dict[str, dict[str, int]]:
        """Pipeline -> canonical stage -> place on the ladder, of its open stages, removed ones too."""
        found: dict[str, dict[str, int]] = defaultdict(dict)
        for stage in self.open_stages:
            if stage.ladder is not None:
                found[stage.pipeline][stage.canonical] = stage.ladder
        return found

    @cached_property
    def canonical_reaches(self) -> list[Reach]:
        """The rows of deal_canonical_facts."""
        rungs = {name: order for stages in self.offered.values() for name, order in stages.items()}
        found = []
        for story in self.living:
            levels = [
                visit.stage.ladder if visit.is_open else WON if visit.outcome == story.outcome == "won" else None
                for visit in story.visits
            ]
            first = next((lv for lv in levels if lv is not None), None)
            for name, order in rungs.items():
                reach = self._reached_rung(story, levels, first, name, order)
                if reach:
                    found.append(reach)
        return found

    def _reached_rung(self, story: Story, levels: list[Any], first: Any, name: str, order: int) -> Reach | None:
        for n, (visit, level) in enumerate(zip(story.visits, levels, strict=True)):
            if level is None:
                continue
            implied = first != WON and first < order < level and name in self.offered[visit.stage.pipeline]
            if level == order or implied:
                beyond = any(lv is not None and lv > order for lv in levels[n:])
                state = "advanced" if beyond else "lost" if story.outcome == "lost" else "open"
                return Reach(story, name, visit.entered, order in levels, state, story.outcome)
        return None

    def deal_canonical_facts(self) -> Mart:
        return {
            (r.story.key, r.stage): {
                "reached_at": r.at,
                "is_visited": r.visited,
                "is_skipped": not r.visited,
                "state": r.state,
                "final_outcome": r.final,
                "source_key": r.story.deal.source,
            }
            for r in self.canonical_reaches
        }

    def cross_system_conversion(self) -> Mart:
        cells: dict[tuple[Any, ...], list[Reach]] = {}
        offers: Counter[tuple[Any, ...]] = Counter()
        for pipeline, names in self.offered.items():
            for name in names:
                cells[self.source_of[pipeline], name, "all", None] = []
                cells["all", name, "all", None] = []
        for reach in self.canonical_reaches:
            for key in self._sides(reach.story, reach.stage, reach.at):
                cells.setdefault(key, []).append(reach)
        for story in self.living:
            for name in {name for visit in story.visits for name in self.offered.get(visit.stage.pipeline, ())}:
                came = next(v.entered for v in story.visits if name in self.offered.get(v.stage.pipeline, ()))
                offers.update(self._sides(story, name, came))
        return {
            key: self._funnel(cell, strict=False)
            | {"sources_count": len({r.story.deal.source for r in cell}), "deals_with_stage_count": offers[key]}
            for key, cell in cells.items()
        }

    def _sides(self, story: Story, name: str, at: datetime) -> Iterable[tuple[Any, ...]]:
        day = local_day(at, self.world.zone)
        for side in (story.deal.source, *(("all",) if story.deal.is_primary else ())):
            for grain in ("quarter", "all"):
                yield side, name, grain, period(grain, day)

    def cross_system_compare(self) -> Mart:
        whole = {key[:2]: row for key, row in self.cross_system_conversion().items() if key[2] == "all"}
        spells: dict[tuple[str, str], list[tuple[int, bool]]] = defaultdict(list)
        for story in self.living:
            for visit in story.visits:
                if visit.is_timed_wait and visit.stage.ladder is not None:
                    for side in (story.deal.source, *(("all",) if story.deal.is_primary else ())):
                        spells[side, visit.stage.canonical].append((visit.milliseconds, visit.exited is not None))
        medians = {key: survival_quantiles(found, [Fraction(1, 2)])[0] for key, found in spells.items()}
        found: Mart = {}
        for (side, name), row in whole.items():
            if side == "all":
                continue
            every = whole["all", name]
            mine, theirs = medians.get((side, name)), medians.get(("all", name))
            bounds = (row["conversion_low"], row["conversion_high"], every["conversion_low"], every["conversion_high"])
            found[name, side] = {
                "conversion_rate_resolved": row["conversion_rate_resolved"],
                "conversion_low": bounds[0],
                "conversion_high": bounds[1],
                "dwell_median_days": mine,
                "all_dwell_median_days": theirs,
                "dwell_median_delta_days": None if mine is None or theirs is None else mine - theirs,
                "conversion_delta": _minus(row["conversion_rate_resolved"], every["conversion_rate_resolved"]),
                "differs": None if None in bounds else bounds[0] > bounds[3] or bounds[1] < bounds[2],
                "visits_count": len(spells[side, name]),
                "completed_count": sum(ended for _, ended in spells[side, name]),
            }
        return found

    # -- section 7 ---------------------------------------------------------------------------------------------------

    @cached_property
    def waits(self) -> dict[str, list[tuple[Story, Visit]]]:
        """Open visits of living deals by stage that is open today."""
        found: dict[str, list[tuple[Story, Visit]]] = {stage.key: [] for stage in self.open_stages}
        for story in self.living:
            for visit in story.visits:
                if visit.is_open and visit.stage.key in found:
                    found[visit.stage.key].append((story, visit))
        return found

    @cached_property
    def dwell(self) -> Mart:
        found: Mart = {}
        for key, waits in self.waits.items():
            visits = [visit for _, visit in waits if visit.is_timed_wait]
            done = [visit for visit in visits if visit.exited]
            spells = [(visit.milliseconds, visit.exited is not None) for visit in visits]
            median, p75, p90 = survival_quantiles(spells, [Fraction(1, 2), Fraction(3, 4), Fraction(9, 10)])
            fates = incidences([(v.milliseconds, _fate(v)) for v in visits], ("advanced", "lost", "other"), 90)
            found[(key,)] = {
                "visits_count": len(visits),
                "completed_count": len(done),
                "censored_count": len(visits) - len(done),
                "censored_share": rate(len(visits) - len(done), len(visits)),
                "dwell_median_days": median,
                "dwell_p75_days": p75,
                "dwell_p90_days": p90,
                "dwell_median_completed_days": quantile([v.days for v in done], 0.5),
                "dwell_mean_completed_days": mean([v.days for v in done]),
                "cif_advanced_90d": fates["advanced"],
                "cif_lost_90d": fates["lost"],
                "cif_other_90d": fates["other"],
                "is_small_sample": len(done) < 10,
            }
        return found

    def stage_dwell(self) -> Mart:
        return self.dwell

    def stage_bottlenecks(self) -> Mart:
        found = {key: row | self._flow(key[0]) for key, row in self.dwell.items()}
        for pipeline in {self.stage[key[0]].pipeline for key in found}:
            own = {key: row for key, row in found.items() if self.stage[key[0]].pipeline == pipeline}
            self._score(own)
        return found

    def _flow(self, stage: str) -> dict[str, Any]:
        now, window = self.world.as_of, timedelta(days=90)
        waits = self.waits[stage]
        here = [(story, visit) for story, visit in waits if visit is story.visits[-1]]
        timed = [visit for _, visit in waits if visit.is_timed_wait]
        arrivals = sum(now - window <= v.entered < now for v in timed)
        departures = sum(v.exited is not None and now - window <= v.exited < now for v in timed)
        inside = sum(
            (max(min(v.end, now) - max(v.entered, now - window), timedelta()) / timedelta(days=1) for _, v in waits),
            0.0,
        )
        rework = sum(v.number > 1 for v in timed)
        lost = [s for s in self.living if s.outcome == "lost" and s.last_open_stage == stage]
        lost_exits = sum(v.exit_movement == "lost" for v in timed)
        done = sum(v.exited is not None for v in timed)
        low, high = wilson(lost_exits, done)
        return {
            "wip_count": len(here),
            "wip_amount": money([story.deal.amount for story, _ in here]),
            "wip_amount_missing_count": sum(story.deal.amount is None for story, _ in here),
            "wip_median_age_days": quantile([visit.days for _, visit in here], 0.5),
            "stalled_count": sum(row["is_stalled"] for row in self.stalled.values() if row["stage_key"] == stage),
            "arrivals_90d": arrivals,
            "departures_90d": departures,
            "arrival_rate_per_week": arrivals * 7 / 90,
            "departure_rate_per_week": departures * 7 / 90,
            "load_ratio": rate(arrivals, departures),
            "avg_wip_90d": inside / 90,
            "littles_dwell_days": inside / departures if departures else None,
            "rework_count": rework,
            "rework_rate": rate(rework, len(timed)),
            "backward_exit_count": sum(v.exit_movement == "backward" for v in timed),
            "lost_exit_count": lost_exits,
            "loss_rate": rate(lost_exits, done),
            "loss_rate_low": low,
            "loss_rate_high": high,
            "lost_from_count": len(lost),
            "lost_amount": money([s.deal.amount for s in lost]),
            "lost_amount_missing_count": sum(s.deal.amount is None for s in lost),
        }

    def _score(self, own: Mart) -> None:
        wip = sum(row["avg_wip_90d"] for row in own.values())
        lost = sum(row["lost_amount"] or 0 for row in own.values())
        for row in own.values():
            row["score_time"] = row["avg_wip_90d"] / wip if wip else 0.0
            row["score_loss"] = float((row["lost_amount"] or 0) / lost) if lost else 0.0
            growth = max(0, row["arrivals_90d"] - row["departures_90d"])
            row["score_queue"] = growth / row["arrivals_90d"] if row["arrivals_90d"] else 0.0
            row["score_rework"] = row["rework_rate"] or 0.0
            row["bottleneck_score"] = 100 * (
                0.4 * row["score_time"] + 0.3 * row["score_loss"] + 0.2 * row["score_queue"] + 0.1 * row["score_rework"]
            )

        def place(key: tuple[Any, ...]) -> tuple[Any, ...]:
            order = self.stage[key[0]].order
            return -round(own[key]["bottleneck_score"], 9), order is None, order or 0, key[0]

        for rank, key in enumerate(sorted(own, key=place), start=1):
            own[key]["bottleneck_rank"] = rank

    # -- section 8 ---------------------------------------------------------------------------------------------------

    def transitions(self) -> Mart:
        cells: dict[tuple[Any, ...], list[tuple[Story, float | None]]] = defaultdict(list)
        for story in self.living:
            before: Visit | None = None
            for visit in story.visits:
                days = before.days if before and not before.unseen_entry else None
                month = period("month", local_day(visit.entered, self.world.zone))
                for grain, start in (("month", month), ("all", None)):
                    pair = (before.stage.key if before else None, visit.stage.key, visit.movement)
                    cells[(story.deal.source, *pair, grain, start)].append((story, days))
                before = visit
            if story.visits[-1].is_open:
                cells[story.deal.source, story.visits[-1].stage.key, None, "still_open", "all", None].append(
                    (story, None)
                )
        exits: Counter[tuple[Any, ...]] = Counter()
        for (source, origin, _, movement, grain, start), moves in cells.items():
            if movement not in ("enter", "still_open"):
                exits[source, origin, grain, start] += len(moves)
        found: Mart = {}
        for key, moves in cells.items():
            source, origin, _, movement, grain, start = key
            virtual = movement in ("enter", "still_open")
            out = None if virtual else exits[source, origin, grain, start]
            days = [d for _, d in moves if d is not None]
            found[key] = {
                "is_virtual": virtual,
                "transition_count": len(moves),
                "deal_count": len({story.key for story, _ in moves}),
                "from_exit_count": out,
                "share_of_from": None if out is None else len(moves) / out,
                "days_count": len(days),
                "mean_days": mean(days),
                "median_days": quantile(days, 0.5),
                "p90_days": quantile(days, 0.9),
                "min_days": min(days, default=None),
                "max_days": max(days, default=None),
                "amount": money([story.deal.amount for story, _ in moves]),
                "amount_missing_count": sum(story.deal.amount is None for story, _ in moves),
            }
        return found

    # -- section 9 ---------------------------------------------------------------------------------------------------

    def win_rates(self) -> Mart:
        cells: dict[tuple[Any, ...], list[Story]] = {}
        for story in self.living:
            closed = story.outcome != "open"
            day = local_day(story.closed_at, self.world.zone) if closed else None
            for dimension, value in self._dimensions(story):
                cells.setdefault((dimension, value, "all", None), [])
                if closed:
                    for grain in GRAINS:
                        cells.setdefault((dimension, value, grain, period(grain, day)), []).append(story)
        return {key: _wins(cell) for key, cell in cells.items()}

    def _dimensions(self, story: Story) -> Iterable[tuple[str, str]]:
        deal, is_open = story.deal, story.outcome == "open"
        yield "source", deal.source
        yield "pipeline", story.visits[-1].stage.pipeline if is_open else story.closing_pipeline
        if not deal.is_primary:
            return
        owner = deal.owner if is_open else story.closing_owner
        yield "all", "all"
        yield "owner", self.world.people[owner][0] if owner else "unknown"
        yield "lead_source", deal.lead_source or "unknown"
        yield "deal_type", deal.deal_type or "unknown"
        yield "company_segment", (self.world.companies[deal.company] if deal.company else None) or "unknown"
        yield "amount_band", _band(deal.amount)

    # -- section 11 --------------------------------------------------------------------------------------------------

    @cached_property
    def stalled(self) -> Mart:
        found: Mart = {}
        for story in self.living:
            deal, visit = story.deal, story.visits[-1]
            if story.outcome != "open" or deal.presence != "present":
                continue
            usual = self.dwell[(visit.stage.key,)]
            known = usual["completed_count"] >= 10 and usual["dwell_p90_days"] is not None
            threshold = usual["dwell_p90_days"] if known else 30.0
            quiet = None
            if deal.last_activity_at:
                quiet = max((self.through[deal.source] - deal.last_activity_at) / timedelta(days=1), 0.0)
            pushed = pushes(story)
            today = local_day(self.world.as_of, self.world.zone)
            reasons = [
                name
                for name, holds in (
                    ("stage_age", visit.days > threshold),
                    ("overdue_close_date", deal.close_date is not None and deal.close_date < today),
                    ("no_activity", quiet is not None and quiet > 30),
                    ("pushed_repeatedly", pushed >= 2),
                    ("moved_backward", visit.movement == "backward"),
                    ("missing_amount", deal.amount is None),
                )
                if holds
            ]
            found[(deal.key,)] = {
                "stage_key": visit.stage.key,
                "days_in_stage": visit.days,
                "is_age_lower_bound": visit.unseen_entry,
                "threshold_days": threshold,
                "threshold_basis": "km_p90" if known else "default",
                "days_since_activity": quiet,
                "push_count": pushed,
                "is_overdue": "overdue_close_date" in reasons,
                "is_stalled": any(r in reasons for r in ("stage_age", "overdue_close_date", "no_activity")),
                "reasons": ", ".join(reasons) or None,
                "severity": visit.days / threshold if threshold else None,
            }
        return found

    def stalled_deals(self) -> Mart:
        return self.stalled


def _minus(a: float | None, b: float | None) -> float | None:
    return None if a is None or b is None else a - b


def _fate(visit: Visit) -> str | None:
    if visit.exited is None:
        return None
    return {"forward": "advanced", "won": "advanced", "lost": "lost"}.get(visit.exit_movement, "other")


def _band(amount: Decimal | None) -> str:
    if amount is None:
        return "unknown"
    return next(
        (name for limit, name in ((1000, "<1k"), (10_000, "1k-10k"), (100_000, "10k-100k")) if amount < limit), ">=100k"
    )


def _wins(cell: list[Story]) -> dict[str, Any]:
    won = [story for story in cell if story.outcome == "won"]
    lost = [story for story in cell if story.outcome == "lost"]
    low, high = wilson(len(won), len(cell))
    won_amount, lost_amount = money([s.deal.amount for s in won]), money([s.deal.amount for s in lost])
    both = None if won_amount is None or lost_amount is None else won_amount + lost_amount
    missing = sum(s.deal.amount is None for s in won)
    return {
        "won_count": len(won),
        "lost_count": len(lost),
        "closed_count": len(cell),
        "win_rate": rate(len(won), len(cell)),
        "win_rate_low": low,
        "win_rate_high": high,
        "won_amount": won_amount,
        "lost_amount": lost_amount,
        "won_amount_missing_count": missing,
        "lost_amount_missing_count": sum(s.deal.amount is None for s in lost),
        "win_rate_value": float(won_amount / both) if both else None,
        "avg_won_amount": average_money(won_amount, len(won) - missing),
        "is_small_sample": len(cell) < 10,
    }

"""What a headline table looks like: bars as hand-written SVG inside Markdown, and a few of its rows. No plotting library, no request."""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping, Sequence
from html import escape
from typing import Any, NamedTuple

Rows = Sequence[Mapping[str, Any]]

_WIDTH = 760
_LABEL = 235
_BAR = 245
_ROW = 26
_TOP = 44
_INK, _FAINT, _LINE = "#1b2733", "#6b7785", "#d7dde3"


class Bar(NamedTuple):
    """One line of a picture: `share` 0..1 of the full width in `colour`; `text` stands behind it; an empty label continues the group above."""

    label: str
    share: float
    text: str
    colour: str = "#3b7dd8"


class Picture(NamedTuple):
    """How one table is shown: rows for the drawing, how they become bars, rows for the preview."""

    title: str
    sql: str
    bars: Callable[[Rows], list[Bar]]
    preview: str


def markdown(title: str, bars: Sequence[Bar]) -> str:
    """The picture as Markdown with the SVG inside."""
    data = base64.b64encode(svg(title, bars).encode()).decode()
    return f"![{title}](data:image/svg+xml;base64,{data})"


def svg(title: str, bars: Sequence[Bar]) -> str:
    """Horizontal bars below a title. Every text is escaped: stage names come from users."""
    height = _TOP + _ROW * max(len(bars), 1) + 14
    parts = [
        (
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDTH}" height="{height}" viewBox="0 0 {_WIDTH} {height}" '
            'font-family="Helvetica, Arial, sans-serif" font-size="13">'
        ),
        f'<rect width="{_WIDTH}" height="{height}" rx="8" fill="#ffffff" stroke="{_LINE}"/>',
        _text(16, 27, title, _INK, weight="bold", size=15),
    ]
    for number, bar in enumerate(bars):
        top = _TOP + _ROW * number
        width = round(_BAR * min(max(bar.share, 0.0), 1.0), 1)
        parts.append(_text(_LABEL, top + 16, _short(bar.label, 30), _INK, anchor="end"))
        parts.append(f'<rect x="{_LABEL + 10}" y="{top + 3}" width="{_BAR}" height="18" rx="3" fill="#eef2f6"/>')
        if width:
            parts.append(
                f'<rect x="{_LABEL + 10}" y="{top + 3}" width="{width}" height="18" rx="3" fill="{bar.colour}"/>'
            )
        parts.append(_text(_LABEL + 20 + _BAR, top + 16, _short(bar.text, 43), _FAINT, size=12))
    if not bars:
        parts.append(_text(16, _TOP + 14, "nothing to show yet", _FAINT))
    return "".join([*parts, "</svg>"])


def _text(
    x: float, y: float, words: str, colour: str, *, anchor: str = "start", weight: str = "normal", size: int = 13
) -> str:
    return (
        f'<text x="{x}" y="{y}" fill="{colour}" text-anchor="{anchor}" font-weight="{weight}" font-size="{size}">'
        f"{escape(words)}</text>"
    )


def _short(words: str, most: int) -> str:
    return words if len(words) <= most else words[: most - 1] + "…"


def _percent(rate: float | None) -> str:
    return "-" if rate is None else f"{100 * rate:.0f} %"


def _funnel(rows: Rows) -> list[Bar]:
    most = max((row["reached_count"] for row in rows), default=0) or 1
    return [
        Bar(
            row["canonical_stage"],
            row["reached_count"] / most,
            f"{row['reached_count']:,} reached, {_percent(row['rate'])} went on",
            "#2a9d8f",
        )
        for row in rows
    ]


def _conversion(rows: Rows) -> list[Bar]:
    return [
        Bar(
            f"{row['source_key']}: {row['stage']}",
            row["rate"] or 0.0,
            f"{_percent(row['rate'])} of {row['resolved_count']:,} decided"
            + (" (few)" if row["is_small_sample"] else ""),
            "#b9c4cf" if row["is_small_sample"] else "#3b7dd8",
        )
        for row in rows
    ]


def _bottlenecks(rows: Rows) -> list[Bar]:
    return [
        Bar(
            f"{row['source_key']}: {row['stage']}",
            (row["bottleneck_score"] or 0.0) / 100,
            (row["bottleneck_reason"] or "") + (" (few)" if row["is_small_sample"] else ""),
            "#b9c4cf" if row["is_small_sample"] else "#d1495b",
        )
        for row in rows
    ]


def _stalled(rows: Rows) -> list[Bar]:
    most = max((row["open_count"] for row in rows), default=0) or 1
    return [
        Bar(
            f"{row['source_key']}: {row['stage']}",
            row["stalled_count"] / most,
            f"{row['stalled_count']:,} stalled of {row['open_count']:,} open",
            "#e09f3e",
        )
        for row in rows
    ]


#: Tables with a picture. Names of deals and customers stay out: what is shown here is stored with every run.
PICTURES: Mapping[str, Picture] = {
    "main.cross_system_conversion": Picture(
        "One funnel over all systems, each deal once",
        "select canonical_stage, reached_count, conversion_rate_resolved as rate from main.cross_system_conversion "
        "where source_key = 'all' and period_grain = 'all' and canonical_order is not null and reached_count > 0 order by canonical_order",
        _funnel,
        "select source_key, canonical_stage, reached_count, advanced_count, lost_count, open_count, conversion_rate_resolved "
        "from main.cross_system_conversion where period_grain = 'all' order by source_key <> 'all', source_key, canonical_order limit 12",
    ),
    "main.stage_conversion": Picture(
        "Of the decided deals in a stage, how many went on",
        "select source_key, stage, resolved_count, conversion_rate_resolved as rate, is_small_sample from main.stage_conversion "
        "where period_grain = 'all' and resolved_count > 0 order by source_key, pipeline, stage_order limit 30",
        _conversion,
        "select source_key, pipeline, stage, reached_count, advanced_count, lost_count, open_count, conversion_rate_resolved "
        "from main.stage_conversion where period_grain = 'all' order by source_key, pipeline, stage_order limit 12",
    ),
    "main.stage_bottlenecks": Picture(
        "Where deals get stuck: bottleneck score, worst first",
        "select source_key, stage, bottleneck_score, bottleneck_reason, is_small_sample from main.stage_bottlenecks "
        "where bottleneck_score is not null order by bottleneck_score desc, source_key, stage limit 12",
        _bottlenecks,
        "select source_key, pipeline, stage, bottleneck_rank, bottleneck_score, dwell_median_days, wip_count, stalled_count, loss_rate, "
        "bottleneck_reason from main.stage_bottlenecks order by bottleneck_score desc nulls last, source_key, stage limit 12",
    ),
    "main.stalled_deals": Picture(
        "Open deals that need somebody today, by stage",
        "select source_key, stage, count(*) as open_count, count(*) filter (where is_stalled) as stalled_count from main.stalled_deals "
        "group by source_key, stage having count(*) filter (where is_stalled) > 0 order by stalled_count desc, source_key, stage limit 12",
        _stalled,
        "select deal_key, stage, round(days_in_stage, 1) as days_in_stage, threshold_days, reason_text from main.stalled_deals "
        "where is_stalled order by stalled_rank limit 12",
    ),
}

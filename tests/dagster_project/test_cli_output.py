"""Tables that a person can read, and nothing that a deal's name can break."""

import io
from datetime import UTC, datetime
from decimal import Decimal

from dagster_project.cli_output import Progress, cell, offending, percent, table, to_json


def test_columns_line_up_also_with_wide_letters():
    text = table([["案件", 1200], ["deal", 7]], ["name", "count"])
    assert text.splitlines() == ["name  count", "----  -----", "案件  1,200", "deal      7"]


def test_unknown_is_a_dash_and_zero_is_zero():
    assert [cell(None), cell(0), cell(0.0), percent(None), percent(0.0)] == ["-", "0", "0.0", "-", "0.0 %"]


def test_control_characters_of_a_deal_name_are_shown_not_obeyed():
    assert cell("a\x1b[2Jb\nc") == "a\\x1b[2Jb c"


def test_json_keeps_every_digit():
    value = {"amount": Decimal("0.10"), "at": datetime(2026, 1, 1, tzinfo=UTC)}
    assert to_json(value) == '{\n  "amount": "0.10",\n  "at": "2026-01-01T00:00:00Z"\n}'


def test_progress_is_plain_lines_outside_a_terminal():
    out, moments = io.StringIO(), iter([0.0, 1.0, 20.0])
    progress = Progress(out, monotonic=lambda: next(moments))
    for done in (1, 2, 3):
        progress.show("crm", done, 10, "rows")
    progress.close()
    assert out.getvalue() == "crm: 1 of 10 rows\ncrm: 3 of 10 rows\n"


def test_a_failing_check_reads_as_a_sentence():
    assert offending(1, "A returned row is a stage without a name.") == "1 row, each a stage without a name."
    assert offending(1200, "Each deal has a stage.") == "1,200 rows. Each deal has a stage."

"""`muara stages classify`: CSV in, the same rows and four more columns out."""

from __future__ import annotations

import csv
import io

import pytest

from connectors.sdk.errors import ConfigError
from warehouse.stages import StageMapping, classify_csv


def run(text: str, mapping: StageMapping | None = None) -> list[dict[str, str]]:
    out = io.StringIO()
    classify_csv(io.StringIO(text, newline=""), out, mapping)
    return list(csv.DictReader(io.StringIO(out.getvalue(), newline="")))


def test_rows_keep_their_columns_and_order_and_gain_four() -> None:
    rows = run('note,label,extra\n"a, b",Negosiasi,"1\n2"\n,R1,x\n')
    assert list(rows[0]) == ["note", "label", "extra", "canonical_stage", "confidence", "method", "explanation"]
    assert [row["label"] for row in rows] == ["Negosiasi", "R1"]
    assert (rows[0]["note"], rows[0]["extra"], rows[0]["canonical_stage"]) == ("a, b", "1\n2", "negotiation")
    assert rows[0]["confidence"] == "0.95"
    assert rows[0]["explanation"] == "dictionary: 'negosiasi' (id) → negotiation"
    assert rows[1]["canonical_stage"] == "unmapped"


def test_every_optional_column_is_used() -> None:
    text = (
        "id,label,system,pipeline,position,pipeline_len,probability,outcome\n"
        "1,Evaluation,X,p,2,7,10%,open\n"
        "2,Evaluation,X,q,4,7,0.3,\n"
        "3,Zxqv,X,q,7,7,1.0,Won\n"
    )
    assert [row["canonical_stage"] for row in run(text)] == ["qualification", "nurture", "won"]


def test_a_byte_order_mark_and_capitals_in_the_header_do_not_matter() -> None:
    assert run("\ufeffLabel \nKalah\n")[0]["canonical_stage"] == "lost"


def test_columns_of_an_earlier_run_are_replaced() -> None:
    rows = run("label,canonical_stage\nWon,lost\n")
    assert list(rows[0]) == ["label", "canonical_stage", "confidence", "method", "explanation"]
    assert rows[0]["canonical_stage"] == "won"


def test_short_rows_and_empty_labels_are_answered() -> None:
    assert [row["canonical_stage"] for row in run("label,outcome\nWon\n,lost\n")] == ["won", "lost"]


def test_a_mapping_file_applies_here_too() -> None:
    mapping = StageMapping.parse("stages:\n  - {label: R1, canonical_stage: proposal}\n")
    assert run("label\nR1\n", mapping)[0]["method"] == "mapping"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "line 1: there is no column `label`"),
        ("name,stage\nA,B\n", r"no column `label` \(columns found: name, stage\)"),
        ("label,label\nA,B\n", "'label' stands twice"),
        ("label,position\nA,x\n", "line 2: position is 'x'"),
        ("label,probability\nA,0.1\nB,50\n", "line 3: probability is '50'"),
        ("label,outcome\nA,closed\n", "line 2: outcome is 'closed'"),
        ('label\nA\n"Won\n', r"line 3: this is not CSV .* must end with one"),
        ("label;id\nWon;3\n", "Separate columns by commas, not by ';'"),
        ("label\nA,B\n", r"line 2: the row has 1 value\(s\) more than the header"),
    ],
)
def test_a_broken_input_is_refused_with_its_line(text: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        run(text)


def test_quoted_line_breaks_and_an_empty_label_pass_through() -> None:
    rows = run('id,label\r\n1,"Proposal\nsent"\r\n2,  \r\n')
    assert rows[0]["label"] == "Proposal\nsent"
    assert (rows[0]["canonical_stage"], rows[1]["canonical_stage"]) == ("proposal", "unmapped")
    assert rows[1]["explanation"] == "none: the label is empty → unmapped"


def test_bytes_that_are_not_utf_8_are_refused_with_their_place() -> None:
    stream = io.TextIOWrapper(io.BytesIO(b"label\nGanh\xe3o\n"), encoding="utf-8", newline="")
    with pytest.raises(ConfigError, match=r"this is not UTF-8 \(byte 0xe3\)\. Save the file as UTF-8"):
        classify_csv(stream, io.StringIO())

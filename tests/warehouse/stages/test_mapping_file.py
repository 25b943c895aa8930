"""The user's mapping file (B6, B7): what it answers, and what it says when it is broken."""

from __future__ import annotations

from datetime import UTC, date, datetime
from pathlib import Path

import pytest

from connectors.sdk.errors import ConfigError
from warehouse.stages import StageLabel, StageMapping, classify, classify_one, pinned, suggestion_text

FILE = """\
stages:
  - source: salesforce_eu
    pipeline: Enterprise
    stage: "001"
    canonical_stage: proposal
    note: "agreed with sales: 12 May"
  - label: Proposta ENVIADA
    canonical_stage: negotiation
    outcome: open
  - source: sheets
    label: Import
    canonical_stage: unmapped
  - stage: 17
    canonical_stage: discovery
    valid_to: 2025-01-01
  - stage: 17
    canonical_stage: nurture
    valid_from: 2025-01-01
"""


def at(year: int) -> datetime:
    return datetime(year, 6, 1, tzinfo=UTC).replace(tzinfo=None)  # naive UTC, as DuckDB hands it over


def test_a_stage_id_is_answered_within_its_source_and_pipeline_only() -> None:
    mapping = StageMapping.parse(FILE)
    there = StageLabel("Won", source_key="salesforce_eu", pipeline="p1", pipeline_name="Enterprise", stage_id="001")
    elsewhere = StageLabel("Won", source_key="salesforce_us", pipeline="p1", pipeline_name="Enterprise", stage_id="001")
    assert [answer.canonical_stage for answer in classify([there, elsewhere], mapping)] == ["proposal", "won"]


def test_labels_are_compared_without_case_and_accents() -> None:
    answer = classify_one("proposta  enviada", StageMapping.parse(FILE))
    assert (answer.canonical_stage, answer.outcome, answer.confidence, answer.method) == (
        "negotiation",
        "open",
        1.0,
        "mapping",
    )
    assert answer.explanation == "mapping: label 'Proposta ENVIADA' → negotiation"


def test_a_stage_may_be_left_unmapped_on_purpose() -> None:
    answer = classify_one(StageLabel("Import", source_key="sheets"), StageMapping.parse(FILE))
    assert (answer.canonical_stage, answer.method, answer.needs_review) == ("unmapped", "mapping", False)


def test_dated_entries_answer_for_the_versions_in_their_time() -> None:
    mapping = StageMapping.parse(FILE)
    labels = [StageLabel("Zxqv", stage_id="17", valid_from=at(year)) for year in (1970, 2024, 2025)]
    assert [answer.canonical_stage for answer in classify(labels, mapping)] == ["discovery", "discovery", "nurture"]
    assert mapping.boundaries(labels[0]) == (datetime(2025, 1, 1, tzinfo=UTC),)


def test_the_first_version_without_a_date_is_before_all_dates() -> None:
    assert classify_one(StageLabel("Zxqv", stage_id="17"), StageMapping.parse(FILE)).canonical_stage == "discovery"


def test_a_dumped_mapping_reads_back_the_same() -> None:
    odd = 'stages:\n  - label: "no: #1, \\"x\\" - 日本 ÷"\n    canonical_stage: won\n    valid_from: 2025-01-01T10:30:00Z\n'
    for text in (FILE, odd, "stages: []\n", ""):
        mapping = StageMapping.parse(text)
        assert StageMapping.parse(mapping.dump()) == mapping


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "stages:\n  - label: A\n    canonical_stage: wonn\n",
            r"m\.yaml, entry 1 \(line 2\): canonical_stage is 'wonn'",
        ),
        ("stages:\n  - label: A\n    canonical: won\n", r"entry 1 \(line 2\): unknown key 'canonical'"),
        ("stages:\n  - canonical_stage: won\n", r"entry 1 .* either by `stage` .* or by `label`"),
        ("stages:\n  - label: A\n    stage: 1\n    canonical_stage: won\n", r"either by `stage`"),
        ("stages:\n  - label: A\n    canonical_stage: won\n    outcome: closed\n", r"outcome is 'closed'"),
        ("stages:\n  - label: A\n    canonical_stage: won\n    valid_from: soon\n", r"valid_from is 'soon'"),
        (
            "stages:\n  - label: A\n    canonical_stage: won\n    valid_from: 2025-01-02\n    valid_to: 2025-01-02\n",
            r"valid_from must be before valid_to",
        ),
        (
            "stages:\n  - {label: A, canonical_stage: won}\n  - {label: á, canonical_stage: lost}\n",
            r"entries 1 and 2 both",
        ),
        ("stages:\n  - label: A\n    label: B\n    canonical_stage: won\n", r"'label' stands twice"),
        ("stages:\n  - label: [A]\n    canonical_stage: won\n", r"label must be a single value"),
        ("stage:\n  - label: A\n", r"line 1: unknown key 'stage'"),
        ("stages: yes\n", r"`stages` must be a list"),
        ("- a\n", r"expected `key: value` lines"),
        ("stages: [\n", r"m\.yaml, line \d+: this is not YAML"),
    ],
)
def test_a_broken_mapping_file_names_the_entry(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "m.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError, match=said):
        StageMapping.load(path)


def test_an_unreadable_mapping_file_is_a_config_error(tmp_path: Path) -> None:
    (tmp_path / "m.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match="cannot be read"):
        StageMapping.load(tmp_path / "m.yaml")


# --- suggest and pin


def _labels() -> list[StageLabel]:
    names = ["New", "R1", "Proposal/Negotiation", "Won"]
    return [
        StageLabel(name, source_key="crm", pipeline="p", stage_id=str(n), position=n, pipeline_len=4)
        for n, name in enumerate(names, start=1)
    ]


def test_suggestions_list_the_doubtful_stages_and_change_nothing_unedited() -> None:
    labels = _labels()
    text = suggestion_text(zip(labels, classify(labels), strict=True), StageMapping.parse(FILE))
    assert StageMapping.parse(text) == StageMapping.parse(FILE)
    assert "'R1'" in text
    assert "'Proposal/Negotiation'" in text
    assert "'New'" not in text


def test_suggestions_uncommented_are_a_valid_mapping_file() -> None:
    labels = _labels()
    text = suggestion_text(zip(labels, classify(labels), strict=True))
    lines = [line.replace("  #   ", "  ", 1) if line.startswith("  #   ") else line for line in text.splitlines()]
    mapping = StageMapping.parse("\n".join(lines) + "\n")
    assert [(entry.stage, entry.canonical_stage) for entry in mapping.entries] == [
        ("2", "discovery"),
        ("3", "negotiation"),
    ]


def test_a_pin_freezes_todays_answers() -> None:
    labels = _labels()
    answers = classify(labels)
    mapping = pinned(zip(labels, answers, strict=True), None, on=date(2026, 1, 31), dictionary_version="1-abc")
    again = classify(labels, StageMapping.parse(mapping.dump()))
    assert [a.canonical_stage for a in again] == [a.canonical_stage for a in answers]
    assert [a.method for a in again] == ["mapping", "none", "mapping", "mapping"]
    assert mapping.entries[0].note == "pinned 2026-01-31, dictionary 1-abc"
    twice = pinned(zip(labels, again, strict=True), mapping, on=date(2026, 2, 1), dictionary_version="1-abd")
    assert twice == mapping, "what is pinned is not pinned again"


def test_a_pin_keeps_what_a_stage_meant_before_it_was_renamed() -> None:
    """B2: renames never rewrite history."""
    labels = [
        StageLabel("Proposal", stage_id="1", valid_from=at(1970)),
        StageLabel("Negotiation", stage_id="1", valid_from=at(2025)),
    ]
    mapping = pinned(zip(labels, classify(labels), strict=True), None, on=date(2026, 1, 31), dictionary_version="1")
    assert [answer.canonical_stage for answer in classify(labels, mapping)] == ["proposal", "negotiation"]
    assert {answer.method for answer in classify(labels, mapping)} == {"mapping"}

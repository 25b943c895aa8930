"""Mapping rows that join two labels into one stage, as text: read, refused, written again."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest

from connectors.sdk.errors import ConfigError
from warehouse.stages import StageLabel, StageMapping, classify, pinned, suggestion_text

TEXT = """stages:
  - source: tracker
    label: Proposal sent
    renamed_to: Offer out
    note: renamed in March
"""


def test_a_rename_is_read_and_written_as_it_was() -> None:
    mapping = StageMapping.parse(TEXT)
    assert mapping.entries == ()
    assert str(mapping.renames[0]) == "'Proposal sent' renamed_to 'Offer out' in tracker"
    assert mapping.dump() == TEXT


def test_suggestions_and_pins_keep_the_renames_of_the_file() -> None:
    mapping = StageMapping.parse(TEXT)
    label = StageLabel("Negotiation", source_key="tracker", pipeline="default", stage_id="negotiation")
    classified = list(zip([label], classify([label]), strict=True))
    assert StageMapping.parse(suggestion_text(classified, mapping)) == mapping
    frozen = pinned(classified, mapping, on=date(2025, 1, 1), dictionary_version="1-abc")
    assert frozen.renames == mapping.renames
    assert [entry.canonical_stage for entry in frozen.entries] == ["negotiation"]


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        (
            "{label: A, renamed_to: B, canonical_stage: won}",
            r"entry 1 \(line 2\): renamed_to only says .* cannot stand with canonical_stage. What the stage counts as belongs into",
        ),
        ("{label: A, renamed_to: B, valid_from: 2025-01-01}", "cannot stand with valid_from"),
        ("{label: Á, renamed_to: a}", "renamed_to must be another label than 'Á'"),
        ("{renamed_to: B}", "name the stage either by `stage`"),
    ],
)
def test_a_rename_that_says_more_or_nothing_is_refused(entry: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        StageMapping.parse(f"stages:\n  - {entry}\n")


def test_the_example_of_the_docs_is_a_mapping_file() -> None:
    page = (Path(__file__).resolve().parents[3] / "docs" / "stages.md").read_text(encoding="utf-8")
    mapping = StageMapping.parse(page.split("```yaml\n")[1].split("```")[0])
    assert (len(mapping.entries), len(mapping.renames)) == (2, 1)

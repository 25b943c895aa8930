"""Stage names understood: any CRM's label → one of ten canonical stages, with confidence and an explanation."""

from warehouse.stages.answers import CANONICAL_STAGES, THRESHOLD, CanonicalStage, StageAnswer, StageLabel
from warehouse.stages.csv_rows import classify_csv
from warehouse.stages.dictionary import shipped_files as _shipped_files
from warehouse.stages.dictionary import version as _version
from warehouse.stages.mapping_file import MappingEntry, StageMapping
from warehouse.stages.normaliser import classify, classify_one
from warehouse.stages.review import pinned, suggestion_text

DICTIONARY_VERSION: str = _version(_shipped_files())
"""Rules version and content hash of the dictionary's data files. The same version gives the same answers."""

__all__ = [
    "CANONICAL_STAGES",
    "DICTIONARY_VERSION",
    "THRESHOLD",
    "CanonicalStage",
    "MappingEntry",
    "StageAnswer",
    "StageLabel",
    "StageMapping",
    "classify",
    "classify_csv",
    "classify_one",
    "pinned",
    "suggestion_text",
]

"""Stage names understood: any CRM's label → one of ten canonical stages, with confidence and an explanation."""

from warehouse.stages.answers import CANONICAL_STAGES, THRESHOLD, CanonicalStage, StageAnswer, StageLabel
from warehouse.stages.dictionary import dictionary as _dictionary
from warehouse.stages.mapping_file import StageMapping
from warehouse.stages.normaliser import classify, classify_one

DICTIONARY_VERSION: str = _dictionary().version
"""Rules version and content hash of the dictionary's data files. The same version gives the same answers."""

__all__ = [
    "CANONICAL_STAGES",
    "DICTIONARY_VERSION",
    "THRESHOLD",
    "CanonicalStage",
    "StageAnswer",
    "StageLabel",
    "StageMapping",
    "classify",
    "classify_one",
]

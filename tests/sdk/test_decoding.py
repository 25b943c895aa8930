from __future__ import annotations

import json

import msgspec
import pytest

from connectors.sdk import sound_json
from connectors.sdk.verdict import Answer


@pytest.mark.parametrize(
    ("text", "read"),
    [
        (rb'"cut \ud83d"', "cut \ufffd"),
        (rb'"\uDE80 tail"', "\ufffd tail"),
        (rb'"\ud83d\ud83d\ude80"', "\ufffd\U0001f680"),
        (rb'"\ude80\ud83d"', "\ufffd\ufffd"),
        (rb'"\ud83d\\ud83d"', "\ufffd\\ud83d"),
        (rb'"a\\\ud83d"', "a\\\ufffd"),
        (rb'"\uD83D\uDE80 and \u00e9"', "\U0001f680 and \u00e9"),
        (rb'"\\ud83d is text"', "\\ud83d is text"),
        ('"\U0001f680"'.encode(), "\U0001f680"),
    ],
)
def test_half_a_character_costs_only_itself(text, read):
    assert msgspec.json.decode(sound_json(text)) == read


def test_what_is_sound_stays_as_it_came():
    for text in ("plain", "\U0001f680 \U0001f468\u200d\U0001f469", "back\\slash \\ud83d", 'quote" \n'):
        body = json.dumps({"name": text}).encode()
        assert sound_json(body) == body


def test_an_answer_with_half_a_character_is_json():
    assert Answer(200, {}, rb'{"error": "\ud83d"}').json() == {"error": "\ufffd"}

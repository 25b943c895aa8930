"""C8: recorded answers are scrubbed when they are written, and what is not is refused."""

import pytest

from connectors.testing import save_fixture
from connectors.testing.fixtures import problems, scrubbed

TOKENS = [
    '{"access_token": "f3a9c2d41b7e48aa"}',
    "access_token=f3a9c2d41b7e48aa&expires_in=3600",
    "Authorization: Bearer f3a9c2d41b7e48aa",
    '{"Authorization": "Basic YWNtZTpzZWNyZXQtNDcxMQ=="}',
    '{"jwt": "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiIxMjM0NSJ9.c2lnbmF0dXJlMTIz"}',
    '{"id": "00D5g000004ZzzzEAC!AQEAQPZk3xh7.dRkPq2mUvWxYz0123456789"}',
    "GET /v1/deals?api_token=7e4f1c22d90b4b6f8aa1",
    "<sessionId>00D5g000004Zzzz!AQEAQPZk3xh7dRkPq2mUvWxYz0123456789</sessionId>",
]
PLAIN = [
    '{"id": 4711, "name": "Session 12 of the tokenizer", "email": "ann@example.com", "www": "someone@shop.test"}',
    '{"access_token": "scrubbed", "token_type": "Bearer"}',
    "Authorization: Bearer scrubbed",
    '{"next": {"after": "NTI1Cg%3D%3D"}, "api_id": "com.vendor.api.v3.deals"}',
]


@pytest.mark.parametrize("text", TOKENS)
def test_a_token_is_found_and_scrubbed(text):
    assert list(problems(text))
    assert not list(problems(scrubbed(text)))
    assert "scrubbed" in scrubbed(text)


@pytest.mark.parametrize("text", PLAIN)
def test_what_is_no_secret_stays_as_it_is(text):
    assert not list(problems(text))
    assert scrubbed(text) == text


def test_people_get_other_addresses_and_the_same_person_the_same():
    text = '["Ann@firm.de", "bob@firm.de", "ann@firm.de", "x%40firm.de"]'
    assert scrubbed(text) == '["user1@example.com", "user2@example.com", "user1@example.com", "user3@example.com"]'


def test_a_secret_of_the_settings_is_found_by_its_value(tmp_path):
    path = tmp_path / "recorded" / "a.json"
    save_fixture(path, '{"note": "my-odd-secret"}', secrets=["my-odd-secret"])
    assert path.read_text() == '{"note": "scrubbed"}'
    assert list(problems('{"note": "my-odd-secret"}', ["my-odd-secret"])) == ["a secret of the settings"]

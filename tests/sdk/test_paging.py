from __future__ import annotations

import pytest

from connectors.sdk.errors import VendorError
from connectors.sdk.paging import KeysetPages, LinkPages, OffsetPages, PageRequest, TokenPages, dig, walk

AFTER = ("paging", "next", "after")


def ask_from(answers):
    """An `ask` that gives the answers in turn and notes what was asked."""
    left = list(answers)

    def ask(request):
        ask.asked.append(request.url or dict(request.params))
        return left.pop(0)

    ask.asked = []
    return ask


def after(token, rows=1):
    return {"results": [0] * rows, "paging": {"next": {"after": token}}}


@pytest.mark.parametrize("last", [{}, {"paging": None}, {"paging": {"next": None}}, after(None), after("")])
def test_tokens_are_followed_until_there_is_none(last):
    ask = ask_from([after("a"), after("b"), last])
    assert len(list(walk(TokenPages("after", at=AFTER), ask))) == 3
    assert ask.asked == [{}, {"after": "a"}, {"after": "b"}]


def test_an_empty_page_with_a_token_is_not_the_end():
    ask = ask_from([after("a"), after("b", rows=0), after("c", rows=0), after(None)])
    assert len(list(walk(TokenPages("after", at=AFTER), ask))) == 4


@pytest.mark.parametrize("tokens", [["a", "a"], ["a", "b", "a"]])
def test_a_token_that_comes_again_is_a_loop(tokens):
    with pytest.raises(VendorError, match="same page token again"):
        list(walk(TokenPages("after", at=AFTER), ask_from(map(after, tokens))))


def test_the_token_to_resume_from_counts_as_asked():
    with pytest.raises(VendorError):
        list(walk(TokenPages("after", at=AFTER, start="a"), ask_from([after("a")])))


def test_a_flag_may_say_the_end_whatever_the_token_says():
    """Pipedrive v1: a trailing cursor comes with more_items_in_collection false."""
    pages = TokenPages("cursor", at=("next",), more=("more",))
    ask = ask_from([{"next": "a", "more": True}, {"next": "b", "more": False}])
    assert len(list(walk(pages, ask))) == 2


def test_offsets_follow_the_flag_not_the_size_of_the_page():
    pages = OffsetPages(limit=100, offset_param="start", more=("more",))
    ask = ask_from([{"more": True, "rows": [1] * 100}, {"more": True, "rows": [1] * 3}, {"more": False, "rows": []}])
    list(walk(pages, ask, lambda answer: answer["rows"]))
    assert ask.asked == [{"start": 0, "limit": 100}, {"start": 100, "limit": 100}, {"start": 103, "limit": 100}]


def test_offsets_may_be_told_by_the_answer():
    pages = OffsetPages(limit=2, more=("more",), next_at=("next_start",), limit_param=None)
    ask = ask_from([{"more": True, "next_start": 500}, {"more": False}])
    list(walk(pages, ask))
    assert ask.asked == [{"offset": 0}, {"offset": 500}]


@pytest.mark.parametrize(
    ("ends", "sizes", "pages_read"), [("empty", [2, 1, 2, 0], 4), ("short", [2, 2, 1], 3), ("short", [2, 0], 2)]
)
def test_only_the_declared_rule_ends_offsets(ends, sizes, pages_read):
    ask = ask_from([[0] * size for size in sizes])
    assert len(list(walk(OffsetPages(limit=2, ends=ends), ask, lambda answer: answer))) == pages_read


def test_offsets_end_at_the_total():
    ask = ask_from([{"total": 5, "rows": [0] * 2}, {"total": 5, "rows": [0] * 2}, {"total": 5, "rows": [0]}])
    assert len(list(walk(OffsetPages(limit=2, total=("total",)), ask, lambda answer: answer["rows"]))) == 3


def test_a_total_that_is_missing_or_never_reached_is_refused():
    with pytest.raises(VendorError, match="how many rows"):
        list(walk(OffsetPages(limit=2, total=("total",)), ask_from([{}]), lambda _: [1]))
    with pytest.raises(VendorError, match="same offset again"):
        list(walk(OffsetPages(limit=2, total=("total",)), ask_from([{"total": 5}] * 2), lambda _: []))


@pytest.mark.parametrize("rules", [{}, {"ends": "empty", "more": ("more",)}])
def test_how_offsets_end_must_be_said_in_one_way(rules):
    with pytest.raises(ValueError, match="exactly one way"):
        OffsetPages(limit=2, **rules)


def test_links_are_followed_relative_or_whole():
    """Salesforce's nextRecordsUrl is a path."""
    pages = LinkPages("https://crm.example/services/query?q=1", at=("next",), start="/services/query?q=1")
    ask = ask_from([{"next": "/services/query/01-2000"}, {"next": "https://crm.example/services/query/01-4000"}, {}])
    list(walk(pages, ask))
    assert ask.asked == [
        "https://crm.example/services/query?q=1",
        "https://crm.example/services/query/01-2000",
        "https://crm.example/services/query/01-4000",
    ]


@pytest.mark.parametrize(
    "link", ["https://evil.example/x", "http://crm.example/x", "//evil.example/x", "https://crm.example:444/x"]
)
def test_a_link_to_another_host_is_refused(link):
    with pytest.raises(VendorError, match="another host"):
        list(walk(LinkPages("https://crm.example/", at=("next",)), ask_from([{"next": link}])))


def test_a_link_that_comes_again_is_a_loop():
    with pytest.raises(VendorError, match="same next link again"):
        list(walk(LinkPages("https://crm.example/", at=("next",)), ask_from([{"next": "/a"}, {"next": "/a"}])))


def keyset(**rest):
    return KeysetPages(lambda key: {} if key is None else {"id_gt": key}, key=lambda row: row["id"], **rest)


def test_keysets_end_with_the_first_empty_page_not_with_a_short_one():
    ask = ask_from([[{"id": 1}, {"id": 2}], [{"id": 3}], []])
    assert len(list(walk(keyset(), ask, lambda answer: answer))) == 3
    assert ask.asked == [{}, {"id_gt": 2}, {"id_gt": 3}]


def test_keysets_may_end_by_a_flag():
    ask = ask_from([{"more": True, "rows": [{"id": 1}]}, {"more": False, "rows": [{"id": 2}]}])
    assert len(list(walk(keyset(more=("more",)), ask, lambda answer: answer["rows"]))) == 2


def test_a_key_that_does_not_move_is_a_loop():
    with pytest.raises(VendorError, match="same last key again"):
        list(walk(keyset(), ask_from([[{"id": 5}]] * 2), lambda answer: answer))
    with pytest.raises(VendorError, match="same last key again"):
        list(walk(keyset(start=5), ask_from([[{"id": 5}]]), lambda answer: answer))


def test_an_empty_page_that_promises_more_leads_nowhere():
    with pytest.raises(VendorError, match="promises more"):
        list(walk(keyset(more=("more",)), ask_from([{"more": True}]), lambda _: []))


def test_dig_never_fails():
    assert dig({"a": [{"b": 1}]}, ("a", 0, "b")) == 1
    for path in (("x",), ("a", 5), ("a", "b"), ("a", 0, "b", "c")):
        assert dig({"a": [{"b": 1}]}, path) is None


def test_a_fresh_paginator_asks_for_the_first_page():
    assert TokenPages("after", at=AFTER).request == PageRequest({})

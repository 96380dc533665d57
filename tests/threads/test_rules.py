"""Windows of tokens: the newest messages, as many as fit, none out of the middle."""

import pytest
from hypothesis import given, strategies as st

from undercroft import errors
from undercroft.threads.records import NewMessage
from undercroft.threads.rules import beginning, check_key, estimate_tokens, fitting

MESSAGES = st.lists(st.builds(NewMessage, st.sampled_from(["user", "assistant", "tool"]), st.text(max_size=40)))


@given(MESSAGES, st.integers(1, 200))
def test_a_window_is_the_longest_end_that_fits(messages, budget):
    chosen, used, is_full = fitting(reversed(messages), budget, estimate_tokens)
    assert chosen == messages[::-1][: len(chosen)]
    assert used == sum(map(estimate_tokens, chosen)) <= budget
    assert is_full == (len(chosen) < len(messages))
    if is_full:
        assert used + estimate_tokens(messages[-len(chosen) - 1]) > budget


@given(MESSAGES, st.integers(1, 200), st.integers(0, 50))
def test_pages_add_up_to_the_same_window(messages, budget, cut):
    newest = messages[::-1]
    whole, used, _ = fitting(newest, budget, estimate_tokens)
    first, spent, is_full = fitting(newest[:cut], budget, estimate_tokens)
    rest, more, _ = ([], 0, True) if is_full else fitting(newest[cut:], budget - spent, estimate_tokens)
    assert (first + rest, spent + more) == (whole, used)


@given(MESSAGES)
def test_a_window_does_not_begin_with_an_answer_to_a_call_outside(messages):
    window = beginning(messages[::-1])
    assert window == messages[len(messages) - len(window) :]
    assert not window or window[0].role != "tool"
    assert all(message.role == "tool" for message in messages[: len(messages) - len(window)])


@given(st.text(min_size=1))
def test_an_estimate_grows_with_the_text(text):
    assert estimate_tokens(NewMessage("user", text)) > estimate_tokens(NewMessage("user", ""))


@pytest.mark.parametrize(
    ("message", "tokens"),
    [
        (NewMessage("user", ""), 4),
        (NewMessage("user", "abc"), 5),
        (NewMessage("user", "abcd"), 6),
        (NewMessage("user", "日本"), 6),
        (NewMessage("user", [{"a": 1}]), 4 + 3),
        (NewMessage("assistant", None, tool_calls=[{"a": 1}]), 4 + 3),
    ],
    ids=["empty", "one", "two", "japanese", "parts", "calls"],
)
def test_the_estimate_is_as_it_is_documented(message, tokens):
    assert estimate_tokens(message) == tokens


@pytest.mark.parametrize("key", ["", "x" * 513, 7], ids=["empty", "long", "no text"])
def test_a_key_is_refused(key):
    with pytest.raises(errors.InvalidInput):
        check_key(key)

import json
import struct
from math import inf, nan
from pathlib import Path

import pytest
import rfc8785
from hypothesis import given, strategies as st

from undercroft.core.canonical import canonical, check_text, clean_text
from undercroft.errors import InvalidInput

VECTORS = json.loads(Path(__file__).with_name("vectors").joinpath("canonical.json").read_text("utf-8"))
SAFE = 2**53 - 1

texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=8)
values = st.recursive(
    st.none() | st.booleans() | st.integers(-SAFE, SAFE) | st.floats(-1e15, 1e15, allow_nan=False) | texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=15,
)


@pytest.mark.parametrize("vector", VECTORS["documents"], ids=lambda vector: vector["name"])
def test_documents_of_the_reference_implementation(vector):
    assert canonical(json.loads(vector["input"])) == vector["output"].encode()


@pytest.mark.parametrize("vector", VECTORS["numbers"], ids=lambda vector: vector["double"])
def test_numbers_of_the_standard(vector):
    assert canonical(struct.unpack(">d", bytes.fromhex(vector["double"]))[0]) == vector["json"].encode()


@given(values)
def test_canonical_json_reads_back_as_the_value_and_is_a_fixed_point(value):
    encoded = canonical(value)
    assert json.loads(encoded) == value
    assert canonical(json.loads(encoded)) == encoded


@given(values)
def test_the_bytes_are_those_of_the_reference_implementation_whoever_writes_them(value):
    assert canonical(value) == rfc8785.dumps(value)


def test_every_character_is_written_as_the_reference_implementation_writes_it():
    every = [chr(code) for code in (*range(1, 0xD800), *range(0xE000, 0x110000))]
    for start in range(0, len(every), 4096):
        text = "".join(every[start : start + 4096])
        assert canonical(text) == rfc8785.dumps(text)


@given(st.dictionaries(texts, st.integers(0, 9)))
def test_the_order_of_keys_is_that_of_utf_16(value):
    written = [key for key, _ in json.loads(canonical(value), object_pairs_hook=list)]
    assert written == sorted(value, key=lambda key: key.encode("utf-16-be"))
    assert canonical(dict(reversed(value.items()))) == canonical(value)


def test_integers_up_to_the_safe_ones_and_tuples_are_json():
    assert canonical((SAFE, -SAFE, 0, -0.0, True)) == b"[9007199254740991,-9007199254740991,0,0,true]"


@pytest.mark.parametrize(
    ("value", "path"),
    [
        (nan, "$"),
        ([0, inf], "$[1]"),
        ({"a": {"b": [1, {"c": -inf}]}}, "$.a.b[1].c"),
        ({"rows": SAFE + 1}, "$.rows"),
        ([-SAFE - 1], "$[0]"),
        ({"two words": 10**400}, "$['two words']"),
        ({"text": "a\0b"}, "$.text"),
        ({"text": ["ok", "\ud83d"]}, "$.text[1]"),
        ({"k\0": 1}, "$['k\\x00']"),
        ({"k\udc00": 1}, "$['k\\udc00']"),
        ({"ok": 1, 7: 1}, "$[7]"),
        ({None: 1}, "$[None]"),
        ({b"k": 1}, "$[b'k']"),
        ({"when": Ellipsis}, "$.when"),
        ([b"bytes"], "$[0]"),
        ({"set": {1}}, "$.set"),
    ],
    ids=ascii,
)
def test_what_is_no_json_is_refused_by_its_path(value, path):
    with pytest.raises(InvalidInput) as refused:
        canonical(value)
    assert refused.value.field == path
    with pytest.raises(InvalidInput) as refused:
        canonical(value, "details")
    assert refused.value.field == "details" + path[1:]


@given(
    st.recursive(
        st.sampled_from([1, "a", "\0", r"\u0000", "\ud800", nan, SAFE + 1]),
        lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from(["k", "\0", "\udfff"]), inner),
        max_leaves=5,
    )
)
def test_nothing_that_cannot_be_stored_comes_through(value):
    def storable(part):
        if isinstance(part, list):
            return all(map(storable, part))
        if isinstance(part, dict):
            return all(map(storable, part.values())) and set(part) <= {"k"}
        return part in (1, "a", r"\u0000")

    try:
        canonical(value)
    except InvalidInput:
        assert not storable(value)
    else:
        assert storable(value)


def test_the_text_of_an_escape_is_no_nul():
    assert canonical({r"\u0000": r"\u0000"}) == rb'{"\\u0000":"\\u0000"}'


def test_nesting_without_end_is_refused():
    loop = []
    loop.append(loop)
    deep = nan
    for _ in range(100_000):
        deep = [deep]
    for value in (loop, deep, {"a": loop}):
        with pytest.raises(InvalidInput) as refused:
            canonical(value, "details")
        assert refused.value.field == "details"


@pytest.mark.parametrize("text", ["", "plain", "naïve 日本 😀 \x01\x7f\ufffd\u200b", "\r\n\t"])
def test_text_is_kept_verbatim(text):
    assert check_text(text, "body") is text
    assert clean_text(text) == (text, 0)


@pytest.mark.parametrize(("text", "cleaned", "replaced"), [("a\0b", "a�b", 1), ("\0\ud83dé\udc00", "��é�", 3)])
def test_what_no_database_stores_is_refused_or_replaced(text, cleaned, replaced):
    with pytest.raises(InvalidInput) as refused:
        check_text(text, "body")
    assert refused.value.field == "body"
    assert clean_text(text) == (cleaned, replaced)
    assert check_text(cleaned, "body") == cleaned


@pytest.mark.parametrize("value", [None, 7, b"text"])
def test_text_is_text(value):
    with pytest.raises(InvalidInput):
        check_text(value, "body")

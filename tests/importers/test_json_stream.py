"""The reader of JSON of any size: what it takes apart is what `json` would have read, however the bytes arrive."""

import io
import json
import tracemalloc

import pytest
from hypothesis import example, given, strategies as st

from undercroft.errors import SourceRefused
from undercroft.importers.json_stream import JsonStream, Malformed
from undercroft.importers.source import Limits, Reader

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=20,
)
SPACE = st.text(" \t\r\n", max_size=3)


class Pieces(io.RawIOBase):
    """Bytes that arrive as a network or an inflater gives them: some now, some later."""

    def __init__(self, data: bytes, sizes: list[int]) -> None:
        self._stream = io.BytesIO(data)
        self._sizes = sizes or [len(data) + 1]
        self._turn = 0

    def read(self, size: int = -1) -> bytes:
        self._turn += 1
        return self._stream.read(min(size, self._sizes[self._turn % len(self._sizes)]))


def stream(data: str | bytes, sizes: list[int] | None = None, **limits: int) -> JsonStream:
    data = data.encode() if isinstance(data, str) else data
    return JsonStream(Reader(Pieces(data, sizes or []), "x.json"), Limits(**limits))


def elements(data, sizes=None, **limits):
    cursor = stream(data, sizes, **limits)
    return [cursor.value().decode() for _ in cursor.array()]


@given(st.lists(VALUES, max_size=6), st.lists(st.integers(1, 40), max_size=5), SPACE, st.booleans())
@example(["\\", '"', '\\"', "[{", "}]"], [1], "", True)
def test_the_elements_of_a_list_are_what_json_reads(values, sizes, space, ascii_only):
    text = f"{space}[{f'{space},{space}'.join(json.dumps(v, ensure_ascii=ascii_only) for v in values)}{space}]"
    assert elements(text.encode(), sizes) == values


@given(st.dictionaries(st.text(max_size=8), VALUES, max_size=6), st.lists(st.integers(1, 40), max_size=5))
def test_the_members_of_an_object_are_what_json_reads(members, sizes):
    cursor = stream(json.dumps(members, indent=1), sizes)
    assert {key: cursor.value().decode() for key in cursor.object()} == members
    assert cursor.next_byte() is None


@given(st.lists(st.dictionaries(st.text(max_size=3), VALUES, max_size=3), max_size=5))
def test_values_that_follow_each_other_are_all_read(values):
    cursor = stream("\n".join(map(json.dumps, values)))
    found = []
    while cursor.next_byte() is not None:
        found.append(cursor.value().decode())
    assert found == values


@given(st.lists(VALUES, min_size=1, max_size=5), st.lists(st.integers(1, 9), max_size=3))
def test_a_position_points_at_the_value(values, sizes):
    data = ("\ufeff[ " + " , ".join(map(json.dumps, values)) + "]").encode()
    cursor = stream(data, sizes)
    for _ in cursor.array():
        value = cursor.value()
        assert data[value.position : value.position + len(value.text)] == value.text


def test_levels_can_be_walked_into_and_left_half_way():
    cursor = stream('{"a": [1, {"b": [2, 3]}], "c": 4} 5', [3])
    for _ in cursor.object():
        for _ in cursor.array():
            assert cursor.value().decode() == 1
            break
        break
    assert cursor.level == 2
    assert cursor.leave(0)
    assert cursor.value().decode() == 5
    assert not stream("[1, 2", [2]).leave(-1)


def test_a_malformed_value_costs_nothing_but_itself():
    cursor = stream('[{"a": tru}, {"b" 1}, {"c": NaN}, {"d": 1e}, "\x01", {"e": 1}]')
    found = []
    for _ in cursor.array():
        value = cursor.value()
        try:
            found.append(value.decode())
        except ValueError as error:
            found.append(type(error).__name__)
    assert found == ["JSONDecodeError", "JSONDecodeError", "ValueError", "JSONDecodeError", "JSONDecodeError", {"e": 1}]


@pytest.mark.parametrize(
    ("text", "position"),
    [("", 0), ("{}", 0), ("null", 0), ("[1, 2", 5), ('[1, {"a": ', 4), ('["abc', 1), ("[1, }]", 4), ("[1 : 2]", 3)],
)
def test_a_broken_list_tells_where(text, position):
    with pytest.raises(Malformed) as broken:
        elements(text, [2])
    assert broken.value.position == position


def test_what_stands_before_the_break_is_read():
    cursor = stream('[1, {"a": 2}, {"b": "cut of')
    found = []
    with pytest.raises(Malformed, match="in the middle of a record") as broken:
        for _ in cursor.array():
            found.append(cursor.value().decode())  # noqa: PERF401 - the exception comes from inside
    assert found == [1, {"a": 2}]
    assert broken.value.text == b'{"b": "cut of'


def test_a_long_record_is_stepped_over_and_known_by_its_beginning():
    cursor = stream(json.dumps(["a", {"text": "x" * 300_000}, "z"]), record=1000)
    values = [cursor.value() for _ in cursor.array()]
    assert [value.is_whole for value in values] == [True, False, True]
    assert len(values[1].text) == 1000
    with pytest.raises(ValueError, match="longer than a record"):
        values[1].decode()


def test_a_list_is_read_in_memory_that_does_not_grow_with_it():
    class Endless(io.RawIOBase):
        sent = 0

        def read(self, size=-1):
            self.sent += 1
            return b"[" + b" " * 65_535 if self.sent == 1 else b'{"text": "' + b"x" * 60_000 + b'"},'

    tracemalloc.start()
    cursor = JsonStream(Reader(Endless(), "x.json"), Limits())
    for number, _ in enumerate(cursor.array()):
        assert cursor.value().is_whole
        if number == 2_000:  # 120 MB
            break
    assert tracemalloc.get_traced_memory()[1] < 2_000_000
    tracemalloc.stop()


def test_nesting_is_refused_beyond_its_limit_and_not_before():
    assert elements("[" * 100 + "]" * 100)
    for opening in ("[", '{"a":'):
        with pytest.raises(SourceRefused, match=r"x\.json nests more than 100 brackets"):
            elements("[" + opening * 100 + "1")


def test_a_million_brackets_are_refused_at_the_first_hundred():
    reader = Reader(io.BytesIO(b"[" * 1_000_000), "x.json")
    cursor = JsonStream(reader, Limits())
    with pytest.raises(SourceRefused, match=r"nests more than 100 brackets \(near byte"):
        cursor.value()
    assert reader.count < 100_000


def test_brackets_inside_texts_do_not_nest():
    assert elements(json.dumps(["[" * 1000 + '\\"', "{" * 1000])) == ["[" * 1000 + '\\"', "{" * 1000]


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        ('[{"a": "ü"}]'.encode("utf-16"), "UTF-16"),
        ('[{"a": "ü"}]'.encode("utf-16-le"), "UTF-16"),
        ('[{"a": "ü"}]'.encode("utf-16-be"), "UTF-16"),
        ('[{"a": "ü"}]'.encode("utf-32"), "UTF-16 or UTF-32"),
        ('[{"a": "ü"}]'.encode("latin-1"), r"not UTF-8 \(near byte 8\)"),
        ('[{"a": "東京"}]'.encode("shift_jis"), "not UTF-8"),
        (b'[{"a": "\xed\xa0\x80"}]', "not UTF-8"),
        ('[{"a": "ü"'.encode()[:-2], "not UTF-8"),
    ],
)
@pytest.mark.parametrize("sizes", [[1], [3, 5], []])
def test_text_that_is_not_utf8_is_refused(data, reason, sizes):
    with pytest.raises(SourceRefused, match=r"x\.json is " + reason):
        elements(data, sizes)


@pytest.mark.parametrize("sizes", [[1], [2], [4], []])
def test_a_byte_order_mark_is_accepted(sizes):
    assert elements("\ufeff[1, 2]", sizes) == [1, 2]

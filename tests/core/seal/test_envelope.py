"""The format of a sealed value: frozen, readable by another program, refused wherever a bit of it is not as sealed."""

import hmac
import json
import os
import pickle
import traceback
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from random import Random
from typing import Any
from uuid import UUID

import pytest
from cryptography.hazmat.primitives.ciphers import aead
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from pydantic import SecretBytes, SecretStr

from undercroft.core.seal import columns, envelope
from undercroft.core.seal.columns import place
from undercroft.core.seal.envelope import Key, hidden, key_id, open_, seal
from undercroft.errors import InvalidInput, SealBroken

VECTORS = json.loads((Path(__file__).parent.parent / "vectors" / "seal.json").read_text())
KEYS = [Key.of(SecretBytes(bytes([number]) * 32)) for number in (1, 2)]
SEED = 20261124


Coordinates = tuple[UUID, str, tuple[Any, ...], str, int]


def coordinates(random: Random) -> list[Coordinates]:
    """Places that differ in one thing each: tenant, table, row, field, version; and in where one ends."""
    tenants = [UUID(int=random.getrandbits(128)) for _ in range(2)]
    rows: list[tuple[Any, ...]] = [("ab", "c"), ("a", "bc"), ("abc",), ("abc", ""), (7,), (tenants[1],)]
    return [
        (tenant, table, row, field, version)
        for tenant in tenants
        for table, field in (("secrets", "value"), ("secretsv", "alue"), ("tokens", "value"), ("secrets", "other"))
        for row in rows
        for version in (1, 2, 256)
    ]


def swaps(number: int) -> list[str]:
    """Move sealed values to other places that often; what opened there."""
    random = Random(SEED)
    known, taken = coordinates(random), []
    for one in range(number):
        here, there = (columns.place(*at) for at in random.sample(known, 2))
        sealed = seal(KEYS[0], here, SecretStr(f"secret {one}"))
        try:
            taken.append(open_(KEYS[0], there, sealed).get_secret_value())
        except SealBroken:
            assert open_(KEYS[0], here, sealed) == SecretStr(f"secret {one}")
    return taken


def test_the_vectors():
    for vector in VECTORS:
        key = Key.of(SecretBytes(bytes.fromhex(vector["key"])))
        context = place(UUID(vector["tenant"]), vector["table"], vector["row"], vector["field"], vector["version"])
        plain = vector["text"] if "text" in vector else bytes.fromhex(vector["bytes"])
        sealed = envelope.seal_with(key, context, hidden(plain), bytes.fromhex(vector["salt"]))
        assert key.id.hex() == vector["key_id"]
        assert context.hex() == vector["place"]
        assert sealed.hex() == vector["sealed"]
        assert open_(key, context, sealed).get_secret_value() == plain


def test_another_program_reads_it_after_the_documentation():
    """Written from docs/sealing.md with an HKDF of its own."""
    for vector in VECTORS:
        key, sealed, where = (bytes.fromhex(vector[name]) for name in ("key", "sealed", "place"))
        header, body, salt, commitment = sealed[:68], sealed[68:], sealed[12:36], sealed[36:68]
        assert sealed[:3] == b"UC\x01"
        assert sealed[3:11] == hmac.digest(key, b"undercroft/key-id/1", "sha256")[:8]
        prk = hmac.digest(salt, key, "sha256")
        info = b"\0\0\0\x11undercroft/seal/1" + len(where).to_bytes(4) + where
        first = hmac.digest(prk, info + b"\x01", "sha256")
        assert hmac.digest(prk, first + info + b"\x02", "sha256") == commitment
        plain = AESGCM(first).decrypt(bytes(12), body, b"\0\0\0\x44" + header + len(where).to_bytes(4) + where)
        assert plain == (vector["text"].encode() if sealed[11] else bytes.fromhex(vector["bytes"]))


@pytest.mark.parametrize(
    "value",
    ["", "xoxb-12-ü-🗝", "0\0", b"", b"\xff\0", "a" * 100_000],
    ids=["no text", "text", "NUL", "no bytes", "bytes", "long"],
)
def test_what_goes_in_comes_out(value: str | bytes):
    sealed = seal(KEYS[0], b"here", hidden(value))
    opened = open_(KEYS[0], b"here", sealed)
    assert opened.get_secret_value() == value
    assert len(sealed) == 84 + len(value.encode() if isinstance(value, str) else value)
    assert key_id(sealed) == KEYS[0].id


@pytest.mark.parametrize("value", ["\ud800", 7, None, ["a"]], ids=["surrogate", "number", "nothing", "list"])
def test_what_cannot_be_sealed_is_refused_without_showing_it(value: Any):
    with pytest.raises(InvalidInput) as refused:
        seal(KEYS[0], b"here", hidden(value))
    assert refused.value.__context__ is None


def test_no_two_places_have_the_same_bytes():
    known = coordinates(Random(SEED))
    assert len({columns.place(*at) for at in known}) == len(known)


def test_a_value_that_was_moved_does_not_open():
    assert swaps(10_000) == []


@pytest.mark.parametrize("part", ["everything", "tenant", "table", "row", "field", "version"])
def test_control_where_a_part_of_the_place_is_left_out_a_moved_value_opens(monkeypatch: pytest.MonkeyPatch, part: str):
    whole, none = columns.place, (UUID(int=0), "", (), "", 0)

    def careless(*at: Any) -> bytes:
        left_out = range(5) if part == "everything" else [["tenant", "table", "row", "field", "version"].index(part)]
        return whole(*(none[n] if n in left_out else value for n, value in enumerate(at)))

    monkeypatch.setattr(columns, "place", careless)
    assert swaps(2_000) != []


def test_control_where_lengths_are_left_out_places_meet(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(columns, "packed", lambda *elements: b"".join(elements))
    assert swaps(2_000) != []


def damaged(number: int) -> Iterator[bytes]:
    """Values with bits flipped, cut, prolonged and put together from two of them."""
    random = Random(SEED)
    sealed = [seal(KEYS[0], b"here", SecretStr("secret" * 3)) for _ in range(50)]
    while number:
        one, other = random.sample(sealed, 2)
        cut = random.randrange(len(one))
        flipped = bytearray(one)
        flipped[cut] ^= 1 << random.randrange(8)
        mixed = (one[:cut] + other[cut:], other[:68] + one[68:], one[:cut], one + random.randbytes(1))
        changed = random.choice([bytes(flipped), *mixed, random.randbytes(len(one))])
        if changed not in (one, other):
            number -= 1
            yield changed


def test_changed_bytes_are_refused():
    for changed in damaged(10_000):
        with pytest.raises(SealBroken):
            open_(KEYS[0], b"here", changed)


def test_control_without_commitment_and_tag_changed_bytes_pass(monkeypatch: pytest.MonkeyPatch):
    class Unchecked:
        def __init__(self, key: bytes) -> None:
            pass

        def decrypt(self, *_: Any) -> bytes:
            return b"anything"

    made = list(damaged(300))
    monkeypatch.setattr(envelope.hmac, "compare_digest", lambda *_: True)
    monkeypatch.setattr(aead, "AESGCM", Unchecked)
    passed = 0
    for changed in made:
        with suppress(SealBroken):
            passed += open_(KEYS[0], b"here", changed) == SecretStr("anything")
    assert passed > 50


def test_another_key_of_the_same_id_is_refused():
    sealed = seal(KEYS[0], b"here", SecretStr("secret"))
    with pytest.raises(SealBroken):
        open_(Key(KEYS[0].id, KEYS[1].material), b"here", sealed)


def test_two_keys_cannot_open_one_value(monkeypatch: pytest.MonkeyPatch):
    """AES-GCM alone lets one ciphertext mean two things under two keys; the commitment is what refuses one of them."""
    sealed = seal(KEYS[0], b"here", SecretStr("secret"))
    derived = envelope._derived
    monkeypatch.setattr(envelope, "_derived", lambda key, *rest: (derived(KEYS[0], *rest)[0], derived(key, *rest)[1]))
    with pytest.raises(SealBroken):  # the cipher would open it, as a made-up ciphertext would under the other key
        open_(Key(KEYS[0].id, KEYS[1].material), b"here", sealed)
    monkeypatch.setattr(envelope.hmac, "compare_digest", lambda *_: True)
    assert open_(Key(KEYS[0].id, KEYS[1].material), b"here", sealed) == SecretStr("secret")  # the control


def drawn(number: int) -> int:
    """Seal that often; how many different salts, and so keys, were drawn."""
    return len({seal(KEYS[0], b"", SecretBytes(b""))[envelope.SALT] for _ in range(number)})


def test_no_salt_is_drawn_twice():
    assert drawn(20_000) == 20_000


@pytest.mark.soak
def test_no_salt_is_drawn_twice_at_length(soak_share: float):
    number = int(1_000_000 * soak_share)
    assert drawn(number) == number


def test_control_a_generator_that_repeats_itself_is_caught(monkeypatch: pytest.MonkeyPatch):
    random = Random(1)
    monkeypatch.setattr(os, "urandom", lambda size: bytes(size - 1) + random.randbytes(1))
    assert drawn(1000) <= 256


def test_nothing_shows_a_key_or_a_value():
    key, value = Key.of(SecretBytes(b"k" * 32)), SecretStr("tell nobody")
    sealed = seal(key, b"here", value)
    with pytest.raises(SealBroken) as refused:
        open_(key, b"there", sealed)
    told = "".join(traceback.TracebackException.from_exception(refused.value, capture_locals=True).format())
    assert "key = Key(" in told  # the control: variables are shown
    for shown in (told, repr(key), repr(open_(key, b"here", sealed)), str(refused.value)):
        assert "tell nobody" not in shown
        assert "kkkk" not in shown
    assert "kkkk" not in repr(pickle.dumps(refused.value))

"""Which addresses belong together, without a database."""

import string

import pytest
from hypothesis import given, strategies as st

from undercroft.crm.rules import PUBLIC_MAIL, candidates, check_reference, mappable, normal_address, normal_domain
from undercroft.errors import InvalidInput

LABELS = st.text(string.ascii_lowercase + string.digits, min_size=1, max_size=10)
DOMAINS = st.lists(LABELS, min_size=2, max_size=5).map(".".join)
WIDE = st.sampled_from(["bücher", "παράδειγμα", "例え", "ñandú", "acme"])
LOCALS = st.text(string.ascii_letters + string.digits + "._-", min_size=1, max_size=12)
NOT_PUBLIC = DOMAINS.filter(lambda domain: len(domain.split(".")[-1]) > 2)


@given(LOCALS, NOT_PUBLIC, st.text(string.ascii_letters, max_size=5), st.data())
def test_case_and_what_follows_a_plus_do_not_matter(local, domain, tag, data):
    written = "".join(data.draw(st.sampled_from([letter.lower(), letter.upper()])) for letter in f"{local}@{domain}")
    assert candidates(written.replace("@", f"+{tag}@")) == candidates(f"{local}@{domain}")


@given(LOCALS, NOT_PUBLIC)
def test_the_closest_comes_first_and_is_the_longest(local, domain):
    found = candidates(f"{local}@{domain}")
    assert found == sorted(found, key=len, reverse=True)
    assert found[:2] == [f"{local.lower()}@{domain}", domain]
    assert all(f".{domain}".endswith(f".{above}") for above in found[1:])
    assert all("." in above for above in found)


@given(NOT_PUBLIC, LABELS)
def test_what_is_mapped_is_found_from_below_and_from_nowhere_beside(domain, label):
    key = mappable(domain, ())
    assert key in candidates(f"ada@{domain}")
    assert key in candidates(f"ada@{label}.{domain}")
    assert key not in candidates(f"ada@{label}{domain}")


@given(WIDE, WIDE)
def test_a_domain_has_one_form_in_every_script(one, other):
    written = f"{one}.{other}.example"
    name = normal_domain(written)
    assert name.isascii()
    assert normal_domain(name) == name == normal_domain(written.upper()) == normal_domain(f" {written}. ")


@given(st.text(max_size=40))
def test_any_text_is_an_address_or_refused(text):
    try:
        found = normal_address(text)
    except InvalidInput:
        return
    assert normal_address(found) == found


@pytest.mark.parametrize("domain", sorted(PUBLIC_MAIL))
def test_public_mail_is_never_mapped_nor_looked_for(domain):
    with pytest.raises(InvalidInput):
        mappable(domain, ())
    assert candidates(f"ada@{domain}") == [f"ada@{domain}"]
    assert mappable(f"Ada@{domain}", ()) == f"ada@{domain}"


def test_two_that_differ_in_the_newer_standard_only_are_two():
    assert normal_domain("faß.example") != normal_domain("fass.example")


@pytest.mark.parametrize(
    "reference",
    ["env:KEY", "file:/run/key", "aws-sm:arn:aws:x", "arn:aws:secretsmanager:eu-1:1:secret:x", "gcp-sm:p/s", "vault:a"],
)
def test_references_are_taken_as_they_are(reference):
    assert check_reference(reference) == reference

"""What has the pattern of something private is found, and what only looks like it is not."""

import pytest
from audit_rows import row

from ftkit import UserError, audit, data
from ftkit.audit import privacy

KEY = "-----BEGIN RSA PRIVATE KEY-----\nabc\n-----END RSA PRIVATE KEY-----"


@pytest.mark.parametrize(
    ("text", "kind", "held"),
    [
        ("Mail ann.b+c@mail.example.co.uk.", "e-mail", "ann.b+c@mail.example.co.uk"),
        ("пишите на иван@почта.рф", "e-mail", "иван@почта.рф"),
        ("call +49 30 901820 now", "phone", "+49 30 901820"),
        ("+1 (415) 555-2671", "phone", "+1 (415) 555-2671"),
        ("(030) 901820", "phone", "(030) 901820"),
        ("tel 0151-23456789", "phone", "0151-23456789"),
        ("555-123-4567", "phone", "555-123-4567"),
        ("DE89 3704 0044 0532 0130 00", "IBAN", "DE89 3704 0044 0532 0130 00"),
        ("GB82WEST12345698765432", "IBAN", "GB82WEST12345698765432"),
        ("card 4111 1111 1111 1111", "card number", "4111 1111 1111 1111"),
        ("378282246310005", "card number", "378282246310005"),
        ("from 10.0.0.12", "IP address", "10.0.0.12"),
        ("2001:db8::1 is up", "IP address", "2001:db8::1"),
        ("sk-abcdefghijklmnopqrstuvwx", "key or token", "sk-abcdefghijklmnopqrstuvwx"),
        ("AKIAIOSFODNN7EXAMPLE", "key or token", "AKIAIOSFODNN7EXAMPLE"),
        ("ghp_" + "a1" * 18, "key or token", "ghp_" + "a1" * 18),
        ("https://me:hunter2@host.com/x", "password in a URL", "hunter2"),
        ("password: hunter22x", "password", "hunter22x"),
        ("api_key = 'A1b2C3d4E5'", "password", "A1b2C3d4E5"),
        (f"see {KEY} there", "private key", KEY),
    ],
)
def test_a_pattern_is_found(text, kind, held):
    found = privacy.find_in(text)
    assert [(each.kind, text[each.start : each.end]) for each in found] == [(kind, held)]


@pytest.mark.parametrize(
    "text",
    [
        *("Order 4261", "order 4111 1111 1111 1112", "1234567890123456", "order 00123456789"),
        *("invoice 2023-00123456", "DE89370400440532013001", "ISBN 978-3-16-148410-0"),
        *("2026-07-31 10:00", "12:30:45", "version 1.2.3.4", "127.0.0.1", "std::vector", "::1"),
        *("999.1.1.1", "1.2.3.4.5", "1,200,000 items", "10 20 30 40 50 60 70", "phone 0301234567"),
        *("@handle a@b", "me@home", "password reset within 24 hours", "password: please"),
        *("the api key is secret", "sk-short", "https://host.com:80/x@y", "AKIA of old"),
    ],
)
def test_a_look_alike_is_none(text):
    assert privacy.find_in(text) == []


def test_no_row_of_the_kit_holds_anything_private():
    for name in ("tickets", "facts", "general", "trays", "shipments", "calls"):
        assert audit.find_private(data.load(name)["train"]).found == []


def test_what_was_found_is_told_and_not_repeated():
    rows = [row("Mail ann@example.com"), row("no"), row("a", "10.0.0.12 and bob@example.org")]
    found = audit.find_private(rows)
    assert found.counts == {"e-mail": 2, "IP address": 1} and found.places == [0, 2]
    assert "ann@example.com" not in str(found) + str(found.json())
    assert "names, addresses" in str(found)
    assert audit.find_private(rows, ["e-mail"]).counts == {"e-mail": 2}
    with pytest.raises(UserError, match="Did you mean 'e-mail'"):
        audit.find_private(rows, ["email"])


def test_redacting_takes_it_out_of_every_text_and_keeps_the_rest():
    calls = [{"type": "function", "function": {"name": "f", "arguments": {"to": "a@example.com"}}}]
    chat = [
        {"role": "system", "content": "Write to a@example.com"},
        {"role": "user", "content": "Order 4261, card 4111 1111 1111 1111, b@example.com."},
        {"role": "assistant", "content": "", "tool_calls": calls},
    ]
    rows = [{"messages": chat, "split": "train"}]
    assert audit.find_private(rows).counts == {"e-mail": 3, "card number": 1}
    clean = audit.redact(rows)
    said = [message["content"] for message in clean[0]["messages"]]
    assert said == ["Write to <EMAIL>", "Order 4261, card <CARD_NUMBER>, <EMAIL>.", ""]
    assert audit.find_private(clean).found == [] and clean[0]["split"] == "train"
    assert chat[0]["content"].endswith("a@example.com")  # the rows themselves stay
    assert (
        audit.redact(data.to_dataset(rows)).to_list()[0]["messages"][0] == clean[0]["messages"][0]
    )
    assert audit.redact(clean) == clean

"""Inputs that parsers once treated wrongly, and the fuzzers' targets without the fuzzer. `make fuzz` finds new ones."""

from __future__ import annotations

import base64
import importlib
import random
from collections.abc import Callable
from typing import cast

import pytest

from fuzz import TARGETS
from fuzz.material import keys

Check = Callable[[bytes], None]
#: Mutated inputs a target: enough to see that it can still be driven.
SOME = 100

# An Ed25519 private key of one byte, for which the cryptographic library has no error of its own.
SHORT_KEY = bytes.fromhex("300f020100300506032b65700403040161")
SHORT_KEY_PEM = b"-----BEGIN PRIVATE KEY-----\n%b-----END PRIVATE KEY-----\n" % base64.encodebytes(SHORT_KEY)


def certificate_of_version_4() -> bytes:
    """An X.509 certificate that says so of itself: there are versions 1 to 3."""
    first, *lines, last = keys()["certificate"].splitlines()
    der = base64.b64decode(b"".join(lines))
    assert der.count(VERSION_3) == 1
    changed = base64.encodebytes(der.replace(VERSION_3, VERSION_3[:-1] + b"\x03"))
    return b"%b\n%b%b\n" % (first, changed, last)


VERSION_3 = bytes.fromhex("a003020102")

FINDS = [
    # The number of digits of an RSA key's exponent was the length of the refusal.
    ("key_numbers", b"\x07\xa1\x94Y\x02\x08\x01\x03\xc6Q\xdd\x01\x02"),
    ("private_key", b"\x00" + SHORT_KEY_PEM),
    ("key_stream", b"\x00" + SHORT_KEY),
    ("public_key", SHORT_KEY),
    # What the refusal of another header says anyway was sent as Sign.
    ("header", b"s application/json"),
    # Space that HTTP does not know stood around the media type.
    ("header", b"c\x0bapplication/json"),
    # HTTP's own does no harm.
    ("header", b"c   \t application/json"),
    # A trusted proxy that is none was repeated at any length.
    ("place", b"?" + bytes(200)),
]


def target(name: str) -> tuple[list[bytes], Check]:
    module = importlib.import_module(f"fuzz.{name}")
    return module.seeds(), cast("Check", module.check)


@pytest.mark.parametrize(("name", "data"), FINDS)
def test_what_was_found_is_mended(name: str, data: bytes) -> None:
    """Each input is treated as it should be."""
    target(name)[1](data)


def test_a_certificate_of_an_unknown_version_cannot_be_read() -> None:
    """There are versions 1 to 3; the library has an error of a family of its own for others."""
    if "certificate" not in keys():
        pytest.skip("OpenSSL's program is not installed")
    target("public_key")[1](certificate_of_version_4())


@pytest.mark.parametrize("name", TARGETS)
def test_every_target_holds_for_its_seeds_and_what_is_near_them(name: str) -> None:
    """What is said of the parser is true of real inputs, and of such with some bytes changed."""
    seeds, check = target(name)
    chance = random.Random(1)  # noqa: S311 - the same inputs each time
    for seed in seeds:
        check(seed)
    for _ in range(SOME):
        data = bytearray(chance.choice(seeds))
        place = chance.randrange(len(data) + 1)
        data[place : place + chance.randint(0, 3)] = chance.randbytes(chance.randint(0, 3))
        check(bytes(data))

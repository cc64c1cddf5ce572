"""Where things are: a database's URL, a key in a token, trusted proxies."""

from __future__ import annotations

from alikassa.errors import ConfigurationError
from alikassa.keys.token_uri import parse_token_uri
from alikassa.ledger.address import Address
from alikassa.server.limits.addresses import parse_networks
from fuzz.oracle import see_refusal


def seeds() -> list[bytes]:
    return [
        *(b"sqlite:///books.db", b"sqlite:////tmp/books.db", b"sqlite://", b"sqlite:///:memory:"),
        *(b"postgresql://user:s3cretS3cretS3cret@host:5432/name?sslmode=verify-full", b"postgres://host/name"),
        *(b"postgresql://u:p@ss@host/name", b"postgresql://host:99999/name", b"postgresql://[::1]:5432/name"),
        *(b"postgresql+asyncpg://host/name", b"mysql://host/name", b"postgresql:///name?host=/run/postgresql"),
        *(b"pkcs11:token=NAME;object=KEY?module-path=/usr/lib/softhsm/libsofthsm2.so", b"pkcs11:id=%01%ff;slot-id=7"),
        *(b"pkcs11:object=a?pin-value=1234", b"pkcs11:object=a?pin-source=file:///run/pin&module-path=/x"),
        *(b"127.0.0.1", b"10.0.0.0/24,::1", b"fe80::1%eth0", b"10.0.0.1/24", b"::ffff:1.2.3.4", b"1.2.3.4:80"),
    ]


def check(data: bytes) -> None:
    """Whatever is understood prints without its password; whatever is not is refused without being repeated."""
    text = data.decode("utf-8", "replace")
    _database(text)
    try:
        assert str(parse_token_uri(text))
    except ConfigurationError as error:
        see_refusal(error)
    try:
        for network in parse_networks(text):
            assert network.version in (4, 6)
    except ConfigurationError as error:
        see_refusal(error)


def _database(text: str) -> None:
    try:
        address = Address.parse(text)
    except ConfigurationError as error:
        see_refusal(error, text.encode("utf-8", "replace"))
        return
    other = Address(address.url.set(password="another"))
    assert (str(address), repr(address)) == (str(other), repr(other)), "what is shown depends on the password"
    assert (address.sqlite_file is None) == (not str(address).startswith("sqlite:"))
    if address.sqlite_file is None:
        assert Address.parse(address.dsn).url == address.url, "the driver would get another URL"

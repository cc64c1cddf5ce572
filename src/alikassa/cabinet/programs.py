"""Ready requests for a balance: what a person copies, saves and runs, with their account filled in."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import msgspec

from alikassa.cabinet.texts import mark

__all__ = ["PROGRAMS", "Program", "program_named"]

# In the wheel they lie beside this module; in a checkout they are where the build takes them from.
_FOLDERS = (Path(__file__).parent / "examples", Path(__file__).parents[3] / "examples")


class Program(msgspec.Struct, frozen=True):
    """One way to ask.

    `install` is a command for Debian, "" where none is needed. `file` is one of our example programs, and `save_as`
    what it is called where it is run; both are "" when `run` is all there is.
    """

    name: str
    title: str
    needs: str
    run: str
    install: str = ""
    file: str = ""
    language: str = "sh"

    @property
    def save_as(self) -> str:
        return self.file.rpartition("/")[2]

    @property
    def source(self) -> str:
        return _source(self.file) if self.file else ""

    def filled_in(self, account: str, url: str) -> str:
        """What is run, for this account and this server."""
        return self.run.replace("@ACCOUNT@", account).replace("@URL@", url)


@cache
def _source(file: str) -> str:
    folder = next(one for one in _FOLDERS if (one / file).is_file())
    return (folder / file).read_text(encoding="utf-8")


def program_named(name: str) -> Program:
    """The first for a name that is none."""
    return next((one for one in PROGRAMS if one.name == name), PROGRAMS[0])


_CURL = """\
printf '{}' |
  openssl dgst -sha256 -sign payout/private.pem -passin file:payout/password.txt |
  openssl base64 -A | sed 's/^/Sign: /' |
  curl --silent --show-error --max-time 30 --header @- \\
    --header 'Content-Type: application/json' \\
    --header 'Account: @ACCOUNT@' \\
    --data '{}' '@URL@/v1/account/balance'
"""
_CLIENT = """\
from alikassa import Client

account = "@ACCOUNT@"
with Client(account, "payout", base_url="@URL@") as client:
    found = client.balance()
print(found)
spendable = found.balance  # a Decimal, exact
"""
_SETTINGS = """\
export ALIKASSA_ACCOUNT=@ACCOUNT@
export ALIKASSA_BASE_URL='@URL@'
export ALIKASSA_KEYS=payout
"""
_JAVA = """\
java -cp "$(printf '/usr/share/java/%s.jar:' \\
    bcprov bcpkix bcutil jackson-core jackson-databind jackson-annotations)" Balance.java
"""
_OUR_PACKAGE = mark("Python 3.11 or newer and our package: in the folder of its source, the command below.")

PROGRAMS = (
    Program("curl", "curl", mark("curl and openssl. Sign is passed from one to the other and shown nowhere."), _CURL),
    Program(
        "cli",
        mark("Command line"),
        _OUR_PACKAGE,
        "alikassa balance --account @ACCOUNT@ --keys payout --base-url '@URL@'\n",
        "pip install .",
    ),
    Program("client", mark("Python, our client"), _OUR_PACKAGE, _CLIENT, "pip install .", language="python"),
    Program(
        "php",
        "PHP",
        mark("PHP 8.2 or newer with its extensions openssl and curl."),
        f"{_SETTINGS}php balance.php\n",
        "apt install php-cli php-curl",
        "php/balance.php",
    ),
    Program(
        "node",
        "Node",
        mark("Node 20 or newer, and no package."),
        f"{_SETTINGS}node balance.mjs\n",
        "apt install nodejs",
        "node/balance.mjs",
    ),
    Program(
        "python",
        "Python",
        mark("Python 3.11 or newer with requests and cryptography."),
        f"{_SETTINGS}python3 balance.py\n",
        "apt install python3-requests python3-cryptography",
        "python/balance.py",
    ),
    Program(
        "java",
        "Java",
        mark("Java 17 or newer with BouncyCastle, which reads the key, and Jackson."),
        _SETTINGS + _JAVA,
        "apt install openjdk-17-jdk-headless \\\n"
        "  libbcprov-java libbcpkix-java libbcutil-java \\\n"
        "  libjackson2-core-java libjackson2-databind-java libjackson2-annotations-java",
        "java/Balance.java",
    ),
    Program(
        "go",
        "Go",
        mark("Go 1.19 or newer, and no module."),
        f"{_SETTINGS}go run main.go\n",
        "apt install golang-go",
        "go/main.go",
    ),
)

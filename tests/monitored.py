"""A shop that is watched: a profile of it, and money that moves."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from command_line import Done, call
from conftest import Shop


@dataclass(frozen=True)
class Watched:
    """A profile `shop` in a configuration of its own, and a history."""

    shop: Shop
    folder: Path
    url: str

    @property
    def env(self) -> dict[str, str]:
        return {"ALIKASSA_CONFIG": str(self.folder / "config.toml"), "ALIKASSA_HISTORY": str(self.history)}

    @property
    def history(self) -> Path:
        return self.folder / "data" / "history.db"

    def run(self, *arguments: str | Path, env: dict[str, str] | None = None) -> Done:
        return call(*arguments, env=self.env | (env or {}))

    def pay(self, amount: str, reference: str) -> None:
        done = call(
            "payment", "record", self.shop.account, "--amount", amount, "--reference", reference,
            env={"ALIKASSA_DATABASE": self.shop.database},
        )  # fmt: skip
        assert done.returncode == 0, done.stderr

    def secrets(self) -> list[bytes]:
        """What must be found nowhere: the passphrase, the key's lines."""
        key = (self.shop.payout / "private.pem").read_bytes().splitlines()[4:-1]
        return [(self.shop.payout / "password.txt").read_bytes().strip(), *key]


def watched(shop: Shop, folder: Path, url: str) -> Watched:
    (folder / "config.toml").write_text(
        f'[profiles.shop]\naccount = "{shop.account}"\nkeys = "{shop.payout}"\nbase_url = "{url}"\n'
    )
    os.chmod(folder / "config.toml", 0o600)
    return Watched(shop, folder, url)

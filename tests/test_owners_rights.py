"""What runs with its owner's rights is nobody else's to use."""

from __future__ import annotations

import asyncio
import uuid

import asyncpg
import pytest

from alikassa.ledger.database import Database


def test_nobody_borrows_the_owners_rights(postgresql_url: str) -> None:
    """The function that counts changes of permissions has its owner's rights: whoever may connect can neither make it a
    trigger of his own table, nor have it write to a table of his own."""
    role = f"anybody_{uuid.uuid4().hex[:8]}"

    async def attack() -> int:
        async with await Database.open(postgresql_url, create=True):
            pass
        owner = await asyncpg.connect(postgresql_url)
        await owner.execute(f"CREATE ROLE {role} LOGIN")
        stranger = await asyncpg.connect(postgresql_url.replace("postgres:@", f"{role}@", 1))
        try:
            await stranger.execute("CREATE TEMP TABLE mine (n integer)")
            await stranger.execute("CREATE TEMP TABLE permission_changes (id integer, changes bigint)")
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await stranger.execute(
                    "CREATE TRIGGER borrowed BEFORE INSERT ON mine"
                    " FOR EACH STATEMENT EXECUTE FUNCTION count_permission_change()"
                )
        finally:
            await stranger.close()
        # Its owner, who may, reaches the table itself, whatever stands in the way.
        try:
            await owner.execute("CREATE TEMP TABLE permission_changes (id integer, changes bigint)")
            await owner.execute("UPDATE certificates SET sha1_allowed = sha1_allowed")
            return int(await owner.fetchval("SELECT changes FROM public.permission_changes"))
        finally:
            await owner.close()

    assert asyncio.run(attack()) == 1

"""What the process itself takes: where the system tells."""

from __future__ import annotations

import os
import resource
import time
from pathlib import Path
from typing import TYPE_CHECKING

from alikassa.server.metrics import families
from alikassa.server.metrics.samples import counted

if TYPE_CHECKING:
    from alikassa.server.metrics.families import Role
    from alikassa.server.metrics.samples import Sample

__all__ = ["Process"]

#: How often its open files are counted, in seconds: with thousands of connections that takes milliseconds.
_FILES_SECONDS = 5.0
_PAGE = resource.getpagesize()
_OWN = Path("/proc/self")


class Process:
    """This process, in a role. It began when this was made."""

    def __init__(self, role: Role) -> None:
        self._role = role.value
        self._began = time.time()
        self._files = 0
        self._files_at = float("-inf")

    def samples(self) -> list[Sample]:
        used = resource.getrusage(resource.RUSAGE_SELF)
        found = [
            counted(families.STARTS, 1, self._role),
            counted(families.PROCESSES, 1, self._role),
            counted(families.START_TIME, self._began, self._role),
            counted(families.CPU, used.ru_utime + used.ru_stime, self._role),
        ]
        try:
            resident = int((_OWN / "statm").read_text().split()[1])
            if time.monotonic() - self._files_at >= _FILES_SECONDS:
                self._files = len(os.listdir(_OWN / "fd"))
                self._files_at = time.monotonic()
        except OSError:
            # No Linux: these two are not shown.
            return found
        return [
            *found,
            counted(families.MEMORY, resident * _PAGE, self._role),
            counted(families.FILES, self._files, self._role),
        ]

"""Why a request is refused, found out from the archive's files up to the server's answers."""

from alikassa.doctor.examine import Examination, examine
from alikassa.doctor.findings import Finding, Language, Level, exit_code

__all__ = ["Examination", "Finding", "Language", "Level", "examine", "exit_code"]

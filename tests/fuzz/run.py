"""All targets, one after the other, each for FUZZ_SECONDS (60): `make fuzz`. FUZZ names some of them.

The exit code is 1 when an input was found that a parser treats wrongly. It is left in build/fuzz/finds; put it into
tests/test_fuzz_finds.py once it is mended. What covers the code so far is kept in build/fuzz, and goes on from there.
"""

from __future__ import annotations

import hashlib
import importlib
import os
import re
import subprocess
import sys
from pathlib import Path

from fuzz import TARGETS

BUILD = Path("build") / "fuzz"
FINDS = BUILD / "finds"
SECONDS = int(os.environ.get("FUZZ_SECONDS", "60"))
# For one input: 5 s and 1 GiB are too much for anything that is parsed here.
BOUNDS = ("-timeout=5", "-rss_limit_mb=1024", "-max_len=16384")
# Fewer branches than this have been seen by a run that sees none of our code.
LEAST_COVERAGE = 20
_COVERAGE = re.compile(r"cov: (\d+)")
_RUNS = re.compile(r"stat::number_of_executed_units:\s+(\d+)")


def main() -> None:
    FINDS.mkdir(parents=True, exist_ok=True)
    names = os.environ.get("FUZZ", "").split() or list(TARGETS)
    clean = [_is_clean(name) for name in names]
    sys.exit(not all(clean))


def _is_clean(name: str) -> bool:
    corpus = BUILD / name
    corpus.mkdir(exist_ok=True)
    for seed in importlib.import_module(f"fuzz.{name}").seeds():
        (corpus / hashlib.sha256(seed).hexdigest()[:16]).write_bytes(seed)
    done = subprocess.run(
        [
            *(sys.executable, "-m", "fuzz.one", name, str(corpus), f"-max_total_time={SECONDS}", *BOUNDS),
            *(f"-artifact_prefix={FINDS}/{name}-", "-print_final_stats=1"),
        ],
        capture_output=True,
        # It stops by itself; if it does not, that is a find, too.
        timeout=SECONDS + 120,
        check=False,
    )
    said = done.stderr.decode("utf-8", "replace") + done.stdout.decode("utf-8", "replace")
    coverage = max((int(one) for one in _COVERAGE.findall(said)), default=0)
    runs = _RUNS.search(said)
    blind = coverage < LEAST_COVERAGE
    result = "FOUND" if done.returncode else "BLIND: nothing is instrumented" if blind else "nothing found"
    print(f"{name:12} {runs[1] if runs else '?':>10} inputs  {coverage:>5} branches  {result}", flush=True)
    if done.returncode:
        print(said[-3000:], flush=True)
    return done.returncode == 0 and not blind


if __name__ == "__main__":
    main()

"""One target under atheris, in a process of its own: libFuzzer ends it. `run.py` calls this."""

from __future__ import annotations

import importlib
import sys

import atheris


def main() -> None:
    name, *arguments = sys.argv[1:]
    # Nobody else's modules: their branches would only slow it down.
    with atheris.instrument_imports(include=["alikassa", f"fuzz.{name}"]):
        target = importlib.import_module(f"fuzz.{name}")
        # What it loads only when it is first needed.
        for seed in target.seeds():
            target.check(seed)
    atheris.Setup([sys.argv[0], *arguments], target.check)
    atheris.Fuzz()


if __name__ == "__main__":
    main()

"""`python -m alikassa` is the `alikassa` command."""

from alikassa.cli import main

if __name__ == "__main__":
    main()

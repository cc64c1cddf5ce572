"""`alikassa demo`: two shops' months, booked, served and asked for on this machine."""

from alikassa.cli.demo.command import add_to

__all__ = ["add_to"]

"""Parsers of what comes from outside, each with what must hold of it whatever comes. `make fuzz` drives them.

A target is a module with `seeds()`, inputs of the real kind to begin with, and `check(data)`, which raises for an input
that its parser treats wrongly. Of what comes out, only our own errors are right; the rest each target says itself.
"""

TARGETS = (
    *("amount", "answer", "refusal", "sign", "header", "body", "private_key", "key_stream", "key_numbers"),
    *("public_key", "opening", "place", "forwarded", "cursor", "command"),
)

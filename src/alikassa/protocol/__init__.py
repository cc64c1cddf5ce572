"""What both sides of the wire agree on: messages, signatures, certificates."""

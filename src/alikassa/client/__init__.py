"""The client that asks for the balance: one core without I/O, two thin shells over it."""

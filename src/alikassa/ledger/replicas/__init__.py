"""Balances read from servers that follow the primary, no older than a stated bound."""

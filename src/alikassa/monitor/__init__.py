"""The monitor: looks at balances again and again, keeps what was told, and raises alerts."""

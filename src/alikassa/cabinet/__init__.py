"""Pages for people: a merchant's accounts, statements, keys and requests, and the operator's overview."""

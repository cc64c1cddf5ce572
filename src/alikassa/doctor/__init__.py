"""The diagnosis: what is wrong with an archive, a connection or a request, and what to do."""

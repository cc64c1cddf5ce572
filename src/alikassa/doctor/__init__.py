"""Why a request is refused, found out from the archive's files up to the server's answers."""

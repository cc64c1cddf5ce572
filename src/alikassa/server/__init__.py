"""The server that answers the signed balance request."""

"""The log of requests that merchants see: gathered beside the answers, written once a second, asked for by people."""

"""The books on an engine that spreads PostgreSQL over several nodes."""

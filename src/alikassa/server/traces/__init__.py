"""Spans of OpenTelemetry, for `serve --traces`. Nothing here is loaded without it."""

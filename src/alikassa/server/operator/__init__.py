"""The operator's API: booking, registering and asking, beside the merchants' API in a process of its own."""

__all__: list[str] = []

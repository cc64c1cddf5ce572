"""Python's collector of cyclic garbage, in a process that answers requests."""

from __future__ import annotations

import gc

__all__ = ["spare_what_stays"]

# Objects made and not yet gone before the youngest are looked at. A thousand requests under way are some sixty
# thousand: by the interpreter's own 700 the collector went over all of those again and again, a tenth of the time under
# overload; by 20,000 it still did so whenever a batch of them was done, 7 % of the time.
# What goes without it is not counted, so that a server with little to do is no different.
_MANY = 100_000


def spare_what_stays() -> None:
    """From now on the collector passes over everything that there is (modules, routes, statements), and comes seldom.

    For a process of its own, once it is ready. All of that stays until the process ends, and to go over it took 50 to
    100 ms (SQLite, 14,000 requests/s, two cores), every few seconds; all requests wait meanwhile.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(_MANY, *gc.get_threshold()[1:])

"""The benchmark: speed and memory of every encoder, the fast engine beside its naive twin, in one run.

``options`` says what to measure, ``plan`` makes jobs of it, ``run`` has each measured in a process of its own
(``apart``, ``measure``, ``meters``), and ``report`` and ``plot`` show the rows. ``verify`` comes first: no figure of a
fast path that does not give what its twin gives.
"""

from nestree.bench.options import BenchOptions as BenchOptions

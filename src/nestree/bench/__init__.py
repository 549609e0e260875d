"""The benchmark: speed and memory of every encoder, the fast engine and the naive implementation, in one run.

``options`` says what to measure, ``plan`` makes jobs of it, ``run_jobs`` has each measured in a process of its own
(``child_process``, ``measure``, ``meters``), and ``report`` and ``plot`` show the rows. ``verify`` comes first: no
figure of a fast path that does not give what the naive implementation gives.
"""

from nestree.bench.options import BenchOptions as BenchOptions

"""The benchmark: speed and memory of every encoder, with the engine and the naive implementation, in one run.

``plan`` turns ``options`` into jobs, ``run_jobs`` measures each in a child process (``child_process``, ``measure``,
``meters``), and ``report`` and ``plot`` show the rows. ``verify`` runs first: nothing is measured unless the engine
agrees with the naive implementation.
"""

from nestree.bench.options import BenchOptions as BenchOptions

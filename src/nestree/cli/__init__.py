"""The command line: ``nestree train``, ``compare``, ``sweep``, ``evaluate`` and the others."""

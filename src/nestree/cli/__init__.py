"""The command line: ``nestree train``, ``evaluate``, ``predict``, ``report``, ``recipes`` and ``data``."""

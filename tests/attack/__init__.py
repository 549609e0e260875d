"""Attacks on what the package promises: a short, seeded form in `make test`, the long form by `make attack`."""

"""Recursions that search for a tree (beam tree, Gumbel tree), a naive implementation, and the fast engine."""

"""The beam tree and its kin: the recursions that search for a tree, a naive implementation, and the fast engine."""

"""The fast engine: search over node numbers without autograd, then replay the surviving nodes for the gradients.

``store`` holds the nodes, whose states ``cells`` computes; ``scoring`` computes the logits of pairs; ``search`` finds
the trees of one level; ``replay`` propagates gradients back; ``recursion`` goes through the levels of the outer tree.
Up to rounding, the results equal those of [`nestree.recursions.beam.naive`][].
"""

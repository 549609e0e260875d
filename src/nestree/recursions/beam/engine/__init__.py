"""The fast engine: search over node numbers without autograd, then replay what is left of it for the gradients.

``store`` holds the nodes and asks ``cells`` for their states, ``scoring`` says how pairs get their logits, ``search``
finds the trees of one level, ``replay`` walks gradients back, and ``recursion`` goes through the levels of the outer
tree. It gives what [`nestree.recursions.beam.naive`][] gives, to rounding.
"""

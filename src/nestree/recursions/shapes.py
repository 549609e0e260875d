"""Array types for the signatures in this folder, with one letter per axis.

The tests check every annotated call: within a call, a letter stands for one length. The letters:

    b  sequences in a batch               l  positions of the padded batch
    t  tokens of a batch, unpadded        d  features of a state
    g  groups of a level                  n  items of a group, up to the largest
    v  beams before a step                w  beams after it, or slots to fill
    p  neighbouring pairs                 k  pairs that each beam proposes
    c  candidates, or columns, of a group r  roots of a group
    m  some rows of the node store        u  all rows of a table
    s  features that a pair scorer reads  h  features of a hidden layer

Capital letters in docstrings are the same axes.
"""

from __future__ import annotations

from jaxtyping import Bool, Float, Integer, Shaped
from torch import Tensor

# Single items
State = Float[Tensor, " d"]
Score = Float[Tensor, ""]

# Sequences
Padded = Float[Tensor, "b l d"]
Packed = Float[Tensor, "t d"]
SequenceRoots = Float[Tensor, "b d"]
SequenceIndex = Integer[Tensor, " b"]
SequenceWeights = Float[Tensor, "b w"]
SequenceNodes = Integer[Tensor, "b w"]
SequenceStates = Float[Tensor, "b w d"]

# Groups
Items = Float[Tensor, "g n d"]
GroupStates = Float[Tensor, "g d"]
GroupIndex = Integer[Tensor, " g"]
ItemIndex = Integer[Tensor, "g n"]
ItemFlags = Bool[Tensor, "g n"]
ItemWeights = Float[Tensor, "g n"]
ItemPairWeights = Float[Tensor, "g n n"]

# Beams of groups
Frontier = Integer[Tensor, "g v n"]
FrontierStates = Float[Tensor, "g v n d"]
FrontierParents = Float[Tensor, "g v p d"]
BeamScores = Float[Tensor, "g v"]
PairLogits = Float[Tensor, "g v p"]
PairIndex = Integer[Tensor, "g v p"]
ProposedIndex = Integer[Tensor, "g v k"]
ProposedScores = Float[Tensor, "g v k"]
CandidateIndex = Integer[Tensor, "g c"]
CandidateScores = Float[Tensor, "g c"]
CandidateFlags = Bool[Tensor, "g c"]
KeptIndex = Integer[Tensor, "g w"]
KeptScores = Float[Tensor, "g w"]
KeptFlags = Bool[Tensor, "g w"]
KeptRoots = Integer[Tensor, "g w r"]
BesideIndex = Integer[Tensor, "g w 2"]
BesideFlags = Bool[Tensor, "g w 2"]
BesideLogits = Float[Tensor, "g w 2"]
Uniforms = Float[Tensor, "g w"]

# One beam's pairs, for the straight-through replay
OnePairIndex = Integer[Tensor, "g p"]
OnePairFlags = Bool[Tensor, "g p"]
OnePairLogits = Float[Tensor, "g p"]
OnePairStates = Float[Tensor, "g p d"]
OneOrAllPairStates = Float[Tensor, "g #p d"]

# Rows of the node store
Rows = Integer[Tensor, " m"]
Column = Float[Tensor, "m 1"]
Children = Integer[Tensor, "m 2"]
States = Float[Tensor, "m d"]
ChildStates = Float[Tensor, "m 2 d"]
Slices = Float[Tensor, "m s"]
RowWeights = Float[Tensor, " m"]
RandomBits = Integer[Tensor, "m h"]

# Whole tables
TableStates = Float[Tensor, "u d"]
TableIndex = Integer[Tensor, " u"]
BeamTable = Integer[Tensor, "u w"]
BeamTableScores = Float[Tensor, "u w"]

# Any shape, the same one throughout a call
Bits = Integer[Tensor, "*any"]
Numbers = Float[Tensor, "*any"]
Anything = Shaped[Tensor, "..."]

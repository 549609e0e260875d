"""Layers that encoders and models are composed of: leaf transform, cell, scorers, S4D and head."""

from nestree.layers.cell import Cell as Cell
from nestree.layers.cell import GatedRecursiveCell as GatedRecursiveCell
from nestree.layers.cells import CELLS as CELLS
from nestree.layers.cells import BilinearCell as BilinearCell
from nestree.layers.cells import MultiplicativeGateCell as MultiplicativeGateCell
from nestree.layers.cells import SwiGLUCell as SwiGLUCell
from nestree.layers.cells import TreeLSTMCell as TreeLSTMCell
from nestree.layers.head import ClassificationHead as ClassificationHead
from nestree.layers.leaf import LeafTransform as LeafTransform
from nestree.layers.parent_attention import ParentAttention as ParentAttention
from nestree.layers.s4d import S4D as S4D
from nestree.layers.s4d import BidirectionalS4D as BidirectionalS4D
from nestree.layers.scorer import PairScorer as PairScorer
from nestree.layers.scorer import ParentScorer as ParentScorer
from nestree.layers.scorer import Scorer as Scorer

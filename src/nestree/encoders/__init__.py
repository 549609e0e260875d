"""Encoders: padded token states and lengths in, one root per sequence out."""

from nestree.encoders.base import Encoder as Encoder
from nestree.encoders.base import Encoding as Encoding
from nestree.encoders.bow import BagOfWords as BagOfWords
from nestree.encoders.lstm import LSTM as LSTM
from nestree.encoders.registry import ENCODERS as ENCODERS
from nestree.encoders.registry import build as build
from nestree.encoders.registry import register as register
from nestree.encoders.rir import RIR as RIR
from nestree.encoders.rvnn import RvNN as RvNN
from nestree.encoders.s4d import S4DStack as S4DStack
from nestree.encoders.tokens import Contextualizer as Contextualizer
from nestree.encoders.transformer import Transformer as Transformer

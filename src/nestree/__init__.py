"""nestree: recursive neural networks that induce their own trees and scale to long inputs."""

from nestree.encoders import ENCODERS as ENCODERS
from nestree.encoders import RIR as RIR
from nestree.encoders import Contextualizer as Contextualizer
from nestree.encoders import Encoder as Encoder
from nestree.encoders import Encoding as Encoding
from nestree.encoders import RvNN as RvNN
from nestree.encoders import build as build
from nestree.models import Classifier as Classifier
from nestree.models import ClassifierOptions as ClassifierOptions
from nestree.runs import load as load
from nestree.tagger import Tagger as Tagger
from nestree.trees import ParsedTree as ParsedTree
from nestree.trees import Tree as Tree

__version__ = "0.1.0"

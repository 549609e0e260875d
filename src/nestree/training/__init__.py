"""Training: options, batches, the Lightning module, and runs that can be stopped and resumed exactly.

The names here import without Lightning; [`nestree.training.fit`][] brings it in.
"""

from nestree.training.config import Config as Config
from nestree.training.options import OptimizerOptions as OptimizerOptions
from nestree.training.options import TrainerOptions as TrainerOptions

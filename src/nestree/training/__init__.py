"""Training: options, batches, the Lightning module, and runs that can be stopped and resumed exactly.

The names here import without Lightning; [`nestree.training.fit`][] brings it in.
"""

from nestree.config.config import Config as Config
from nestree.config.options import OptimizerOptions as OptimizerOptions
from nestree.config.options import TrainerOptions as TrainerOptions

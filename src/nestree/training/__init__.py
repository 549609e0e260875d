"""Training: options, batches, the Lightning module, and runs that can be stopped and resumed exactly.

Importing this package does not import Lightning; importing [`nestree.training.fit`][] does.
"""

from nestree.config.config import Config as Config
from nestree.config.options import OptimizerOptions as OptimizerOptions
from nestree.config.options import TrainerOptions as TrainerOptions

"""The configuration of a run: its options, read from YAML or the command line."""

from nestree.config.config import Config as Config
from nestree.config.config import read_config as read_config
from nestree.config.options import OptimizerOptions as OptimizerOptions
from nestree.config.options import TrainerOptions as TrainerOptions

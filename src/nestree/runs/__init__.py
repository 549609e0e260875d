"""Run folders: what a training run writes, enough to use, resume, judge and repeat it."""

from nestree.runs.loading import build_model as build_model
from nestree.runs.loading import load as load
from nestree.runs.run import RUNS as RUNS
from nestree.runs.run import SHARED as SHARED
from nestree.runs.run import Run as Run

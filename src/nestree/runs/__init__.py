"""Run folders: what a training run leaves behind, enough to use, resume, judge and repeat it."""

from nestree.runs.run import RUNS as RUNS
from nestree.runs.run import SHARED as SHARED
from nestree.runs.run import Run as Run
from nestree.runs.run import build_model as build_model
from nestree.runs.run import commit as commit
from nestree.runs.run import load as load
from nestree.runs.run import nestree_version as nestree_version
from nestree.runs.run import peak_memory as peak_memory
from nestree.runs.run import provenance as provenance
from nestree.runs.run import read_json as read_json
from nestree.runs.run import read_yaml as read_yaml
from nestree.runs.run import write_json as write_json

"""Evaluation: accuracy with intervals, by length, operator and depth, in batches that fit in memory."""

from nestree.evaluation.evaluate import Result as Result
from nestree.evaluation.evaluate import Share as Share
from nestree.evaluation.evaluate import evaluate as evaluate
from nestree.evaluation.evaluate import probabilities as probabilities
from nestree.evaluation.intervals import wilson as wilson
from nestree.evaluation.predictions import Prediction as Prediction
from nestree.evaluation.predictions import predict as predict
from nestree.evaluation.readings import Reading as Reading
from nestree.evaluation.readings import read as read

"""The report's pictures say what their own task's baseline is."""

import pytest

from nestree.evaluation.evaluate import Result, Share
from nestree.evaluation.plots import accuracy_figure
from nestree.tasks.listops import ListOps
from nestree.tasks.text import TextTask


@pytest.mark.parametrize("task", [ListOps, TextTask])
def test_the_baseline_is_called_what_the_task_calls_it(task):
    result = Result("test", None, Share("test", 3, 4), {}, mean_length=12.0, seconds=1.0, baseline=0.5)
    figure = accuracy_figure({"accuracy": [result]}, train_longest=20, baseline=task.baseline_about)
    legend = figure.axes[0].get_legend()
    assert legend is not None
    assert f"always {task.baseline_about}" in [text.get_text() for text in legend.get_texts()]

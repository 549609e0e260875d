from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from pytorch_optimizer import Lookahead
from torch import nn

import nestree
from nestree.config.options import OptimizerOptions
from nestree.data.batches import pad
from nestree.layers.s4d import ssm_parameters
from nestree.runs.history import read_history, series
from nestree.tasks.listops import ListOps, encode
from nestree.training.module import ClassifierModule
from nestree.training.optimizers import build_optimizer, encoder_matrices, forget
from nestree.training.schedules import build_schedule, rate_share
from nestree.trees.scores import GoldTree
from support.training import config, fresh_model, training


def test_state_space_parameters_have_a_group_without_decay_and_with_a_capped_rate() -> None:
    model = fresh_model("rir-grc")
    optimizer = build_optimizer(model, OptimizerOptions(learning_rate=5e-3, weight_decay=0.1))
    rest, ssm = optimizer.param_groups
    assert {id(p) for p in ssm["params"]} == {id(p) for p in ssm_parameters(model)}
    assert len(rest["params"]) + len(ssm["params"]) == len(list(model.parameters()))
    assert (rest["lr"], rest["weight_decay"]) == (5e-3, 0.1)
    assert (ssm["lr"], ssm["weight_decay"]) == (1e-3, 0.0)
    slower = build_optimizer(model, OptimizerOptions(learning_rate=1e-4))
    assert slower.param_groups[1]["lr"] == 1e-4


def test_without_state_space_parameters_there_is_one_group() -> None:
    assert len(build_optimizer(fresh_model("grc"), OptimizerOptions()).param_groups) == 1


def test_lookahead_moves_slow_weights_every_few_steps() -> None:
    """After k steps a weight is alpha of the way from where it was k steps ago to where RAdam has brought it."""
    options = OptimizerOptions(lookahead_steps=3, lookahead_alpha=0.8, weight_decay=0.0, learning_rate=0.1)
    model, twin = nn.Linear(2, 1, bias=False), nn.Linear(2, 1, bias=False)
    twin.load_state_dict(model.state_dict())
    slow = model.weight.detach().clone()
    optimizer = build_optimizer(model, options)
    fast = torch.optim.RAdam(twin.parameters(), lr=0.1)
    for step in range(1, 4):
        for layer, stepper in ((model, optimizer), (twin, fast)):
            layer.weight.grad = torch.tensor([[1.0, -2.0]])
            stepper.step()
        if step < 3:
            assert torch.equal(model.weight, twin.weight)
    assert torch.allclose(model.weight, slow + 0.8 * (twin.weight - slow))


@pytest.mark.parametrize(
    ("options", "kind"),
    [
        ({}, Lookahead),
        ({"lookahead_steps": None}, torch.optim.RAdam),
        ({"name": "radam-lookahead"}, Lookahead),
        ({"name": "adamw"}, torch.optim.AdamW),
    ],
    ids=["radam with Lookahead", "radam", "radam-lookahead", "adamw"],
)
def test_optimizers_have_their_names(options: dict[str, Any], kind: type) -> None:
    optimizer = build_optimizer(fresh_model("s4d"), OptimizerOptions(weight_decay=0.3, **options))
    assert type(optimizer) is kind
    assert [group["weight_decay"] for group in optimizer.param_groups] == [0.3, 0.0]


@pytest.mark.parametrize(
    "options", [{"name": "radam", "lookahead_steps": None}, {"name": "adamw"}], ids=["radam", "adamw"]
)
def test_weight_decay_is_decoupled(options: dict[str, Any]) -> None:
    model = nn.Linear(2, 1, bias=False)
    before = model.weight.detach().clone()
    model.weight.grad = torch.zeros_like(before)
    build_optimizer(model, OptimizerOptions(learning_rate=0.1, weight_decay=0.2, **options)).step()
    torch.testing.assert_close(model.weight, before * (1 - 0.1 * 0.2))


def test_muon_is_for_the_matrices_of_the_encoder_and_adamw_for_the_rest() -> None:
    model = fresh_model("rir-grc")
    options = OptimizerOptions(name="muon", learning_rate=3e-3, muon_learning_rate=0.02, weight_decay=0.1, beta2=0.98)
    optimizer = build_optimizer(model, options)
    rest, ssm, matrices = optimizer.param_groups
    named = {id(parameter): name for name, parameter in model.named_parameters()}
    names = {named[id(parameter)] for parameter in matrices["params"]}
    wanted = {
        name
        for name, parameter in model.encoder.named_parameters(prefix="encoder")
        if parameter.ndim == 2 and ".ssm." not in name
    }
    assert names == wanted
    assert {"encoder.leaf.project.weight", "encoder.inner.cell.gates.weight"} <= names
    assert {id(p) for p in ssm["params"]} == {id(p) for p in ssm_parameters(model)}
    assert len(named) == sum(len(group["params"]) for group in optimizer.param_groups)
    assert "embedding.weight" in {named[id(parameter)] for parameter in rest["params"]}
    assert [group["use_muon"] for group in optimizer.param_groups] == [False, False, True]
    assert [group["lr"] for group in optimizer.param_groups] == [3e-3, 1e-3, 0.02]
    assert [group["weight_decay"] for group in optimizer.param_groups] == [0.1, 0.0, 0.1]
    assert (rest["betas"], rest["eps"]) == ((0.9, 0.98), 1e-8)


@pytest.mark.skipif(not hasattr(torch.optim, "Muon"), reason="PyTorch before 2.9 has no Muon")
def test_muon_is_pytorchs_muon_and_adamw() -> None:
    model, twin = fresh_model("grc"), fresh_model("grc")
    twin.load_state_dict(model.state_dict())
    optimizer = build_optimizer(model, OptimizerOptions(name="muon", weight_decay=0.1))
    matrices, rest = encoder_matrices(twin), {id(p) for p in encoder_matrices(twin)}
    others = [parameter for parameter in twin.parameters() if id(parameter) not in rest]
    steppers = [
        torch.optim.Muon(matrices, lr=1e-2, weight_decay=0.1),
        torch.optim.AdamW(others, lr=1e-3, weight_decay=0.1),
    ]
    for _ in range(3):
        for left, right in zip(model.parameters(), twin.parameters(), strict=True):
            left.grad = torch.randn_like(left)
            right.grad = left.grad.clone()
        optimizer.step()
        for stepper in steppers:
            stepper.step()
    for left, right in zip(model.parameters(), twin.parameters(), strict=True):
        torch.testing.assert_close(left, right)


@pytest.mark.parametrize("name", ["radam", "adamw", "muon"])
def test_an_optimizer_that_forgets_is_as_new(name: str) -> None:
    model, twin = fresh_model("s4d"), fresh_model("s4d")
    optimizer = build_optimizer(model, OptimizerOptions(name=name, lookahead_steps=3))

    def step(stepped: nn.Module, stepper: torch.optim.Optimizer) -> None:
        for parameter in stepped.parameters():
            parameter.grad = torch.full_like(parameter, 0.5)
        stepper.step()

    for _ in range(4):
        step(model, optimizer)
    model.load_state_dict(twin.state_dict())
    forget(optimizer)
    new = build_optimizer(twin, OptimizerOptions(name=name, lookahead_steps=3))
    for _ in range(4):
        step(model, optimizer)
        step(twin, new)
    for left, right in zip(model.parameters(), twin.parameters(), strict=True):
        assert torch.equal(left, right)


def test_betas_are_those_that_are_set() -> None:
    for name in ("adamw", "radam"):
        options = OptimizerOptions(name=name, beta1=0.8, beta2=0.95, lookahead_steps=None)
        groups = build_optimizer(fresh_model("s4d"), options).param_groups
        assert [group["betas"] for group in groups] == [(0.8, 0.95)] * 2


@pytest.mark.parametrize("name", ["radam", "adamw"])
def test_cosine_rates_are_the_formula_in_both_groups(name: str) -> None:
    """The cap of state-space parameters scales with the schedule; the lowest rate is everyone's."""
    options = OptimizerOptions(
        name=name, learning_rate=1e-2, schedule="cosine", warmup_steps=4, total_steps=20, minimum_learning_rate=1e-5
    )
    optimizer = build_optimizer(fresh_model("s4d"), options)
    schedule = build_schedule(optimizer, options)
    rates = []
    for _ in range(25):
        rates.append([group["lr"] for group in optimizer.param_groups])
        optimizer.step()
        schedule.step()
    for column, highest in enumerate((1e-2, 1e-3)):
        found = [rate[column] for rate in rates]
        assert found[:4] == pytest.approx([highest / 4, highest / 2, highest * 3 / 4, highest])
        falling = [1e-5 + (highest - 1e-5) * (1 + math.cos(math.pi * step / 16)) / 2 for step in range(17)]
        assert found[4:21] == pytest.approx(falling)
        assert found[20:] == pytest.approx([1e-5] * 5)


def shares(options: OptimizerOptions, moments: list[tuple[int, float]], **others: int) -> list[float]:
    """The rates' shares of the highest after so many steps and minutes."""
    return [rate_share(step, highest=1e-2, options=options, minutes=minutes, **others) for step, minutes in moments]


WSD: dict[str, Any] = {"schedule": "wsd", "learning_rate": 1e-2, "minimum_learning_rate": 1e-3}


def test_wsd_rises_stays_and_falls_by_steps() -> None:
    options = OptimizerOptions(**WSD, warmup_steps=4, total_steps=20, stable=0.5)
    found = shares(options, [(step, 0.0) for step in range(25)])
    assert found[:4] == pytest.approx([0.25, 0.5, 0.75, 1])
    assert found[4:11] == pytest.approx([1] * 7)
    assert found[11:21] == pytest.approx([1 - 0.09 * step for step in range(1, 11)])
    assert found[20:] == pytest.approx([0.1] * 5)


def test_schedules_follow_time_where_that_ends_first() -> None:
    wsd = OptimizerOptions(**WSD, warmup_steps=4, total_steps=1000, total_minutes=10.0)
    moments = [(2, 9.0), (10, 0.0), (10, 3.9), (10, 7.0), (10, 10.0), (10, 11.0), (700, 1.0)]
    assert shares(wsd, moments) == pytest.approx([0.75, 1, 1, 0.55, 0.1, 0.1, 0.55])
    cosine = OptimizerOptions(**{**WSD, "schedule": "cosine"}, warmup_steps=4, total_steps=1004, total_minutes=10.0)
    assert shares(cosine, [(2, 9.0), (4, 5.0), (504, 1.0), (4, 10.0)]) == pytest.approx([0.75, 0.55, 0.55, 0.1])


def test_weights_that_begin_anew_are_warmed_up_anew() -> None:
    options = OptimizerOptions(**WSD, warmup_steps=4, total_steps=20)
    assert shares(options, [(5, 0.0), (6, 0.0), (9, 0.0)], weights_since=5) == pytest.approx([0.25, 0.5, 0.925])


def test_a_schedule_reads_the_clock(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A minute a step, of ten: as slow a machine as it takes."""
    made = config(
        optimizer={"schedule": "wsd", "learning_rate": 1e-2, "minimum_learning_rate": 1e-3, "warmup_steps": 2},
        trainer={"max_minutes": 10, "max_steps": None, "validate_every": 100},
    )
    trained = training(tmp_path / "run", made)
    monkeypatch.setattr(trained.timer, "time_elapsed", lambda *_: 60.0 * trained.stream.position)
    facts = trained.fit()
    assert (facts["steps"], facts["why"], trained.config.optimizer.total_minutes) == (10, "reached 10 minutes", 10)
    _, rates = series(read_history(trained.run), "learning_rate")
    assert rates == pytest.approx([5e-3, *[1e-2] * 4, 8.5e-3, 7e-3, 5.5e-3, 4e-3, 2.5e-3])
    assert trained.trainer.optimizers[0].param_groups[0]["lr"] == pytest.approx(1e-3)
    assert series(read_history(trained.run), "validation_accuracy")[0] == [9]  # at the end, as always


def test_a_lowest_rate_above_a_cap_leaves_the_cap() -> None:
    options = OptimizerOptions(
        learning_rate=1e-2, ssm_learning_rate=1e-4, schedule="cosine", total_steps=2, minimum_learning_rate=1e-3
    )
    optimizer = build_optimizer(fresh_model("s4d"), options)
    schedule = build_schedule(optimizer, options)
    for _ in range(3):
        assert optimizer.param_groups[1]["lr"] == pytest.approx(1e-4)
        optimizer.step()
        schedule.step()


def test_a_cosine_is_as_long_as_the_run_unless_it_is_said() -> None:
    open_ended = OptimizerOptions(schedule="cosine", warmup_steps=30)
    assert (open_ended.settled(1000).total_steps, open_ended.settled(1000).warmup_steps) == (1000, 30)
    assert (open_ended.settled(50).total_steps, open_ended.settled(50).warmup_steps) == (50, 5)
    given = OptimizerOptions(schedule="cosine", warmup_steps=30, total_steps=40)
    assert given.settled(1000) is given
    assert (given.settled(1000, 5.0).total_steps, given.settled(1000, 5.0).total_minutes) == (40, 5.0)
    assert given.settled(1000, 5.0).settled(2000, 10.0) == given.settled(1000, 5.0)
    plateau = OptimizerOptions()
    assert plateau.settled(1000, 5.0) is plateau


@pytest.mark.parametrize("micro_batch", [1, 3, 5])
def test_micro_batches_change_nothing_but_memory(tmp_path, micro_batch: int) -> None:
    no_dropout = {"encoder": {"dropout": 0.0}, "model": {"input_dropout": 0.0, "head_dropout": 0.0}}
    whole = training(tmp_path / "whole", config(**no_dropout, trainer={"max_steps": 3}))
    parts = training(
        tmp_path / "parts", config(**no_dropout, data={"micro_batch": micro_batch}, trainer={"max_steps": 3})
    )
    whole.fit()
    parts.fit()
    for left, right in zip(whole.module.parameters(), parts.module.parameters(), strict=True):
        torch.testing.assert_close(left, right, atol=1e-6, rtol=1e-4)


def test_one_process_and_several_make_the_same_step(tmp_path) -> None:
    """Each process's loss is weighed so that the mean over processes is the whole batch's mean."""
    alone = training(tmp_path / "alone")
    module = alone.module
    stream = alone.stream
    stream.shares = 3
    losses = []
    for share in range(3):
        stream.share, stream.position = share, 0
        batch = next(iter(stream))
        logits = module.model.eval()(batch.tokens, batch.lengths)
        total = nn.functional.cross_entropy(logits, batch.labels, reduction="sum")
        losses.append(total * (3 / batch.size))
    stream.share, stream.shares, stream.position = 0, 1, 0
    batch = next(iter(stream))
    whole = nn.functional.cross_entropy(module.model(batch.tokens, batch.lengths), batch.labels)
    torch.testing.assert_close(torch.stack(losses).mean(), whole)


def test_supervision_of_trees_adds_their_log_loss() -> None:
    task = ListOps()
    sequences = [torch.from_numpy(encode(text).astype("int64")) for text in ("[MAX 2 [MIN 4 7 ] 3 ]", "7", "[SM 1 2 ]")]
    tokens, lengths = pad(sequences)
    model = fresh_model("ebt-grc").eval()
    module = ClassifierModule(model, classes=10, options=OptimizerOptions(tree_supervision=0.5), gold=task.gold)
    found = module._gold_log_prob(tokens, lengths)
    trees = [task.gold(sequence.numpy()).tree for sequence in sequences]
    one_by_one = [
        model.tree_log_prob(sequence.unsqueeze(0), lengths[row : row + 1], [trees[row]])
        for row, sequence in enumerate(sequences)
    ]
    torch.testing.assert_close(found, torch.cat(one_by_one).sum())
    found.backward()
    assert model.encoder.inner.scorer.score.weight.grad.any()
    assert module.options.tree_supervision == 0.5
    with pytest.raises(ValueError, match="tree_supervision"):
        OptimizerOptions(tree_supervision=-1)
    module.gold = lambda tokens: None
    with pytest.raises(ValueError, match="knows no gold trees"):
        module._gold_log_prob(tokens, lengths)


def test_supervision_of_nodes_is_the_mean_cross_entropy_at_labelled_nodes() -> None:
    tree = nestree.Tree(3, ((1, 2), (0, 3)))
    golds = {3: GoldTree(tree, (), {(0, 1): 4, (1, 3): 2, (0, 3): 7}), 2: None, 1: GoldTree(nestree.Tree(1, ()), ())}
    tokens, lengths = pad([torch.tensor([6, 7, 8]), torch.tensor([6, 7]), torch.tensor([9]), torch.tensor([8, 8, 9])])
    model = fresh_model("ebt-grc").eval()
    options = OptimizerOptions(node_supervision=0.5)
    module = ClassifierModule(model, classes=10, options=options, gold=lambda row: golds[len(row)])
    found = module._node_loss(tokens, lengths)
    wanted = torch.zeros(())
    for row in (0, 3):
        nodes = model.encoder(model.states(tokens[row : row + 1]), [3], along=[tree], nodes=True).nodes[0]
        logits = model.classify(torch.stack([nodes[0, 1], nodes[1, 3], nodes[0, 3]]))
        wanted = wanted + nn.functional.cross_entropy(logits, torch.tensor([4, 2, 7]))
    torch.testing.assert_close(found, wanted)
    found.backward()
    assert all(part.grad is not None and part.grad.any() for part in model.encoder.inner.cell.parameters())
    assert module._node_loss(tokens[1:2], lengths[1:2]) == 0
    with pytest.raises(ValueError, match="node_supervision must be a number of at least 0, not -1"):
        OptimizerOptions(node_supervision=-1)

"""Optimizers by name, and their groups of parameters."""

from __future__ import annotations

from typing import Any

import torch
from pytorch_optimizer import Lookahead, Muon
from torch import nn
from torch.nn import Parameter
from torch.optim import Optimizer

from nestree.config.options import OptimizerOptions
from nestree.layers.language_model import LanguageModel
from nestree.layers.s4d import ssm_parameters


def build_optimizer(model: nn.Module, options: OptimizerOptions) -> Optimizer:
    """Return the optimizer that ``options`` names, with decoupled weight decay.

    State-space parameters are a separate group, without weight decay and with a capped learning rate (Gu et al. 2022).
    A language model that is trained too is a group with a capped learning rate.

    Args:
        model: the model to optimize; for Muon, a [`Classifier`][nestree.models.Classifier].
        options: name, rates and other options.
    """
    ssm = ssm_parameters(model)
    matrices = encoder_matrices(model) if options.name == "muon" else []
    features = [
        parameter for part in model.modules() if isinstance(part, LanguageModel) for parameter in part.parameters()
    ]
    grouped = {id(parameter) for parameter in (*ssm, *matrices, *features)}
    rest = [parameter for parameter in model.parameters() if id(parameter) not in grouped and parameter.requires_grad]
    groups: list[dict[str, Any]] = [{"params": rest, "lr": options.learning_rate, "weight_decay": options.weight_decay}]
    if ssm:
        rate = min(options.ssm_learning_rate, options.learning_rate)
        groups.append({"params": ssm, "lr": rate, "weight_decay": 0.0})
    if features:
        rate = min(options.language_model_learning_rate, options.learning_rate)
        groups.append({"params": features, "lr": rate, "weight_decay": options.weight_decay})
    betas = (options.beta1, options.beta2)
    if options.name == "muon":
        adam = [{**group, "use_muon": False, "betas": betas, "eps": ADAM_EPS} for group in groups]
        rate = options.muon_learning_rate
        matrix = {"params": matrices, "use_muon": True, "lr": rate, "weight_decay": options.weight_decay}
        return Muon([*adam, matrix])
    if options.name == "adamw":
        fused = all(parameter.device.type in FUSED for parameter in rest)
        return torch.optim.AdamW(groups, betas=betas, eps=ADAM_EPS, fused=fused)
    radam = torch.optim.RAdam(groups, betas=betas, decoupled_weight_decay=True)
    if options.lookahead_steps is None:
        return radam
    return Lookahead(radam, k=options.lookahead_steps, alpha=options.lookahead_alpha)


ADAM_EPS = 1e-8

FUSED = ("cpu", "cuda")
"""Devices on which PyTorch has AdamW in one kernel."""


def encoder_matrices(model: nn.Module) -> list[Parameter]:
    """Return the weight matrices of a classifier's encoder, which Muon optimizes, without state-space parameters."""
    encoder = getattr(model, "encoder", None)
    assert isinstance(encoder, nn.Module), "the model has no encoder"
    excluded = {id(parameter) for parameter in ssm_parameters(encoder)}
    return [
        parameter
        for parameter in encoder.parameters()
        if parameter.ndim == 2 and id(parameter) not in excluded and parameter.requires_grad
    ]


def forget(optimizer: Optimizer) -> None:
    """Reset the state of an optimizer, except its learning rates."""
    optimizer.state.clear()
    for group in optimizer.param_groups:
        group.update({name: 0 for name in COUNTERS if name in group})
    if isinstance(optimizer, Lookahead):
        forget(optimizer.optimizer)
        for group in optimizer.param_groups:
            optimizer.init_group(group)


COUNTERS = ("counter", "step")
"""Counters of Lookahead and Muon in a group of parameters."""

"""The equations once more, for the tests: loops over single vectors that take nothing from nestree but its weights."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn

Fold = Callable[[list[Tensor]], Tensor]


def gelu(x: Tensor) -> Tensor:
    return x * 0.5 * (1 + torch.erf(x / math.sqrt(2)))


def layer_norm(x: Tensor, norm: nn.LayerNorm) -> Tensor:
    centred = x - x.mean()
    return centred / torch.sqrt((centred**2).mean() + 1e-5) * norm.weight + norm.bias


def compose(cell: nn.Module, left: Tensor, right: Tensor, keep: Tensor | float = 1.0) -> Tensor:
    """One parent (D,) of two children (D,); ``keep`` is a dropout mask that is already scaled."""
    parameters = dict(cell.named_parameters())
    hidden = gelu(parameters["hidden.weight"] @ torch.cat([left, right]) + parameters["hidden.bias"]) * keep
    a, b, c, z = (parameters["gates.weight"] @ hidden + parameters["gates.bias"]).split(len(left))
    mixed = left / (1 + torch.exp(-a)) + right / (1 + torch.exp(-b)) + z / (1 + torch.exp(-c))
    return layer_norm(mixed, cell.norm)


def score(scorer: nn.Module, left: Tensor, right: Tensor, width: int) -> Tensor:
    """The logit of one pair, by the first ``width`` features of its children."""
    parameters = dict(scorer.named_parameters())
    children = torch.cat([left[:width], right[:width]])
    return gelu(parameters["hidden.weight"] @ children + parameters["hidden.bias"]) @ parameters["score.weight"][0]


def leaf_transform(leaf: nn.Module, token: Tensor) -> Tensor:
    return layer_norm(leaf.project.weight @ token + leaf.project.bias, leaf.norm)


def of_parents(tree: nn.Module) -> bool:
    """Whether a tree's scorer reads parents: BT, not EBT."""
    return not hasattr(tree.scorer, "width")


def frontier_log_probabilities(tree: nn.Module, frontier: list[Tensor], parents: list[Tensor] | None = None) -> Tensor:
    """Of merging each pair; ``parents``, where they are scored, are by default composed without dropout."""
    if of_parents(tree):
        parents = parents or [compose(tree.cell, *pair) for pair in pairwise(frontier)]
        logits = torch.stack(parents) @ tree.scorer.score.weight[0]
    else:
        logits = torch.stack([score(tree.scorer, *pair, tree.scorer.width) for pair in pairwise(frontier)])
    return logits - logits.exp().sum().log()


def merged(tree: nn.Module, frontier: list[Tensor], at: int) -> list[Tensor]:
    return [*frontier[:at], compose(tree.cell, frontier[at], frontier[at + 1]), *frontier[at + 2 :]]


def merge_orders(
    tree: nn.Module, frontier: list[Tensor], total: Tensor | float = 0.0
) -> Iterator[tuple[Tensor, Tensor]]:
    """Every order of merging a frontier to its root: (log-probability, root)."""
    if len(frontier) == 1:
        yield torch.as_tensor(total, dtype=frontier[0].dtype), frontier[0]
    elif len(frontier) == 2:  # one choice: adds nothing
        yield from merge_orders(tree, merged(tree, frontier, 0), total)
    else:
        for at, log_probability in enumerate(frontier_log_probabilities(tree, frontier)):
            yield from merge_orders(tree, merged(tree, frontier, at), total + log_probability)


def expected_root(beams: list[tuple[Tensor, Tensor]]) -> Tensor:
    """``sum_b softmax(score)_b root_b`` over (score, root) pairs."""
    weights = torch.stack([total for total, _ in beams]).exp()
    return sum(weight * root for weight, (_, root) in zip(weights / weights.sum(), beams, strict=True))


def greedy(tree: nn.Module, leaves: list[Tensor]) -> Tensor:
    """A beam tree of width 1 without noise: merge the likeliest pair (the leftmost of equals) until one is left."""
    frontier = leaves
    while len(frontier) > 1:
        log_probabilities = frontier_log_probabilities(tree, frontier).tolist()
        frontier = merged(tree, frontier, log_probabilities.index(max(log_probabilities)))
    return frontier[0]


@dataclass
class Training:
    """What training adds to a search; noise is (beams, pairs) for a step, a mask (4 D,) for a step and the beam that
    composes, or position * W + beam where all pairs are composed to be scored."""

    pair_noise: Callable[[int, int, int], Tensor]
    candidate_noise: Callable[[int, int, int], Tensor]
    mask: Callable[[int, int], Tensor]


def beam_search(
    tree: nn.Module, beams: list[tuple[Tensor, list[Tensor]]], training: Training | None = None
) -> list[tuple[Tensor, Tensor]]:
    """Beam search from given (score, frontier) beams down to (score, root), best first by noiseless score."""
    composed: dict[tuple[int, int], Tensor] = {}  # by the identity of the children

    def best(candidates: list, count: int) -> list:
        return sorted(candidates, key=lambda candidate: -candidate[0])[:count]  # stable: ties to the earlier

    def parent(step: int, mask_index: int, left: Tensor, right: Tensor) -> Tensor:
        if (id(left), id(right)) not in composed:
            mask = training.mask(step, mask_index) if training else 1.0
            composed[id(left), id(right)] = compose(tree.cell, left, right, mask)
        return composed[id(left), id(right)]

    def merge(step: int, beam: int, frontier: list[Tensor], at: int) -> list[Tensor]:
        return [*frontier[:at], parent(step, beam, *frontier[at : at + 2]), *frontier[at + 2 :]]

    step = 0
    while len(beams[0][1]) > 2:
        size = len(beams), len(beams[0][1]) - 1
        pair_noise = training.pair_noise(step, *size) if training else torch.zeros(size)
        candidate_noise = training.candidate_noise(step, *size) if training else torch.zeros(size)
        candidates = []
        for b, (total, frontier) in enumerate(beams):
            parents = None
            if of_parents(tree):
                mask_indices = (at * tree.search.beam_size + b for at in range(size[1]))
                parents = [
                    parent(step, mask_index, *pair)
                    for mask_index, pair in zip(mask_indices, pairwise(frontier), strict=True)
                ]
            log_probabilities = frontier_log_probabilities(tree, frontier, parents)
            pairs = [((p + pair_noise[b, at]).item(), at) for at, p in enumerate(log_probabilities)]
            for at in sorted(at for _, at in best(pairs, tree.search.beam_size)):
                score_after = total + log_probabilities[at]
                candidates.append(((score_after + candidate_noise[b, at]).item(), score_after, frontier, at))
        kept = best(candidates, tree.search.beam_size)
        beams = [(total, merge(step, b, frontier, at)) for b, (_, total, frontier, at) in enumerate(kept)]
        step += 1
    if len(beams[0][1]) == 2:
        beams = [(total, merge(step, b, frontier, 0)) for b, (total, frontier) in enumerate(beams)]
    return [beam[1:] for beam in best([(total.item(), total, frontier[0]) for total, frontier in beams], len(beams))]


def systematic(scores: list[float], slots: int, temperature: float = 1.0) -> list[int]:
    """Slot 0 the best; slot j the beam at quantile (j - 1/2) / (W - 1)."""
    weights = [math.exp((value - scores[0]) / temperature) for value in scores]
    chosen = [0]
    for j in range(1, slots):
        quantile, beam, below = (j - 0.5) / (slots - 1), 0, weights[0] / sum(weights)
        while quantile >= below and beam < len(scores) - 1:
            beam += 1
            below += weights[beam] / sum(weights)
        chosen.append(beam)
    return chosen


def group(items: list, arity: int) -> list[list]:
    """A sequence's items cut into groups of k, or one group of all while there are fewer than k + k // 2."""
    if len(items) < arity + arity // 2:
        return [items]
    return [items[start : start + arity] for start in range(0, len(items), arity)]


def rir(leaves: list[Tensor], arity: int, fold: Fold) -> Tensor:
    """Recursion in recursion with an inner recursion that ends with a single root."""
    items = leaves
    while len(items) > 1:
        items = [fold(part) for part in group(items, arity)]
    return items[0]


def rir_beam(tree: nn.Module, leaves: list[Tensor], arity: int, alignment: str) -> list[tuple[Tensor, Tensor]]:
    """Recursion in recursion with a deterministic beam tree inside: (score, root) of each beam, best first."""
    items = [[(leaf.new_zeros(()), leaf)] for leaf in leaves]
    while len(items) > 1:
        folded = []
        for part in group(items, arity):
            slots = range(len(part[0]))
            beams = [(sum(item[b][0] for item in part), [item[b][1] for item in part]) for b in slots]
            folded.append(beam_search(tree, beams))
        if len(folded) > 1:
            folded = [[beams[slot] for slot in _align(beams, tree.search.beam_size, alignment)] for beams in folded]
        items = folded
    return items[0]


def _align(beams: list[tuple[Tensor, Tensor]], slots: int, alignment: str) -> list[int]:
    if alignment == "none":
        return [slot if slot < len(beams) else 0 for slot in range(slots)]
    return systematic([total.item() for total, _ in beams], slots)


def chain(cell: nn.Module, items: list[Tensor]) -> Tensor:
    state = torch.zeros_like(items[0])
    for item in items:
        state = compose(cell, state, item)
    return state


def balanced(cell: nn.Module, items: list[Tensor]) -> Tensor:
    while len(items) > 1:
        parents = [compose(cell, items[at], items[at + 1]) for at in range(0, len(items) - 1, 2)]
        items = parents + items[2 * len(parents) :]
    return items[0]


def state_space(ssm: nn.Module, channel: int, signal: list[float]) -> list[float]:
    """One channel of an S4D as a recurrence in complex128: x_t = Abar x_(t-1) + Bbar u_t, y_t = 2 Re(C x_t) + D u_t."""
    step = math.exp(ssm.log_step[channel].item())
    outputs = [ssm.skip[channel].item() * u for u in signal]
    for n in range(ssm.log_decay.shape[1]):
        a = complex(-math.exp(ssm.log_decay[channel, n].item()), ssm.frequency[channel, n].item())
        b, c = (complex(*pair[channel, n].tolist()) for pair in (ssm.b, ssm.c))
        a_bar, b_bar = (1 + step * a / 2) / (1 - step * a / 2), step * b / (1 - step * a / 2)
        x = 0j
        for t, u in enumerate(signal):
            x = a_bar * x + b_bar * u
            outputs[t] += 2 * (c * x).real
    return outputs


def padded(
    lengths: list[int], dim: int, *, extra: int = 0, dtype: torch.dtype = torch.float64, seed: int = 0
) -> Tensor:
    """Random states (B, longest + extra, dim) with NaN in the padding; a row depends on its place and length only."""
    states = torch.full((len(lengths), max(lengths) + extra, dim), torch.nan, dtype=dtype)
    for row, length in enumerate(lengths):
        generator = torch.Generator().manual_seed(seed + 1000 * row)
        states[row, :length] = torch.randn(length, dim, generator=generator, dtype=torch.float64).to(dtype)
    return states


def randomize(module: nn.Module, seed: int) -> nn.Module:
    """Fill every parameter with normal numbers, so that none is at a special value; return the module."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator, dtype=torch.float64) * 0.5)
    return module


def assert_same_gradients(module: nn.Module, one: Tensor, other: Tensor, *, tolerance: float = 1e-9) -> None:
    """Check that two scalars have the same gradient at every parameter of a module (no gradient is a zero one)."""
    parameters = dict(module.named_parameters())
    gradients = [
        torch.autograd.grad(value, list(parameters.values()), materialize_grads=True, allow_unused=True)
        if value.requires_grad
        else [torch.zeros_like(parameter) for parameter in parameters.values()]
        for value in (one, other)
    ]
    for name, first, second in zip(parameters, *gradients, strict=True):
        torch.testing.assert_close(
            first, second, atol=tolerance, rtol=tolerance, msg=lambda text, name=name: f"{name}: {text}"
        )

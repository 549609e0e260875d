"""Every encoder, used as PyTorch's own modules are used: what works gives right numbers, what does not says so."""

from __future__ import annotations

import copy
import io
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor
from torch.func import functional_call, grad, vmap
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.parallel import DistributedDataParallel
from torch.nn.utils.rnn import pack_padded_sequence
from torch.optim.swa_utils import update_bn
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_flatten
from torch.utils.checkpoint import checkpoint

import nestree
from nestree.layers import CELLS, Cell, GatedRecursiveCell
from nestree.recursions import KeyedDraws, draws
from nestree.recursions.beam.engine.derivatives import NoSuchDerivative
from nestree.recursions.beam.engine.saved import flatten_tensors
from nestree.trees.fixed import balanced
from support.reference import padded, randomize

DIM = 6
LENGTHS = [9, 4, 1]
EVERY = pytest.mark.parametrize("name", nestree.ENCODERS)
SMALL = {"dim": DIM, "arity": 3, "beam_size": 2, "scorer_width": 3, "layers": 2, "heads": 2}
BEAMS = [name for name, options in nestree.ENCODERS.items() if "engine" in options.__dataclass_fields__]
GREEDY = ["gt-grc", "egt-grc"]
"""Their gradient is a straight-through one, by the engine alone."""
WITH_CELLS = [name for name, options in nestree.ENCODERS.items() if "cell" in options.__dataclass_fields__]
FIRST_FORWARD_MODE = pytest.mark.filterwarnings("ignore:`torch.jit.script` is deprecated:DeprecationWarning")
"""PyTorch warns of itself when forward-mode differentiation is first used."""
pytestmark = pytest.mark.usefixtures("unchecked_shapes")


def build(name: str, **options: object) -> nestree.Encoder:
    """A small encoder in float64, in training, without dropout."""
    chosen = SMALL | {"dropout": 0.0, "s4d_dropout": 0.0, "memory_dropout": 0.0} | options
    known = nestree.ENCODERS[name].__dataclass_fields__
    torch.manual_seed(1)
    return nestree.build(name, **{key: value for key, value in chosen.items() if key in known}).double()


def states_of(lengths: list[int] = LENGTHS) -> Tensor:
    return padded(lengths, DIM).nan_to_num(0.0)


def encode(encoder: nn.Module, states: Tensor, lengths: object = LENGTHS) -> Tensor:
    return encoder(states, lengths, draws=KeyedDraws(1)).root


# --- derivatives


@EVERY
def test_functional_call_differentiates_the_parameters_that_it_is_given(name: str) -> None:
    encoder = build(name)
    states, other = states_of(), randomize(copy.deepcopy(encoder), 5)
    expected = torch.autograd.grad(encode(other, states).square().sum(), list(other.parameters()), allow_unused=True)
    given = {key: value.detach().clone().requires_grad_() for key, value in other.named_parameters()}
    given |= dict(other.named_buffers())
    root = functional_call(encoder, given, (states, LENGTHS), {"draws": KeyedDraws(1)}).root
    wanted = [given[key] for key, _ in encoder.named_parameters()]
    found = torch.autograd.grad(root.square().sum(), wanted, allow_unused=True)  # outside of the call
    for one, theirs in zip(found, expected, strict=True):
        torch.testing.assert_close(one, theirs)


@EVERY
def test_a_weight_changed_between_forward_and_backward_is_pytorchs_own_error(name: str) -> None:
    encoder = build(name)
    root = encode(encoder, states_of().requires_grad_())
    with torch.no_grad():
        for parameter in encoder.parameters():
            parameter.mul_(1.5)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        root.square().sum().backward()


@pytest.fixture
def differentiable_attention() -> Iterator[None]:
    """PyTorch's fused attention has no second derivatives; its plain one has."""
    with sdpa_kernel(SDPBackend.MATH):
        yield


@EVERY
@pytest.mark.usefixtures("differentiable_attention")
def test_second_derivatives_are_right_or_refused_by_name(name: str) -> None:
    engine = {"engine": "naive"} if name in BEAMS else {}
    encoder, states = build(name, **engine), states_of()
    direction = torch.randn(states.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)

    def slope(encoder: nestree.Encoder, states: Tensor) -> Tensor:
        root = encode(encoder, states)
        (gradient,) = torch.autograd.grad(root.square().sum(), states, create_graph=True)
        return (gradient * direction).sum()

    if name in GREEDY:
        with pytest.raises(NoSuchDerivative, match="straight-through"):
            slope(encoder, states.requires_grad_()).backward()
        return
    at = states.clone().requires_grad_()
    (found,) = torch.autograd.grad(slope(encoder, at), at)
    step = 1e-6
    ahead, behind = (slope(encoder, (states + sign * step * direction).requires_grad_()) for sign in (1, -1))
    expected = (ahead - behind).item() / (2 * step)
    assert (found * direction).sum().item() == pytest.approx(expected, rel=1e-3, abs=1e-5)
    if name in BEAMS:
        with pytest.raises(NoSuchDerivative, match='use engine="naive"'):
            slope(build(name), states.requires_grad_()).backward()


@EVERY
@pytest.mark.usefixtures("differentiable_attention")
@FIRST_FORWARD_MODE
def test_transforms_of_functions_are_right_or_refused_by_name(name: str) -> None:
    encoder, states = build(name).train(name != "s4d"), states_of()  # batch norm in training cannot be transformed
    if name in [*BEAMS, *GREEDY]:
        with pytest.raises(NoSuchDerivative):
            grad(lambda inputs: encode(encoder, inputs).square().sum())(states)
        with pytest.raises(NoSuchDerivative), torch.autograd.forward_ad.dual_level():
            encode(encoder, torch.autograd.forward_ad.make_dual(states, states))
        return
    if name == "bilstm":
        with pytest.raises(RuntimeError, match="storage"):  # PyTorch's own: its packed LSTM cannot be transformed
            grad(lambda inputs: encode(encoder, inputs).square().sum())(states)
        return
    at = states.clone().requires_grad_()
    (expected,) = torch.autograd.grad(encode(encoder, at).square().sum(), at)
    torch.testing.assert_close(grad(lambda inputs: encode(encoder, inputs).square().sum())(states), expected)


@pytest.mark.parametrize("name", ["grc", "bbt-grc", "s4d", "transformer", "rir-grc"])
@pytest.mark.usefixtures("differentiable_attention")
@FIRST_FORWARD_MODE
def test_encoders_without_decisions_are_mapped_and_have_forward_derivatives(name: str) -> None:
    encoder = build(name).eval()
    states = torch.randn(4, 1, 5, DIM, dtype=torch.float64)
    mapped = vmap(lambda inputs: encoder(inputs, [5]).root)(states)
    torch.testing.assert_close(mapped, torch.stack([encoder(inputs, [5]).root for inputs in states]))
    _, along = torch.func.jvp(lambda inputs: encoder(inputs, [5]).root.sum(), (states[0],), (states[1],))
    at = states[0].clone().requires_grad_()
    (gradient,) = torch.autograd.grad(encoder(at, [5]).root.sum(), at)
    torch.testing.assert_close(along, (gradient * states[1]).sum())


# --- parts


@pytest.mark.parametrize("name", WITH_CELLS)
@pytest.mark.parametrize("cell", CELLS)
def test_every_cell_trains_in_every_encoder_that_has_one(name: str, cell: str) -> None:
    encoder = build(name, cell=cell, dropout=0.2)
    assert type(encoder.inner.cell) is CELLS[cell]
    encode(encoder, states_of()).square().sum().backward()
    for key, parameter in encoder.inner.cell.named_parameters():
        assert bool(parameter.grad.ne(0).any()), key


class Halved(GatedRecursiveCell):
    def forward(self, left: Tensor, right: Tensor, keep: Tensor | None = None) -> Tensor:
        return super().forward(left, right, keep) / 2


@pytest.mark.parametrize("name", WITH_CELLS)
def test_a_cell_of_ones_own_takes_effect(name: str) -> None:
    encoder, other = build(name), build(name, cell=Halved(DIM, dropout=0.0))
    other.load_state_dict(encoder.state_dict(), strict=False)
    assert not torch.allclose(encode(encoder, states_of())[:2], encode(other, states_of())[:2])
    encoder.inner.cell.register_forward_hook(lambda module, inputs, output: output / 2)
    torch.testing.assert_close(encode(encoder, states_of()), encode(other, states_of()))


def test_a_cell_is_named_or_given() -> None:
    assert type(build("ebt-grc", cell="nestree.layers.cells:BilinearCell").inner.cell) is CELLS["bilinear"]
    for cell in ("gru", 3, "nestree.layers:Nothing", "no.such.module:Cell", GatedRecursiveCell(DIM + 1)):
        with pytest.raises(ValueError, match=r"^cell must be"):
            build("ebt-grc", cell=cell)


# --- wrappers


@EVERY
def test_wrappers_see_the_tensors_of_a_result(name: str) -> None:
    encoding = build(name)(states_of(), LENGTHS)
    leaves, structure = tree_flatten(encoding)
    assert leaves[0] is encoding.root
    assert structure.unflatten(leaves).root is encoding.root


@EVERY
def test_a_reentrant_checkpoint_gives_the_same_gradients(name: str) -> None:
    found = []
    for again in (None, True, False):
        encoder, states = build(name), states_of().requires_grad_()

        def run(states: Tensor, encoder: nestree.Encoder = encoder) -> Any:
            return encoder(states, LENGTHS, draws=KeyedDraws(1))

        root = (run(states) if again is None else checkpoint(run, states, use_reentrant=again))[0]
        root.square().sum().backward()
        found.append([states.grad, *(parameter.grad for parameter in encoder.parameters())])
    for gradients in found[1:]:
        for one, other in zip(gradients, found[0], strict=True):
            torch.testing.assert_close(one, other)


@pytest.fixture(scope="module")
def one_process(tmp_path_factory: pytest.TempPathFactory) -> Any:
    store = tmp_path_factory.mktemp("group") / "store"
    torch.distributed.init_process_group("gloo", init_method=f"file://{store}", rank=0, world_size=1)
    yield
    torch.distributed.destroy_process_group()


@EVERY
@pytest.mark.usefixtures("one_process")
@pytest.mark.parametrize("lengths", [LENGTHS, [2, 1], [1]], ids=str)
@pytest.mark.parametrize("static", [True, False], ids=["static graph", "dynamic graph"])
def test_distributed_data_parallel_gives_the_same_gradients(name: str, lengths: list[int], static: bool) -> None:
    plain, wrapped = build(name), build(name)
    model = DistributedDataParallel(wrapped, static_graph=static)
    for _ in range(3):
        for module in (plain, model):
            module.zero_grad()
            encode(module, states_of(lengths), lengths).square().sum().backward()
    for one, other in zip(plain.parameters(), wrapped.parameters(), strict=True):
        torch.testing.assert_close(one.grad, other.grad)


@EVERY
@pytest.mark.usefixtures("one_process")
def test_a_sharded_encoder_gives_the_same_gradients(name: str) -> None:
    plain, sharded = build(name), build(name)
    fully_shard(sharded, mesh=init_device_mesh("cpu", (1,)))
    for module in (plain, sharded):
        encode(module, states_of()).square().sum().backward()
    for one, other in zip(plain.parameters(), sharded.parameters(), strict=True):
        assert isinstance(other.grad, DTensor)
        torch.testing.assert_close(one.grad, other.grad.full_tensor())


@pytest.mark.usefixtures("one_process")
def test_parts_that_are_sharded_on_their_own_are_refused() -> None:
    encoder = build("rir-ebt-grc")
    fully_shard(encoder.inner.cell, mesh=init_device_mesh("cpu", (1,)))
    with pytest.raises(RuntimeError, match=r"an encoder must be sharded as a whole: fully_shard\(encoder\)"):
        encode(encoder, states_of())


@EVERY
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore:torch.quantize_per_tensor:UserWarning")
def test_quantized_layers_take_effect(name: str) -> None:
    """Eight bits move the root a little: by something, and not by much."""
    encoder = build(name, dim=16, heads=2, scorer_width=8).float().eval()
    states = torch.randn(3, 9, 16, generator=torch.Generator().manual_seed(1))
    layers = {nn.Linear, nn.LSTM}
    quantized = torch.ao.quantization.quantize_dynamic(copy.deepcopy(encoder), layers, dtype=torch.qint8)
    kinds = {type(part).__module__ for part in quantized.modules()}
    assert any("quantized" in kind for kind in kinds)
    with torch.no_grad():
        moved = (encode(quantized, states) - encode(encoder, states)).abs().max()
    assert 0 < moved < 0.5


@EVERY
def test_a_scaled_loss_gives_the_same_step(name: str) -> None:
    weights = []
    for scaler in (torch.amp.GradScaler("cpu", enabled=False), torch.amp.GradScaler("cpu", init_scale=1024.0)):
        encoder = build(name)
        optimizer = torch.optim.SGD(encoder.parameters(), lr=0.1)
        scaler.scale(encode(encoder, states_of()).square().sum()).backward()
        scaler.step(optimizer)
        scaler.update()
        weights.append([parameter.detach().clone() for parameter in encoder.parameters()])
    for one, other in zip(*weights, strict=True):
        torch.testing.assert_close(one, other)
    assert any(not torch.equal(one, start) for one, start in zip(weights[0], build(name).parameters(), strict=True))


@EVERY
@pytest.mark.parametrize("lengths", [[1], [2], [2, 1, 1]], ids=str)
def test_short_rows_alone_give_zeros_instead_of_no_gradient(name: str, lengths: list[int]) -> None:
    encoder = build(name)
    encode(encoder, states_of(lengths), lengths).sum().backward()
    assert all(parameter.grad is not None for parameter in encoder.parameters())


@EVERY
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_traces_and_exports_are_refused(name: str) -> None:
    encoder = build(name).eval()
    with pytest.raises(RuntimeError, match="an encoder cannot be traced"):
        torch.jit.trace(lambda states: encoder(states, LENGTHS).root, states_of(), check_trace=False)
    with pytest.raises(RuntimeError, match="an encoder cannot be traced"):
        torch.onnx.export(encoder, (states_of(), torch.tensor(LENGTHS)), io.BytesIO(), dynamo=False)


COMPILED = """
import torch, nestree
from torch._dynamo.testing import CompileCounter
class Model(torch.nn.Module):
    def __init__(self, name, options):
        super().__init__()
        self.before, self.behind = torch.nn.Linear(6, 6), torch.nn.Linear(6, 2)
        self.encoder = nestree.build(name, **options)
    def forward(self, states, lengths):
        return self.behind(self.encoder(torch.relu(self.before(states)), lengths).root)
states, lengths = torch.randn(3, 9, 6), torch.tensor([9, 4, 1])
for name, options in CASES:
    torch._dynamo.reset()
    model, counter = Model(name, options).eval(), CompileCounter()
    compiled = torch.compile(model, backend=counter)
    torch.testing.assert_close(compiled(states, lengths), model(states, lengths))
    compiled(states, lengths).sum().backward()
    assert counter.frame_count == 2, (name, counter.frame_count)
    try:
        torch.export.export(model, (states, lengths))
    except Exception as error:
        assert "an encoder cannot be exported" in str(error), error
    else:
        raise AssertionError(name)
"""


def test_compiling_breaks_the_graph_at_an_encoder_and_compiles_the_rest() -> None:
    """What is before and what is behind: two graphs, whatever the encoder does in between."""
    cases = []
    for name, kind in nestree.ENCODERS.items():
        cases.append((name, {key: value for key, value in SMALL.items() if key in kind.__dataclass_fields__}))
    code = COMPILED.replace("CASES", repr(cases))
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


# --- numbers


@pytest.mark.parametrize(
    ("name", "engine"), [*((name, "fast") for name in nestree.ENCODERS), *((name, "naive") for name in BEAMS)]
)
def test_it_trains_under_autocast_and_the_root_is_in_float32(name: str, engine: str) -> None:
    encoder, states = build(name, engine=engine).float(), states_of().float().requires_grad_()
    full = encode(encoder, states)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        root = encode(encoder, states)
    assert root.dtype == torch.float32
    root.square().sum().backward()
    for parameter in (states, *encoder.parameters()):
        assert parameter.grad.dtype == torch.float32
        assert bool(parameter.grad.isfinite().all())
    assert (root - full).abs().max() < 1  # another tree at the worst


@EVERY
def test_modules_begin_anew_by_reset_parameters(name: str) -> None:
    """As FSDP and others do it: on the meta device, then with room, then module by module."""
    torch.manual_seed(2)
    encoder = build(name).to(torch.float32)
    moments = {
        key: (value.mean().item(), value.std().item())
        for key, value in encoder.named_parameters()
        if value.numel() > 100
    }
    encoder = encoder.to("meta").to_empty(device="cpu")
    with torch.no_grad():
        for tensor in (*encoder.parameters(), *encoder.buffers()):
            tensor.fill_(77)
    for part in encoder.modules():
        for method in ("reset_parameters", "_reset_parameters"):
            if hasattr(part, method):
                getattr(part, method)()
    for key, value in encoder.named_parameters():
        assert not bool((value == 77).any()), key
        if key in moments:
            mean, spread = moments[key]
            assert value.mean().item() == pytest.approx(mean, abs=spread + 1e-4)
            assert value.std().item() == pytest.approx(spread, rel=0.5, abs=1e-4)


def test_zero_stays_zero_when_an_s4d_layer_begins_anew() -> None:
    encoder = build("rir-grc", s4d_zero_init=True)
    for part in encoder.modules():
        if hasattr(part, "reset_parameters"):
            part.reset_parameters()
    assert not bool(encoder.context.mix.weight.any())


def test_batch_statistics_are_those_of_torch_nn() -> None:
    encoder = build("s4d")
    data = [torch.randn(2, 5, DIM, dtype=torch.float64) + number for number in range(3)]
    seen: list[Tensor] = []
    encoder.layers[0].norm.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]))
    update_bn(data, encoder)
    expected = torch.stack([inputs.mean(0) for inputs in seen]).mean(0)
    torch.testing.assert_close(encoder.layers[0].norm.running_mean, expected)
    converted = nn.SyncBatchNorm.convert_sync_batchnorm(copy.deepcopy(encoder)).eval()
    assert isinstance(converted.layers[0].norm, nn.SyncBatchNorm)
    torch.testing.assert_close(converted(data[0]).root, encoder.eval()(data[0]).root)


class NoFloat64(TorchFunctionMode):
    """A device without float64, as Apple's MPS is."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        assert not (isinstance(result, Tensor) and result.dtype == torch.float64 and result.ndim > 0), func
        return result


ALIGNED = [("rir-ebt-grc", alignment) for alignment in ("systematic", "random")]


@pytest.mark.parametrize(("name", "alignment"), [*((name, "sampled") for name in nestree.ENCODERS), *ALIGNED])
def test_nothing_is_made_float64_where_there_is_none(
    name: str, alignment: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(draws, "NO_FLOAT64", ("mps", "cpu"))
    encoder, states = build(name, alignment=alignment, engine="torch", dropout=0.1).float(), states_of().float()
    with NoFloat64():
        encoder(states, torch.tensor(LENGTHS)).root.sum().backward()
        encoder(states, torch.tensor(LENGTHS), draws=KeyedDraws(1)).root.sum().backward()
        encoder.eval()(states, torch.tensor(LENGTHS))


# --- tokens, scores and given trees

GIVEN = [balanced(length) for length in LENGTHS]
SEARCHED = ["rir-ebt-grc", "ebt-grc", "bt-grc"]
SCORED = ["rir-ebt-grc", "ebt-grc", "egt-grc"]
"""Those with a scorer of pairs."""
ALONG = [name for name in WITH_CELLS if not name.endswith(("om", "crvnn"))]
ASKED: dict[str, tuple[str, dict[str, Any]]] = {
    **{f"{name}, tokens": (name, {"tokens": True}) for name in [*SEARCHED, "transformer", "s4d"]},
    **{f"{name}, scores": (name, {"scores": True, "nodes": True}) for name in SEARCHED},
    "ebt-grc, together": ("ebt-grc", {"together": [[(2, 5)], [], []], "tokens": True, "scores": True}),
    **{f"{name}, along": (name, {"along": GIVEN, "nodes": True}) for name in ALONG},
    **{f"{name}, scores along": (name, {"along": GIVEN, "scores": True}) for name in SCORED},
    **{f"{name}, tokens along": (name, {"along": GIVEN, "tokens": True}) for name in SEARCHED},
}
EVERY_ASKED = pytest.mark.parametrize("asked", ASKED)


def build_asked(asked: str, **options: object) -> nestree.Encoder:
    name, wanted = ASKED[asked]
    return build(name, token_rounds=2 if "tokens" in wanted else 0, **options)


def everything(encoder: nn.Module, states: Tensor, asked: str, **others: Any) -> Tensor:
    """All numbers that an encoder returns, one after the other."""
    return flat(encoder(states, LENGTHS, draws=KeyedDraws(1), **ASKED[asked][1], **others))


def flat(found: nestree.Encoding) -> Tensor:
    scores = found.scores
    if scores is not None and scores.shape[1] > 1:  # beams share an offset that means nothing
        scores = found.log_probabilities().masked_fill(scores == -torch.inf, 0)
    nodes = [state for own in found.nodes or () for state in own.values()]
    parts = [part for part in (found.root, found.tokens, scores, *nodes) if part is not None]
    return torch.cat([part.flatten() for part in parts])


@EVERY_ASKED
def test_functional_call_is_exact_for_whatever_is_asked(asked: str) -> None:
    encoder = build_asked(asked)
    states, other = states_of(), randomize(copy.deepcopy(encoder), 5)
    expected = torch.autograd.grad(
        everything(other, states, asked).square().sum(), list(other.parameters()), allow_unused=True
    )
    given = {key: value.detach().clone().requires_grad_() for key, value in other.named_parameters()}
    given |= dict(other.named_buffers())
    keywords = {"draws": KeyedDraws(1), **ASKED[asked][1]}
    found = flat(functional_call(encoder, given, (states, LENGTHS), keywords))
    wanted = [given[key] for key, _ in encoder.named_parameters()]
    gradients = torch.autograd.grad(found.square().sum(), wanted, allow_unused=True)  # outside of the call
    for one, theirs in zip(gradients, expected, strict=True):
        torch.testing.assert_close(one, theirs)


@EVERY_ASKED
def test_a_changed_weight_is_pytorchs_own_error_for_whatever_is_asked(asked: str) -> None:
    encoder = build_asked(asked)
    found = everything(encoder, states_of().requires_grad_(), asked)
    with torch.no_grad():
        for parameter in encoder.parameters():
            parameter.mul_(1.5)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        found.square().sum().backward()


@pytest.mark.parametrize("asked", [asked for asked, (name, _) in ASKED.items() if name in SEARCHED])
def test_the_cells_and_the_scorers_changed_weights_are_noticed(asked: str) -> None:
    """Those that the engine reads, not only those of layers around it."""
    for part in ("cell", "scorer"):
        if part == "scorer" and "along" in ASKED[asked][1] and "scores" not in ASKED[asked][1]:
            continue
        encoder = build_asked(asked)
        found = everything(encoder, states_of().requires_grad_(), asked)
        with torch.no_grad():
            for parameter in getattr(encoder.inner, part).parameters():
                parameter.mul_(1.5)
        with pytest.raises(RuntimeError, match="modified by an inplace operation"):
            found.square().sum().backward()


@EVERY_ASKED
@pytest.mark.usefixtures("differentiable_attention")
def test_second_derivatives_are_right_or_refused_for_whatever_is_asked(asked: str) -> None:
    name = ASKED[asked][0]
    encoder, states = build_asked(asked, **({"engine": "naive"} if name in BEAMS else {})), states_of()
    direction = torch.randn(states.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)

    def slope(encoder: nestree.Encoder, states: Tensor) -> Tensor:
        (gradient,) = torch.autograd.grad(everything(encoder, states, asked).square().sum(), states, create_graph=True)
        return (gradient * direction).sum()

    at = states.clone().requires_grad_()
    (found,) = torch.autograd.grad(slope(encoder, at), at)
    step = 1e-6
    ahead, behind = (slope(encoder, (states + sign * step * direction).requires_grad_()) for sign in (1, -1))
    expected = (ahead - behind).item() / (2 * step)
    assert (found * direction).sum().item() == pytest.approx(expected, rel=1e-3, abs=1e-5)
    if name in BEAMS:
        with pytest.raises(NoSuchDerivative, match='use engine="naive"'):
            slope(build_asked(asked), states.requires_grad_()).backward()


@pytest.mark.parametrize("asked", [asked for asked, (name, _) in ASKED.items() if name in SEARCHED])
@pytest.mark.parametrize("engine", ["fast", "torch"])
def test_nothing_of_a_search_is_kept_after_backward_whatever_is_asked(asked: str, engine: str) -> None:
    found = everything(build_asked(asked, engine=engine), states_of(), asked)
    nodes, waiting = set(), [found.grad_fn]
    while waiting:
        node = waiting.pop()
        if node is not None and node not in nodes:
            nodes.add(node)
            waiting.extend(other for other, _ in node.next_functions)
    recorded = [node for node in nodes if node.name().startswith("Replay")]
    assert len(recorded) == 1
    found.sum().backward()
    assert flatten_tensors(recorded[0].result, [])[1] == []  # pyright: ignore[reportAttributeAccessIssue]


@pytest.mark.parametrize("asked", [asked for asked, (name, _) in ASKED.items() if name in BEAMS])
def test_transforms_are_refused_for_whatever_is_asked(asked: str) -> None:
    encoder = build_asked(asked)
    with pytest.raises(NoSuchDerivative):
        grad(lambda inputs: everything(encoder, inputs, asked).square().sum())(states_of())


@EVERY_ASKED
@pytest.mark.parametrize("engine", ["fast", "torch", "naive"])
def test_it_trains_under_autocast_whatever_is_asked(asked: str, engine: str) -> None:
    if engine != "fast" and ASKED[asked][0] not in BEAMS:
        return
    encoder, states = build_asked(asked, engine=engine).float(), states_of().float().requires_grad_()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = encoder(states, LENGTHS, draws=KeyedDraws(1), **ASKED[asked][1])
    for tensor in (found.root, found.tokens, found.scores, *(own[0, 1] for own in found.nodes or ())):
        assert tensor is None or tensor.dtype == torch.float32
    flat(found).square().sum().backward()
    for key, parameter in (("states", states), *encoder.named_parameters()):
        if parameter.grad is not None:
            assert parameter.grad.dtype == torch.float32, key
            assert bool(parameter.grad.isfinite().all()), key


@EVERY_ASKED
@pytest.mark.parametrize("lengths", [[1], [2, 1]], ids=str)
def test_short_rows_give_zeros_from_tokens_and_scores_alone(asked: str, lengths: list[int]) -> None:
    wanted = dict(ASKED[asked][1])
    if "along" in wanted:
        wanted["along"] = [balanced(length) for length in lengths]
    if "together" in wanted:
        wanted["together"] = [[] for _ in lengths]
    for part in ("root", "tokens", "scores"):
        encoder = build_asked(asked)
        tensor = getattr(encoder(states_of(lengths), lengths, **wanted), part)
        if tensor is not None:
            tensor.masked_fill(tensor == -torch.inf, 0).sum().backward()
            assert all(parameter.grad is not None for parameter in encoder.parameters()), part


@EVERY_ASKED
def test_the_forms_of_lengths_do_for_whatever_is_asked(asked: str) -> None:
    encoder, states = build_asked(asked).eval(), states_of()
    expected, wanted = everything(encoder, states, asked), ASKED[asked][1]
    mask = torch.arange(9) < torch.tensor(LENGTHS)[:, None]
    packed = pack_padded_sequence(states, LENGTHS, batch_first=True)
    for found in (encoder(states, mask=mask, **wanted), encoder(packed, **wanted)):
        torch.testing.assert_close(flat(found), expected)
    with pytest.raises(ValueError, match="states must be"):
        encoder(states.float(), LENGTHS, **wanted)


# --- arguments


@EVERY
def test_lengths_may_come_in_any_plain_form(name: str) -> None:
    encoder, states = build(name).eval(), states_of()
    expected = encoder(states, torch.tensor(LENGTHS)).root
    mask = torch.arange(9) < torch.tensor(LENGTHS)[:, None]
    rows = [row[:length] for row, length in zip(states, LENGTHS, strict=True)]
    roots = {
        "list": encoder(states, LENGTHS).root,
        "tuple": encoder(states, tuple(LENGTHS)).root,
        "array": encoder(states, np.array(LENGTHS)).root,
        "mask": encoder(states, mask=mask).root,
        "attention mask": encoder(states, mask=mask.long()).root,
        "packed": encoder(pack_padded_sequence(states, LENGTHS, batch_first=True)).root,
        "nested": encoder(torch.nested.nested_tensor(rows, layout=torch.jagged)).root,
    }
    for form, root in roots.items():
        torch.testing.assert_close(root, expected, msg=form)
    torch.testing.assert_close(encoder(states[:1]).root, encoder(states[:1], [9]).root)


def test_nested_states_have_gradients() -> None:
    encoder, rows = build("grc"), [torch.randn(length, DIM, dtype=torch.float64) for length in (4, 2)]
    nested = torch.nested.nested_tensor(rows, layout=torch.jagged, requires_grad=True)
    encoder(nested).root.sum().backward()
    assert nested.grad is not None


@EVERY
def test_a_generator_will_do_for_draws(name: str) -> None:
    roots = []
    for seed in (3, 3, 4):
        encoder = build(name, dropout=0.0)
        roots.append(encoder(states_of(), LENGTHS, draws=torch.Generator().manual_seed(seed)).root)
    assert torch.equal(roots[0], roots[1])


MASK = torch.tensor([[True, False, True], [True, True, True]])
WRONG: dict[str, tuple[str, dict[str, Any]]] = {
    "infinite": (
        r"states\[1, 0\] has an infinite number at a real position",
        {"states": torch.tensor([[0.0], [torch.inf]]).expand(2, DIM)[:, None].double(), "lengths": [1, 1]},
    ),
    "NaN": (r"states\[0, 0\] has a NaN", {"states": torch.full((1, 1, DIM), torch.nan).double(), "lengths": [1]}),
    "dtype": (
        r"states must be torch\.float64, as the encoder's",
        {"states": torch.zeros(2, 3, DIM), "lengths": [3, 2]},
    ),
    "no tensor": (r"states must be a tensor or a PackedSequence, not list", {"states": [[0.0]], "lengths": [1]}),
    "float lengths": (r"lengths must be integers", {"lengths": [3.0, 2.0]}),
    "words": (r"lengths must be integers", {"lengths": ["three", "two"]}),
    "too many": (r"lengths must have the shape \(2,\)", {"lengths": [3, 2, 1]}),
    "ragged": (r"lengths must be integers", {"lengths": [[3], [2, 1]]}),
    "mask and lengths": (r"mask must be left out", {"lengths": [3, 2], "mask": MASK}),
    "holes": (r"mask must be true at the first positions", {"mask": MASK}),
    "left padding": (r"mask must be true at the first positions", {"mask": MASK[[1, 0]].logical_not()}),
    "wide mask": (r"mask must have the shape \(2, 3\), not \(2, 4\)", {"mask": torch.ones(2, 4)}),
    "draws": (r"draws must be Draws or a torch\.Generator, not int", {"lengths": [3, 2], "draws": 7}),
}


@EVERY
@pytest.mark.parametrize("wrong", WRONG)
def test_what_does_not_fit_is_named(name: str, wrong: str) -> None:
    message, arguments = WRONG[wrong]
    with pytest.raises(ValueError, match=f"^{message}"):
        build(name)(**{"states": torch.zeros(2, 3, DIM, dtype=torch.float64), **arguments})


@pytest.mark.parametrize(
    ("tokens", "message"),
    [
        (torch.tensor([[1, 9]]), r"tokens\[0, 1\] must be from 0 to 8, a token of the vocabulary, not 9"),
        (torch.tensor([[1, -1]]), r"tokens\[0, 1\] must be from 0 to 8, a token of the vocabulary, not -1"),
        (torch.tensor([[1.0, 2.5]]), r"tokens must be integers, not torch\.float32"),
        (torch.tensor([[True, False]]), r"tokens must be integers, not torch\.bool"),
        (torch.tensor([1, 2]), r"tokens must have the shape \(batch, length\), not \(2,\)"),
    ],
)
def test_token_numbers_are_checked(tokens: Tensor, message: str) -> None:
    model = nestree.Classifier(nestree.build("grc", dim=DIM), vocabulary_size=9, classes=2)
    with pytest.raises(ValueError, match=f"^{message}"):
        model(tokens, torch.tensor([2]))


@pytest.mark.parametrize(
    ("name", "path", "value", "message"),
    [
        ("rir-grc", "inference", "flatt", "inference must be one of grouped, flat, not 'flatt'"),
        ("rir-grc", "training_flat", 2, "training_flat must be a number from 0 to 1"),
        ("rir-grc", "training_arities", (9, 3), "training_arities must be two integers"),
        ("egt-grc", "inner.temperature", 0, "temperature must be a number above 0"),
        ("grc", "inner.cell.dropout", 1.5, "dropout must be a number of at least 0 and below 1"),
        ("om", "inner.memory_dropout", -1, "memory_dropout must be"),
        ("crvnn", "inner.threshold", 1, "threshold must be"),
    ],
)
def test_a_wrong_value_is_refused_when_it_is_set_later(name: str, path: str, value: object, message: str) -> None:
    encoder = build(name)
    owner, _, attribute = path.rpartition(".")
    with pytest.raises(ValueError, match=f"^{message}"):
        setattr(encoder.get_submodule(owner), attribute, value)


@pytest.mark.parametrize(("option", "value"), [("s4d", "no"), ("noise", 1), ("merge_equal", "false")])
def test_options_that_are_true_or_false_take_nothing_else(option: str, value: object) -> None:
    with pytest.raises(ValueError, match=rf"^{option} must be true or false, not {value!r}$"):
        nestree.build("rir-ebt-grc", **{option: value})


def test_every_cell_is_one() -> None:
    assert all(issubclass(kind, Cell) for kind in CELLS.values())

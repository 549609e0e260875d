"""A pretrained language model as the embedding: its tokens, its windows, and runs that read through it."""

from __future__ import annotations

import copy
import importlib
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

import nestree
from nestree.cli.main import main
from nestree.config.options import OptimizerOptions
from nestree.data.language_model import ModelTokens
from nestree.errors import UserError
from nestree.layers.language_model import LanguageModel, spans_of
from nestree.models import Classifier, ClassifierOptions
from nestree.runs import Run
from nestree.training.optimizers import build_optimizer
from support.language_models import POSITIONS, tiny_bert

pytest.importorskip("transformers")
LONG = "the film was good and the film was warmer and a bad film was cold"


@pytest.fixture(scope="module")
def bert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_bert(tmp_path_factory.mktemp("model") / "bert")


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path_factory: pytest.TempPathFactory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NESTREE_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)


def padded(tokens: ModelTokens, *texts: str) -> tuple[torch.Tensor, torch.Tensor]:
    rows = [torch.from_numpy(tokens.encode(text).astype(np.int64)) for text in texts]
    return torch.nn.utils.rnn.pad_sequence(rows, batch_first=True), torch.tensor([len(row) for row in rows])


def classifier(bert: Path, *, trained: bool = False, encoder: str = "s4d", **options: object) -> Classifier:
    tokens = ModelTokens.open(str(bert))
    torch.manual_seed(2)
    return Classifier(
        nestree.build(encoder, {"dim": 6} | options),
        vocabulary_size=len(tokens),
        classes=2,
        options=ClassifierOptions(head_hidden=None),
        features=LanguageModel(tokens, trained=trained),
    )


# --- tokens


def test_tokens_are_the_models_own_without_its_special_ones(bert: Path) -> None:
    tokens = ModelTokens.open(str(bert))
    ids = tokens.encode("The film was WARMER, zebra")
    own = tokens.tokenizer("The film was WARMER, zebra", add_special_tokens=False)["input_ids"]
    assert ids.tolist() == [number + 1 for number in own]
    assert tokens.words(ids) == ["the", "film", "was", "warm", "##er", "[UNK]", "[UNK]"]
    assert tokens.frame() == ([2], [3])
    assert len(tokens) == 16
    assert tokens.encode(LONG, 3).tolist() == tokens.encode(LONG)[:3].tolist()
    for empty in ("", "  ", "\ud800"):
        assert tokens.words(tokens.encode(empty)) == ["[UNK]"]


@pytest.mark.parametrize("length", range(1, 30))
def test_spans_are_consecutive_few_and_equal(length: int) -> None:
    spans = spans_of(length, 8)
    assert [place for start, end in spans for place in range(start, end)] == list(range(length))
    assert len(spans) == -(-length // 8)
    sizes = [end - start for start, end in spans]
    assert max(sizes) <= 8
    assert max(sizes) - min(sizes) <= 1


# --- states


@pytest.mark.parametrize("trained", [False, True], ids=["frozen", "trained"])
def test_states_are_those_of_the_model_on_each_window(bert: Path, trained: bool) -> None:
    tokens = ModelTokens.open(str(bert))
    layer = LanguageModel(tokens, trained=trained).eval()
    batch, lengths = padded(tokens, "the film", LONG, "warmer")
    found = layer(batch)
    assert found.shape == (3, lengths.max(), 8)
    for row, length in enumerate(lengths.tolist()):
        own = (batch[row, :length] - 1).tolist()
        expected = []
        for start, end in spans_of(length, POSITIONS - 2):
            framed = torch.tensor([[2, *own[start:end], 3]])
            expected.append(layer.language_model()(input_ids=framed).last_hidden_state[0, 1:-1])
        torch.testing.assert_close(found[row, :length], torch.cat(expected), atol=1e-5, rtol=1e-5)
        assert bool((found[row, length:] == 0).all())


@pytest.mark.parametrize("encoder", ["s4d", "transformer", "ebt-grc", "rir-ebt-grc"])
def test_padding_and_neighbours_change_no_logits(bert: Path, encoder: str) -> None:
    options: dict[str, object] = {"heads": 2} if encoder == "transformer" else {}
    model = classifier(bert, encoder=encoder, **options).eval()
    tokens = ModelTokens.open(str(bert))
    batch, lengths = padded(tokens, LONG, "a cold film", "warmer", *["bad"] * 12)
    together = model(batch, lengths)
    garbage = torch.where(torch.arange(batch.shape[1]) < lengths[:, None], batch, 7)
    torch.testing.assert_close(model(garbage, lengths), together, atol=1e-5, rtol=1e-5)
    for row, length in enumerate(lengths.tolist()):
        alone = model(batch[row : row + 1, :length], lengths[row : row + 1])
        torch.testing.assert_close(alone[0], together[row], atol=1e-5, rtol=1e-5)


def test_a_frozen_model_never_drops_nor_changes_and_is_shared(bert: Path) -> None:
    model = classifier(bert).train()
    other = copy.deepcopy(model)
    inner = model.embedding.language_model()
    assert not inner.training
    assert other.embedding.language_model() is inner
    assert LanguageModel(ModelTokens.open(str(bert)), trained=False).language_model() is inner
    batch, lengths = padded(ModelTokens.open(str(bert)), LONG, "bad")
    assert torch.equal(model.embedding(batch), model.embedding(batch))
    assert not any(name.startswith("embedding") for name in model.state_dict())
    model(batch, lengths).sum().backward()
    assert all(parameter.grad is None for parameter in inner.parameters())
    assert model.projection.weight.grad.ne(0).any()


def test_a_trained_model_drops_gets_gradients_and_its_own_rate(bert: Path) -> None:
    model = classifier(bert, trained=True).train()
    batch, lengths = padded(ModelTokens.open(str(bert)), LONG, "bad")
    assert not torch.equal(model.embedding(batch), model.embedding(batch))
    model(batch, lengths).square().sum().backward()
    inner = model.embedding.language_model()
    assert all(parameter.grad is not None for parameter in inner.parameters())
    groups = build_optimizer(model, OptimizerOptions(name="adamw", language_model_learning_rate=1e-6)).param_groups
    rates = {id(parameter): group["lr"] for group in groups for parameter in group["params"]}
    assert {rates[id(parameter)] for parameter in inner.parameters()} == {1e-6}
    assert rates[id(model.projection.weight)] == 1e-3


def test_the_embedding_width_is_the_models(bert: Path) -> None:
    tokens = ModelTokens.open(str(bert))
    with pytest.raises(UserError, match=r"^embedding_dim must be null or 8"):
        Classifier(
            nestree.build("grc", dim=4),
            vocabulary_size=len(tokens),
            classes=2,
            options=ClassifierOptions(embedding_dim=5),
            features=LanguageModel(tokens, trained=False),
        )


# --- folders


def test_a_sentence_transformers_folder_names_its_part(bert: Path, tmp_path: Path) -> None:
    root = tmp_path / "sentences"
    shutil.copytree(bert, root / "0_Transformer")
    modules = [
        {"idx": 0, "name": "0", "path": "0_Transformer", "type": "sentence_transformers.models.Transformer"},
        {"idx": 1, "name": "1", "path": "1_Pooling", "type": "sentence_transformers.models.Pooling"},
    ]
    (root / "modules.json").write_text(json.dumps(modules))
    (root / "0_Transformer" / "sentence_bert_config.json").write_text('{"max_seq_length": 6}')
    tokens = ModelTokens.open(str(root))
    assert tokens.folder == root / "0_Transformer"
    assert LanguageModel(tokens, trained=False).window == 4
    for wrong in ("[]", "{", '[{"path": "../bert", "type": "x.Transformer"}]', "3"):
        (root / "modules.json").write_text(wrong)
        with pytest.raises(UserError, match=r"^data.features cannot be used: .*modules.json"):
            ModelTokens.open(str(root))


def test_folders_that_do_not_serve_are_named(bert: Path, tmp_path: Path) -> None:
    def fails(match: str) -> None:
        with pytest.raises(UserError, match=match) as caught:
            LanguageModel(ModelTokens.open(str(tmp_path / "model")), trained=True)
        assert "\n" not in str(caught.value)

    fails("data.features must be a folder with a language model, and .*model is none")
    shutil.copytree(bert, tmp_path / "model")
    for name, match in (
        ("model.safetensors", "must be a model in safetensors"),
        ("tokenizer.json", "has no tokenizer"),
        ("config.json", "has no config.json"),
    ):
        shutil.move(tmp_path / "model" / name, tmp_path / name)
        fails(match)
        shutil.move(tmp_path / name, tmp_path / "model" / name)
    for damaged in ("{", "{}", '{"model": {"type": "WordPiece"}}'):
        (tmp_path / "model" / "tokenizer.json").write_text(damaged)
        fails("has no tokenizer that can be read")
    shutil.copy(bert / "tokenizer.json", tmp_path / "model")
    (tmp_path / "model" / "model.safetensors").write_bytes(b"no weights")
    fails("has no model that can be read")


def test_without_transformers_the_extra_is_named(bert: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(importlib.sys.modules, "transformers", None)
    with pytest.raises(UserError, match=r"^data.features needs Hugging Face transformers: pip install"):
        ModelTokens.open(str(bert))


# --- runs


TINY = (
    *("--encoder.dim=6", "--model.head_hidden=4", "--data.batch=8", "--trainer.threads=1", "--trainer.devices=1"),
    *("--trainer.max_epochs=1", "--data.train=texts.csv", "--data.text=text", "--data.label=label"),
)


def texts(tmp_path: Path) -> None:
    rows = [f"the film was {'good' if row % 2 else 'bad'} and {'warm ' * (row % 9)},{row % 2}" for row in range(40)]
    (tmp_path / "texts.csv").write_text("\n".join(["text,label", *rows]) + "\n")


@pytest.mark.parametrize("trained", [False, True], ids=["frozen", "trained"])
def test_a_run_trains_evaluates_predicts_and_parses(
    bert: Path, tmp_path: Path, trained: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    texts(tmp_path)
    model = shutil.copytree(bert, tmp_path / "model")
    option = ["--model.train_embedding=true"] if trained else []
    assert main(["train", "classify", *TINY, "--data.features", "model", *option, "--run", "run"]) == 0
    run = Run.open("run")
    kept = load_file(run.weights)
    assert any(name.startswith("embedding.") for name in kept) == trained
    if trained:
        before = load_file(model / "model.safetensors")
        moved = [
            not torch.equal(value, kept[f"embedding.model.{name}"])
            for name, value in before.items()
            if "pooler" not in name
        ]
        assert any(moved)
    (result,) = run.evaluate(progress=False)
    assert result.total.examples == 4
    first = run.predict(["the film was bad and warmer", LONG])
    assert [found.probabilities for found in Run.open("run").predict(["the film was bad and warmer", LONG])] == [
        found.probabilities for found in first
    ]
    assert main(["parse", "run", "a warmer film"]) == 0
    assert "##er" in capsys.readouterr().out

    shutil.move(model, tmp_path / "elsewhere")
    assert main(["predict", "run", "a film"]) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"nestree: --data.features must be a folder with a language model, and {model} is none")
    assert error.count("\n") == 1
    tiny_bert(model, seed=1)
    assert main(["predict", "run", "a film"]) == 2
    assert "names another language model than the run was trained on" in capsys.readouterr().err


def test_vectors_and_features_are_one_too_many(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "classify", *TINY, "--data.features", "model", "--data.vectors", "glove.txt"]) == 2
    assert capsys.readouterr().err == "nestree: --data.vectors must be left out where features is set\n"

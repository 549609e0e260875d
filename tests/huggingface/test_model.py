"""A run as a model of transformers: the same answers, padded, saved, loaded, trained."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import transformers
from transformers import AutoConfig, AutoModelForSequenceClassification, AutoTokenizer, pipeline

import nestree
from nestree.cli.main import main
from nestree.config.config import read_config
from nestree.data.text import SPLITTER, Vocabulary
from nestree.errors import UserError
from nestree.huggingface import NestreeConfig, NestreeForSequenceClassification, from_run, save
from nestree.runs import build_model

TEXTS = ["a fine film", "dull", "It's long, and so is the plot: a a a a a a a a a a", "zebra", "the unknown zebra!!!"]
LABELS = ["bad", "good", "mixed"]


def text_run(folder: Path, *, level: str = "word", sides: int = 1, encoder: str = "rir-ebt-grc") -> nestree.Run:
    """A run of the task "own" with random weights."""
    options = {"name": encoder, "dim": 8} | ({"beam_size": 2, "arity": 4} if encoder == "rir-ebt-grc" else {})
    data = {"task": "own", "level": level, "max_tokens": 12} | ({"text2": "second"} if sides == 2 else {})
    values = {"recipe": "tiny", "encoder": options, "data": data, "model": {"head_hidden": 8}}
    config = read_config(values, source="test")
    state = {"labels": LABELS, "splitter": SPLITTER} | (
        {} if level == "byte" else Vocabulary.count(TEXTS[:4], level).state()
    )
    run = nestree.Run(folder).begin(config, config.data.open(state), command="test")
    model = build_model(config, run.task)
    with torch.no_grad():
        for parameter in model.head.parameters():
            parameter.mul_(5)  # so that answers differ
    run.save_weights(model)
    return nestree.Run.open(folder)


@pytest.fixture
def run(tmp_path: Path) -> nestree.Run:
    return text_run(tmp_path / "run")


def wanted(run: nestree.Run, texts: list[str] | list[tuple[str, str]]) -> list[dict[str, float]]:
    return [
        {name: pytest.approx(one, abs=1e-5) for name, one in row.probabilities.items()} for row in run.predict(texts)
    ]


@pytest.mark.parametrize("level", ["word", "char", "byte"])
@pytest.mark.parametrize("size", [1, 3])
def test_a_pipeline_answers_as_the_run_does(level: str, size: int, tmp_path: Path) -> None:
    run = text_run(tmp_path / "run", level=level)
    model, tokenizer = from_run(run)
    answer = pipeline("text-classification", model=model, tokenizer=tokenizer, device="cpu")
    found = [{one["label"]: one["score"] for one in row} for row in answer(TEXTS, top_k=None, batch_size=size)]
    assert found == wanted(run, TEXTS)
    assert [answer(text)[0]["label"] for text in TEXTS] == [one.label for one in run.predict(TEXTS)]


def test_pairs(tmp_path: Path) -> None:
    run = text_run(tmp_path / "run", sides=2)
    model, tokenizer = from_run(run)
    pairs = [("a fine film", "dull"), ("zebra", "the plot"), (TEXTS[2], TEXTS[2])]
    answer = pipeline("text-classification", model=model, tokenizer=tokenizer, device="cpu")
    rows = [answer({"text": first, "text_pair": second}, top_k=None) for first, second in pairs]
    assert [{one["label"]: one["score"] for one in row} for row in rows] == wanted(run, pairs)
    with pytest.raises(ValueError, match="needs token_type_ids"):
        model(torch.ones(1, 3, dtype=torch.long))


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("sides", [1, 2])
def test_padding_on_either_side_changes_nothing(side: str, sides: int, tmp_path: Path) -> None:
    model, tokenizer = from_run(text_run(tmp_path / "run", sides=sides))
    tokenizer.padding_side = side
    texts = [TEXTS, TEXTS[::-1]][:sides]
    batch = tokenizer(*texts, padding=True, pad_to_multiple_of=8, return_tensors="pt")
    assert (batch["attention_mask"][:, 0 if side == "left" else -1] == 0).any()
    logits = model(**batch).logits
    for place, one in enumerate(zip(*texts, strict=True)):
        alone = model(**tokenizer(*one, return_tensors="pt")).logits
        torch.testing.assert_close(logits[place], alone[0])
    if sides == 1:
        torch.testing.assert_close(model(batch["input_ids"]).logits, logits)


@pytest.mark.parametrize("encoder", list(nestree.ENCODERS))
def test_saved_and_loaded_it_is_the_same(encoder: str, tmp_path: Path) -> None:
    run = text_run(tmp_path / "run", encoder=encoder)
    folder = save(run, tmp_path / "saved")
    assert {path.name for path in folder.iterdir()} == {
        *("config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json", "modeling_nestree.py")
    }
    model, info = NestreeForSequenceClassification.from_pretrained(folder, output_loading_info=True)
    assert not any(info.values())
    assert not model.training
    original, tokenizer = from_run(run)
    for name, value in original.state_dict().items():
        assert torch.equal(model.state_dict()[name], value), name
    batch = tokenizer(TEXTS, padding=True, return_tensors="pt")
    torch.testing.assert_close(model(**batch).logits, original(**batch).logits)


def test_the_auto_classes_find_it(run: nestree.Run, tmp_path: Path) -> None:
    folder = save(run, tmp_path / "saved")
    assert isinstance(AutoConfig.from_pretrained(folder), NestreeConfig)
    assert isinstance(AutoModelForSequenceClassification.from_pretrained(folder), NestreeForSequenceClassification)
    answer = pipeline("text-classification", model=str(folder), device="cpu")
    assert [answer(text)[0]["label"] for text in TEXTS] == [one.label for one in run.predict(TEXTS)]
    again = tmp_path / "again"
    answer.save_pretrained(again)
    assert [one["label"] for one in pipeline("text-classification", model=str(again))(TEXTS)] == [
        one.label for one in run.predict(TEXTS)
    ]


def test_a_user_of_transformers_needs_no_word_of_ours(run: nestree.Run, tmp_path: Path) -> None:
    folder = save(run, tmp_path / "saved")
    script = f"""
import json, transformers
answer = transformers.pipeline("text-classification", model={str(folder)!r}, trust_remote_code=True)
print(json.dumps([row["label"] for row in answer({TEXTS!r})]))
"""
    hub = {"HF_HOME": str(tmp_path / "home"), "HF_HUB_OFFLINE": "1"}
    environment = {**os.environ, **hub, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == [one.label for one in run.predict(TEXTS)]


def test_other_labels_get_a_new_last_layer(run: nestree.Run, tmp_path: Path) -> None:
    folder = save(run, tmp_path / "saved")
    model, info = NestreeForSequenceClassification.from_pretrained(
        folder, num_labels=5, ignore_mismatched_sizes=True, output_loading_info=True
    )
    assert {name.rpartition(".")[0] for name, *_ in info["mismatched_keys"]} == {"model.head.layers.4"}
    original, tokenizer = from_run(run)
    assert torch.equal(model.model.embedding.weight, original.model.embedding.weight)
    assert model.model.head.layers[4].weight.abs().max() < 1  # as nn.Linear initializes it
    assert model.model.head.layers[4].weight.std() > 0.01
    assert model(**tokenizer(TEXTS, padding=True, return_tensors="pt")).logits.shape == (5, 5)


def test_a_new_model_is_initialized_as_nestree_does() -> None:
    config = NestreeConfig(encoder={"name": "bbt-grc", "dim": 8}, vocab_size=20, num_labels=4)
    torch.manual_seed(3)
    model = NestreeForSequenceClassification(config)
    torch.manual_seed(3)
    plain = config.build()
    for name, value in plain.state_dict().items():
        assert torch.equal(model.model.state_dict()[name], value), name
    assert NestreeConfig.from_dict(config.to_dict()).to_dict() == config.to_dict()
    assert NestreeConfig().encoder["name"] == "rir-ebt-grc"
    with pytest.raises(ValueError, match=r"encoder\.dim must be"):
        NestreeConfig(encoder={"dim": 0})
    with pytest.raises(ValueError, match="encoder name must be one of"):
        NestreeConfig(encoder={"name": "bert"})


def test_the_trainer_trains_it(run: nestree.Run, tmp_path: Path) -> None:
    pytest.importorskip("accelerate")
    model, tokenizer = from_run(run)
    before = {name: value.clone() for name, value in model.named_parameters()}
    rows = [{**tokenizer(text), "labels": place % 3} for place, text in enumerate(TEXTS)]
    arguments = transformers.TrainingArguments(
        output_dir=str(tmp_path / "out"), max_steps=2, per_device_train_batch_size=3, report_to=[], use_cpu=True
    )
    trainer = transformers.Trainer(
        model=model, args=arguments, train_dataset=rows, eval_dataset=rows, processing_class=tokenizer
    )
    assert trainer.train().training_loss > 0
    assert all(not torch.equal(before[name], value) for name, value in model.named_parameters())
    assert trainer.evaluate()["eval_loss"] > 0
    trainer.save_model(str(tmp_path / "trained"))
    again = AutoModelForSequenceClassification.from_pretrained(tmp_path / "trained")
    assert torch.equal(again.model.embedding.weight, model.model.embedding.weight)
    assert not list(tmp_path.rglob("pytorch_model.bin"))
    assert AutoTokenizer.from_pretrained(tmp_path / "trained")(TEXTS[0]) == tokenizer(TEXTS[0])


def test_a_larger_vocabulary(run: nestree.Run) -> None:
    model, _ = from_run(run)
    size = model.config.vocab_size
    model.resize_token_embeddings(size + 3)
    assert model(torch.tensor([[size + 2, 3]])).logits.shape == (1, 3)
    assert model.config.vocab_size == size + 3


def test_share_writes_it(run: nestree.Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "written"
    assert main(["share", str(run.path), "--transformers", str(folder)]) == 0
    assert capsys.readouterr().out == f"{folder}\n"
    assert (folder / "model.safetensors").is_file()
    assert main(["share", str(run.path), "--transformers", str(folder)]) == 2
    assert "--transformers" in capsys.readouterr().err
    assert main(["share", str(run.path)]) == 2
    assert "OWNER/NAME" in capsys.readouterr().err
    with pytest.raises(UserError, match="listops"):
        save("listops-rir", tmp_path / "listops")

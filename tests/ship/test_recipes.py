"""What a recipe says is carried over to another trainer, or refused by its name."""

import copy
import dataclasses
import json

import families
import pytest
import yaml
from shipping import write_run

from ftkit import UserError, ship, train
from ftkit.ship import opened, recipes

WRITE = {
    "trl": (recipes.write_trl, "trl.yaml"),
    "unsloth": (recipes.write_unsloth, "train.py"),
    "axolotl": (recipes.write_axolotl, "axolotl.yaml"),
    "llama-factory": (recipes.write_llama_factory, "llama-factory.yaml"),
    "torchtune": (recipes.write_torchtune, "torchtune.yaml"),
}
# Another value of every field of a recipe than its usual one.
CHANGED = {
    "lr": 1e-3, "epochs": 3, "batch_size": 8, "warmup": 0.5, "schedule": "cosine",
    "weight_decay": 0.1, "micro_batch": 2, "checkpointing": True, "max_length": 99,
    "packing": True, "evaluations": 1, "keep_best": False, "kl": 0.5, "patience": 2, "seed": 7,
    "report_to": "tensorboard",
}  # fmt: skip
LEFT = {"torchtune": ("evaluations", "keep_best")}  # of the usual recipe


@pytest.fixture(scope="module")
def one(run):
    """The run, loaded once."""
    loaded = ship.Opened(run)
    assert len(loaded.splits["train"]) == 40
    loaded.splits["validation"] = loaded.splits["validation"].select(range(4))
    return loaded


def write(one, trainer, folder, without=None, experiment=None, **recipe):
    """What a trainer is told of the run with another recipe; the text of its file."""
    changed = copy.copy(one)
    changed.experiment = experiment or dataclasses.replace(
        one.experiment, recipe=dataclasses.replace(one.experiment.recipe, **recipe)
    )
    folder.mkdir()
    left = LEFT.get(trainer, ()) if without is None else without
    writer, name = WRITE[trainer]
    told = writer(changed, folder, opened.Wish("merged", without=left))
    return (folder / name).read_text(), told


def test_every_field_of_a_recipe_is_tried():
    assert CHANGED.keys() == {field.name for field in dataclasses.fields(train.Recipe)}


@pytest.mark.parametrize("trainer", WRITE)
def test_a_field_that_is_changed_changes_the_recipe_or_is_refused_by_name(one, trainer, tmp_path):
    usual, _ = write(one, trainer, tmp_path / "usual")
    silent, refused = [], set()
    for name, value in CHANGED.items():
        try:
            text, _ = write(one, trainer, tmp_path / name, **{name: value})
        except UserError as error:
            assert f"{name} = {value}" in str(error) and f"--without {name}" in str(error)
            refused.add(name)
            continue
        if text == usual and name not in LEFT.get(trainer, ()):
            silent.append(name)
    assert silent == []
    assert (
        refused
        == {
            "trl": {"kl", "patience"},
            "unsloth": {"kl"},
            "axolotl": {"kl"},
            "llama-factory": {"kl"},
            "torchtune": {"kl", "patience", "packing", "report_to"},
        }[trainer]
    )


@pytest.mark.parametrize("trainer", WRITE)
@pytest.mark.parametrize(
    "lora",
    [{"r": 4}, {"alpha": 7}, {"targets": "q,v"}, {"dropout": 0.1}, {"use_dora": True}],
    ids=str,
)
def test_so_does_a_dial_of_the_adapter(one, trainer, lora, tmp_path, monkeypatch):
    usual, _ = write(one, trainer, tmp_path / "usual")
    folder, stated = one.adapter
    names = {"alpha": "lora_alpha", "targets": "target_modules", "dropout": "lora_dropout"}
    [(name, value)] = lora.items()
    value = ["q_proj", "v_proj"] if name == "targets" else value
    changed = copy.copy(one)
    monkeypatch.setitem(
        changed.__dict__, "adapter", (folder, {**stated, names.get(name, name): value})
    )
    text, _ = write(changed, trainer, tmp_path / "changed")
    assert text != usual


@pytest.mark.parametrize(
    ("peft", "said"),
    [
        ({"use_rslora": True}, "use_rslora = True"),
        ({"rank_pattern": {"q_proj": 2}}, r"rank_pattern = {'q_proj': 2}"),
    ],
)
def test_what_an_adapter_has_from_peft_alone_is_refused(peft, said, tmp_path):
    folder = write_run(tmp_path / "run", rows=8, peft=peft)
    with pytest.raises(UserError, match=f"{said} .*the adapter has it from peft alone"):
        ship.export(folder, "trl", tmp_path / "out")
    ship.export(folder, "trl", tmp_path / "out", without=list(peft))
    record = ship.read_record(tmp_path / "out")
    assert record["left_out"] == list(peft)
    assert f"Left out, as asked: {next(iter(peft))}." in (tmp_path / "out/trl.yaml").read_text()


def test_what_need_not_be_left_out_is_said(one, tmp_path):
    with pytest.raises(UserError, match="'lr' need not be left out for trl sft; of this run it"):
        write(one, "trl", tmp_path / "out", without=("lr",))
    with pytest.raises(UserError, match=r"'patiance' need not .* Did you mean 'patience'\?"):
        write(one, "trl", tmp_path / "other", without=("patiance",))


def test_trl_reads_its_config_and_makes_the_same_tokens(one, tmp_path):
    text, told = write(one, "trl", tmp_path / "out")
    stated = yaml.safe_load(text)
    assert told.proofs[0].equal == told.proofs[0].of == len(stated)
    assert stated["assistant_only_loss"] is True and stated["lora_r"] == 8
    with pytest.raises(UserError, match=r"TRL can't read .*max_seq_length"):
        file = tmp_path / "bad.yaml"
        file.write_text(text + "max_seq_length: 8\n")
        train.parse_sft_config(file)
    rows = [json.loads(line) for line in (tmp_path / "out/rows/train.jsonl").open()]
    assert [row["messages"] for row in rows] == list(one.splits["train"]["messages"])


def test_rows_that_trl_would_read_otherwise_go_as_tokens(tmp_path):
    """A template without {% generation %}, and an answer that is not to be learned."""
    chat = [
        {"role": "user", "content": "A?"}, {"role": "assistant", "content": "B", "weight": 0},
        {"role": "user", "content": "C?"}, {"role": "assistant", "content": "D"},
    ]  # fmt: skip
    (tmp_path / "d.jsonl").write_text((json.dumps({"messages": chat}) + "\n") * 10)
    base = families.write("llama", tmp_path / "base")
    folder = write_run(tmp_path / "run", model=base, data=str(tmp_path / "d.jsonl"))
    done = ship.export(folder, "trl", tmp_path / "out")
    assert any("the rows are tokens" in note for note in done.notes)
    row = json.loads((tmp_path / "out/rows/train.jsonl").open().readline())
    learned = [label for label in row["labels"] if label != -100]
    _, tokenizer = ship.Opened(folder).parts[1:]
    assert tokenizer.decode(learned) == "D<|eot_id|>"
    with pytest.raises(UserError, match=r"llama-factory can't be told .*weight = train row 1"):
        ship.export(folder, "llama-factory", tmp_path / "none")
    ship.export(folder, "axolotl", tmp_path / "axolotl")
    row = json.loads((tmp_path / "axolotl/train.jsonl").open().readline())
    assert [message["train"] for message in row["messages"]] == [False, False, False, True]


def test_rows_for_torchtune_are_read_by_the_file_beside_them(one, tmp_path, monkeypatch):
    text, _ = write(one, "torchtune", tmp_path / "out")
    stated = yaml.safe_load(text)
    assert stated["model"]["scale_factor"] == 1 and stated["model"]["tie_word_embeddings"]
    monkeypatch.chdir(tmp_path / "out")
    namespace = {}
    exec((tmp_path / "out" / "token_rows.py").read_text(), namespace)
    padding = namespace["Padding"](stated["tokenizer"]["pad_id"])
    rows = namespace["TokenRows"](padding, stated["dataset"]["file"], 10)
    made = train.as_trl(one.splits["train"], one.tokenizer)
    assert len(rows) == 40 and rows[3]["tokens"] == made["input_ids"][3][:10]
    assert rows[3]["labels"] == made["labels"][3][:10]


def test_other_objectives_and_trainers_limits_are_refused(one, whole, tmp_path):
    dpo = dataclasses.replace(one.experiment, objective="dpo")
    for trainer in WRITE:
        with pytest.raises(UserError, match="the run's objective is dpo, and these recipes are of"):
            write(one, trainer, tmp_path / trainer, experiment=dpo)
    with pytest.raises(UserError, match=r"schedule = constant_with_warmup \(it has linear and co"):
        write(one, "torchtune", tmp_path / "a", schedule="constant_with_warmup")
    with pytest.raises(UserError, match="the recipe for torchtune is of LoRA"):
        ship.export(whole, "torchtune", tmp_path / "b")
    ship.export(whole, "llama-factory", tmp_path / "c")
    assert "finetuning_type: full" in (tmp_path / "c" / "llama-factory.yaml").read_text()

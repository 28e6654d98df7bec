"""A merged model on disk is the tuned one, or is not written; no other file is touched."""

import json
import shutil
import warnings
from types import SimpleNamespace

import pytest
import torch
from safetensors import safe_open

from ftkit import UserError, lora, merge, models
from ftkit.core.files import data_path
from ftkit.merge import writing

POCKET = data_path("pocket")


def tuned(where="pocket", quant=None, std=0.05, **options):
    """An adapter with an effect on a base."""
    with warnings.catch_warnings(action="ignore"):
        model = lora.attach(models.load(where, quant)[0], **{"r": 4, "targets": "q,v", **options})
    generator = torch.Generator().manual_seed(1)
    for name, parameter in model.named_parameters():
        if "lora_B" in name or "lora_embedding_A" in name:
            torch.nn.init.normal_(parameter, std=std, generator=generator)
    return model.eval()


@pytest.fixture(scope="module")
def tokenizer():
    return models.load("pocket")[1]


@pytest.fixture(scope="module")
def half(tmp_path_factory, tokenizer):
    """The pocket model in bfloat16, as most models are published."""
    folder = tmp_path_factory.mktemp("base")
    models.load("pocket")[0].to(torch.bfloat16).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def dtypes(folder):
    with safe_open(folder / "model.safetensors", framework="pt") as file:
        return {file.get_slice(name).get_dtype() for name in file.keys()}


def listing(folder):
    return {file.name: file.read_bytes() for file in folder.iterdir() if file.is_file()}


def test_what_lies_on_disk_is_the_tuned_model(tmp_path, tokenizer):
    model = tuned()
    tokens = merge.probe_tokens(model)
    want = merge.logits(model, tokens)
    report = merge.write(model, tokenizer, tmp_path / "out")
    assert 0 < report.max_logit_gap < 1e-3 < 1 < report.adapter_gap
    again, its_tokenizer = models.load(tmp_path / "out")
    assert (merge.logits(again, tokens) - want).abs().max().item() == report.max_logit_gap
    assert its_tokenizer.chat_template == tokenizer.chat_template
    assert again.config.tie_word_embeddings
    record = json.loads((tmp_path / "out" / "merge.json").read_text())
    assert record["weights"] == models.hash_weights(tmp_path / "out")
    assert record["base"] == models.hash_weights(POCKET)
    assert record["report"]["max_logit_gap"] == report.max_logit_gap
    assert set(record["files"]) == set(listing(tmp_path / "out"))


def test_the_dtype_is_that_of_the_base_on_disk_unless_another_is_asked_for(
    half, tmp_path, tokenizer
):
    """peft 890: a merged model of twice the size, or of half the digits."""
    report = merge.write(tuned(half), tokenizer, tmp_path / "out")
    assert dtypes(tmp_path / "out") == {"BF16"} and report.dtype == "bfloat16"
    assert models.stored_dtype(tmp_path / "out") == "bfloat16"
    assert 1e-3 < report.max_logit_gap < report.adapter_gap / 2
    exact = merge.write(tuned(half), tokenizer, tmp_path / "exact", "float32")
    assert dtypes(tmp_path / "exact") == {"F32"} and exact.max_logit_gap < 1e-3
    with pytest.raises(UserError, match=r"'bfloat'; give one of .* Did you mean 'bfloat16'"):
        merge.write(tuned(), tokenizer, tmp_path / "none", "bfloat")
    assert not (tmp_path / "none").exists()


def test_an_update_that_the_dtype_rounds_away_is_not_written(tmp_path, tokenizer):
    with pytest.raises(UserError, match=r"merged in bfloat16 is not .*: write float32 \(--dtype\)"):
        merge.write(tuned(std=0.0003), tokenizer, tmp_path / "out", "bfloat16")
    assert list(tmp_path.iterdir()) == []
    assert (
        merge.write(tuned(std=0.0003), tokenizer, tmp_path / "out", "float32").max_logit_gap < 1e-3
    )


def test_an_update_that_an_int8_base_alone_can_show_is_not_written(tmp_path, tokenizer):
    with pytest.raises(UserError, match=r"is not the tuned one: .* its base is quantized"):
        merge.write(tuned(quant="int8", std=0.003), tokenizer, tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("layers", "options"),
    [
        (["embed_tokens"], {}),
        (["lm_head"], {}),
        (["embed_tokens", "lm_head"], {}),
        (["embed_tokens"], {"ensure_weight_tying": True}),
    ],
)
def test_where_one_of_two_that_share_a_matrix_is_updated_each_gets_its_own(
    layers, options, tmp_path, tokenizer
):
    """peft 2018: merged into one matrix, the other one would change too, or the same one twice."""
    model = tuned(target_modules=["q_proj", *layers], **options)
    _, report = merge.merge(model)
    assert report.max_logit_gap < 1e-3 < report.adapter_gap
    assert (
        merge.compare_dtypes(model, dtypes=["float32"]).reports["float32"]["merged, cast"] == report
    )
    report = merge.write(model, tokenizer, tmp_path / "out")
    assert report.max_logit_gap < 1e-3 < report.adapter_gap
    stated = json.loads((tmp_path / "out" / "config.json").read_text())
    assert stated["tie_word_embeddings"] is False


def test_numbers_that_float16_can_not_hold_are_said_to_be_that(tmp_path, tokenizer):
    """Written all the same they are infinite, and the folder reads as a damaged one."""
    model = tuned()
    with torch.no_grad():
        model.get_base_model().model.norm.weight[3] = 1e6
    said = r"model.norm.weight of the merged model holds 1,000,000, and float16 ends at 65,504"
    with pytest.raises(UserError, match=said):
        merge.write(model, tokenizer, tmp_path / "out", "float16")
    assert list(tmp_path.iterdir()) == []


def test_matrices_that_were_trained_whole_are_in_the_file(tmp_path, tokenizer):
    """A tied head that was trained apart is another matrix afterwards, on disk too.

    transformers 45127: the configuration said that they were one, and reading made them so.
    """
    model = tuned(modules_to_save=["lm_head"])
    with torch.no_grad():
        model.get_output_embeddings().modules_to_save["default"].weight.mul_(1.5)
    report = merge.write(model, tokenizer, tmp_path / "out")
    assert report.max_logit_gap < 1e-3 < report.adapter_gap
    assert (
        json.loads((tmp_path / "out" / "config.json").read_text())["tie_word_embeddings"] is False
    )


def test_an_adapter_that_peft_can_not_merge_is_one_sentence(tmp_path, tokenizer):
    with pytest.raises(UserError, match=r"peft can't merge this adapter \(.*no bias\); use it"):
        merge.write(tuned(lora_bias=True), tokenizer, tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_there_is_nothing_to_merge_after_full_fine_tuning(tmp_path, tokenizer):
    with pytest.raises(UserError, match=r"nothing to merge; .* model/ of the run is the model"):
        merge.write(models.load("pocket")[0], tokenizer, tmp_path / "out")


@pytest.fixture
def base(tmp_path):
    return shutil.copytree(POCKET, tmp_path / "base")


def test_the_base_is_never_overwritten(base, tmp_path, tokenizer):
    (tmp_path / "link").symlink_to(base)
    before = listing(base)
    for out in (base, base / ".." / "base", tmp_path / "link"):
        with pytest.raises(UserError, match=r"is the base of this run, .*give another --out"):
            merge.write(tuned(base), tokenizer, out)
    assert listing(base) == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["base", "link"]


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("config.json", r"did not write \(config.json\)"),
        ("model-00001-of-00002.safetensors", "did not write"),
        ("pytorch_model.bin", "did not write"),
        ("adapter_config.json", "did not write"),
        ("model.gguf", "did not write"),
        ("run.json", r"folder of a run \(run.json is there\)"),
    ],
)
def test_nor_is_a_model_that_merge_did_not_write(name, said, tmp_path, tokenizer):
    (tmp_path / name).write_text("mine")
    with pytest.raises(UserError, match=said):
        merge.write(tuned(), tokenizer, tmp_path)
    assert listing(tmp_path) == {name: b"mine"}


def test_its_own_is_written_again_and_what_lies_beside_stays(tmp_path, tokenizer, monkeypatch):
    (tmp_path / "notes.txt").write_text("mine")
    save = writing.save

    def save_sharded(merged, tokenizer, folder):
        save(merged, tokenizer, folder)
        (folder / "model.safetensors").unlink()
        merged.save_pretrained(folder, max_shard_size="3MB")

    # once in several files, then in one
    monkeypatch.setattr(writing, "save", save_sharded)
    merge.write(tuned(), tokenizer, tmp_path)
    assert len(list(tmp_path.glob("model-*.safetensors"))) > 1
    monkeypatch.setattr(writing, "save", save)
    merge.write(tuned(), tokenizer, tmp_path)
    assert [file.name for file in tmp_path.glob("*.safetensors*")] == ["model.safetensors"]
    assert (tmp_path / "notes.txt").read_text() == "mine"

    # another model in its place is not merge's any more
    shutil.copy(POCKET / "model.safetensors", tmp_path)
    with pytest.raises(UserError, match="holds another model than merge wrote there"):
        merge.write(tuned(), tokenizer, tmp_path)


def test_where_nothing_can_be_written_it_is_one_sentence(tmp_path, tokenizer, monkeypatch):
    (tmp_path / "file").write_text("x")
    for out, said in ((tmp_path / "file", "is a file"), (tmp_path / "file" / "in", "could not")):
        with pytest.raises(UserError, match=said):
            merge.write(tuned(), tokenizer, out)
    full = SimpleNamespace(disk_usage=lambda place: (10**9, 10**9, 10**6))
    monkeypatch.setattr(writing, "shutil", full)
    with pytest.raises(UserError, match=r"takes 0\.0 GB in float32 and .* GB free; make room"):
        merge.write(tuned(), tokenizer, tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize(("stated", "ends"), [(5, [5, 2]), ([5, 2], [5, 2]), (2, 2), (None, 2)])
def test_generation_ends_where_the_template_ends_an_answer(stated, ends, tmp_path, tokenizer):
    """QwenLM/Qwen3 927: a base that ends at another token never stops after an answer."""
    model = tuned()
    model.generation_config.eos_token_id = stated
    merge.write(model, tokenizer, tmp_path)
    written = json.loads((tmp_path / "generation_config.json").read_text())
    assert written["eos_token_id"] == ends


@pytest.mark.parametrize("name", ["../mine.txt", "sub/mine.txt", 5])
def test_a_record_that_names_files_elsewhere_removes_none(tmp_path, name):
    """Only names of files beside it are believed: what an earlier merge wrote is removed."""
    (tmp_path / "merge.json").write_text(json.dumps({"files": [name]}))
    assert writing.read_record(tmp_path) == {}
    (tmp_path / "merge.json").write_text(json.dumps({"files": ["a.safetensors"]}))
    assert writing.read_record(tmp_path) == {"files": ["a.safetensors"]}

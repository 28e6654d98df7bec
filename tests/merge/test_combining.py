"""Several adapters on one base: each is itself, the base comes back, bad files are refused whole.

Combinations are what they say.
"""

import json
import shutil

import pytest
import torch
from peft import LoraConfig

from ftkit import UserError, data, evaluate, lora, merge, models
from ftkit.merge import combining

SEEDS = {"a": 1, "b": 2}


def random_adapter(seed, r=4, **options):
    """The pocket model with an adapter that has a real effect."""
    torch.manual_seed(seed)
    model = lora.attach(models.load("pocket")[0], r=r, **options)
    with torch.no_grad():
        for name, p in model.named_parameters():
            if "lora_B" in name:
                torch.nn.init.normal_(p, std=0.05)
    return model.eval()


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """Two adapters in two folders."""
    folder = tmp_path_factory.mktemp("adapters")
    for name, seed in SEEDS.items():
        random_adapter(seed).save_pretrained(folder / name)
    return folder


@pytest.fixture
def both(saved):
    model = models.load("pocket")[0]
    for name in SEEDS:
        model = lora.load(model, saved / name, name)
    return model.eval()


def logits(model):
    return merge.logits(model, merge.probe_tokens(model))


def test_each_is_itself_alone_and_the_base_is_the_base(both):
    assert both.active_adapters == ["b"], "the one loaded last is on"
    for name, seed in SEEDS.items():
        with lora.using(both, name):
            assert torch.equal(logits(both), logits(random_adapter(seed)))
    with lora.using(both, None):
        assert torch.equal(logits(both), logits(models.load("pocket")[0]))
    assert both.active_adapters == ["b"]


def test_the_one_before_comes_back_after_an_error(both):
    with pytest.raises(KeyError), lora.using(both, "a"):
        raise KeyError
    assert both.active_adapters == ["b"]


def test_sizes(both):
    alone = random_adapter(1)
    on, total = lora.trainable(alone)
    assert lora.adapter_bytes(both) == {"a": 4 * on, "b": 4 * on, "base": 4 * (total - on)}


def test_folded_in_and_out_w_is_the_same_to_the_last_bit(both):
    before = {n: p.detach().clone() for n, p in both.named_parameters()}
    expected = logits(both)
    with merge.fold(both):
        inside = logits(both)
        assert both.get_base_model().model.layers[0].self_attn.q_proj.merged
    assert not both.get_base_model().model.layers[0].self_attn.q_proj.merged
    torch.testing.assert_close(inside, expected, atol=1e-4, rtol=0)
    assert all(torch.equal(p, before[n]) for n, p in both.named_parameters())
    both.merge_adapter()
    both.unmerge_adapter()
    back = [torch.equal(p, before[n]) for n, p in both.named_parameters()]
    assert not all(back), "peft's own way rounds"


def test_folded_puts_w_back_after_an_error(both):
    before = logits(both)
    with pytest.raises(KeyError), merge.fold(both):
        raise KeyError
    assert torch.equal(logits(both), before)
    packed = lora.attach(models.load("pocket", quant="nf4")[0], r=2)
    with pytest.raises(UserError, match="base is quantized"), merge.fold(packed):
        pass


def test_cat_is_the_sum_and_linear_is_not(both):
    weights = {"a": 1.0, "b": -0.5}
    merge.combine(both, weights)
    assert "cat: a + b" in both.peft_config
    assert both.peft_config["cat: a + b"].r == 8
    merge.combine(both, weights, "linear", "mixed")
    merge.combine(both, weights, "svd", "whole", svd_rank=8)
    assert merge.combination_error(both, "cat: a + b", weights) < 1e-5
    assert merge.combination_error(both, "whole", weights) < 1e-4
    assert merge.combination_error(both, "mixed", weights) > 0.3
    layer = "model.layers.0.mlp.up_proj"
    wanted = lora.deltas(both, adapter="a")[layer] - 0.5 * lora.deltas(both, adapter="b")[layer]
    torch.testing.assert_close(lora.deltas(both, adapter="cat: a + b")[layer], wanted)
    assert both.active_adapters == ["b"]


def test_ties_on_delta_w_by_hand(both):
    """Trim, elect the sign with more mass, average those that agree (Yadav et al. 2023, alg. 1)."""
    # a rank of as many as k_proj has rows: nothing is cut off there
    merge.combine(both, {"a": 1.0, "b": 1.0}, "ties_svd", "ties", svd_rank=128)
    layer = "model.layers.1.self_attn.k_proj"
    parts = [lora.deltas(both, adapter=name)[layer] for name in SEEDS]
    trimmed = []
    for part in parts:
        fifth = int(0.2 * part.numel())
        cut = part.abs().flatten().topk(fifth).values[-1]
        trimmed.append(torch.where(part.abs() >= cut, part, 0))
    stacked = torch.stack(trimmed)
    agree = stacked.sign() == stacked.sum(0).sign()
    wanted = (stacked * agree).sum(0) / (stacked * agree).ne(0).sum(0).clamp(min=1)
    combined = lora.deltas(both, adapter="ties")[layer]
    torch.testing.assert_close(combined, wanted, atol=1e-4, rtol=1e-3)


@pytest.mark.parametrize(
    ("weights", "options", "message"),
    [
        ({"a": 1.0, "c": 1.0}, {}, "no adapter 'c'; the model carries a, b"),
        ({"a": 1.0}, {}, "there are 1 adapters to combine"),
        ({"a": 1.0, "b": 1.0}, {"way": "tie"}, r"way is 'tie'.*Did you mean 'ties'\?"),
        ({"a": 1.0, "b": 1.0}, {"name": "b"}, "already carries an adapter 'b'"),
        ({"a": 1.0, "b": 1.0}, {"name": "v1.5"}, "no dot"),
        ({"a": 1.0, "b": float("nan")}, {}, "the weight of 'b' is nan; give a number"),
        ({"a": 1.0, "b": "1"}, {}, "the weight of 'b' is '1'; give a number"),
        ({"a": 1.0, "b": 1.0}, {"way": "ties", "density": 20}, "density is 20; it is the share"),
        (["a", "b"], {}, r"weights is \['a', 'b'\]; give each adapter its weight"),
        ({"a": 1.0, "b": 1.0}, {"name": 5}, "the adapter's name is 5; give letters"),
        ({"a": 1.0, "b": 1.0}, {"name": "items"}, "'items', a word of torch's own"),
    ],
)
def test_bad_combinations(both, weights, options, message):
    with pytest.raises(UserError, match=message):
        merge.combine(both, weights, **options)
    assert list(both.peft_config) == ["a", "b"]


def carried(model):
    """What a model carries: its adapters, which is on, its tensors and what of them trains."""
    training = [name for name, p in model.named_parameters() if p.requires_grad]
    return list(model.peft_config), model.active_adapters, list(model.state_dict()), training


ONES = {"a": 1.0, "b": 1.0}


@pytest.mark.parametrize(
    ("way", "options", "message"),
    [
        ("svd", {"svd_rank": 1000}, "svd_rank is 1000; give a whole number from 1 to 128"),
        ("svd", {"svd_rank": 0}, "svd_rank is 0; give a whole number from 1"),
        ("ties_svd", {"svd_rank": 2.5}, "svd_rank is 2.5; "),
        ("svd", {"svd_rank": True}, "svd_rank is True; "),
        ("svd", {"svd_clamp": 5}, "svd_clamp is 5; .*above 0.5 and up to 1"),
        ("svd", {"svd_driver": "nope"}, "svd_driver is 'nope'; "),
        ("svd", {"svd_driver": "gesvd"}, "on a CPU there is none to choose"),
        ("svd", {"svd_full_matrices": "no"}, "svd_full_matrices is 'no'; give True or False"),
        ("ties", {"majority_sign_method": "totl"}, "is 'totl'; give total .*mean 'total'"),
        ("cat", {"svd_rank": 8}, "svd_rank is 8, and cat does not read it; .*svd, ties_svd"),
        ("linear", {"majority_sign_method": "total"}, "linear does not read it"),
        ("cat", {"density": 0.5}, "density is 0.5, and cat does not read it"),
        ("svd", {"rank": 8}, r"there is no option 'rank'; .*Did you mean 'svd_rank'\?"),
    ],
)
def test_an_option_that_can_not_be_leaves_nothing_behind(both, way, options, message):
    before = carried(both)
    with pytest.raises(UserError, match=message):
        merge.combine(both, ONES, way, **options)
    assert carried(both) == before


@pytest.mark.parametrize("error", [RuntimeError("out of memory"), KeyError("x"), KeyboardInterrupt])
def test_whatever_fails_half_way_leaves_nothing_behind(both, error, monkeypatch):
    before, inside = carried(both), type(both.base_model)
    with monkeypatch.context() as patch:
        way = "_svd_generalized_task_arithmetic_weighted_adapter"

        def fail(*_, **__):
            raise error

        patch.setattr(inside, way, fail)
        expected = UserError if isinstance(error, Exception) else KeyboardInterrupt
        with pytest.raises(expected):
            merge.combine(both, ONES, "svd")
    assert carried(both) == before
    assert merge.combine(both, ONES, "svd") == "svd: a + b"


@pytest.mark.parametrize("weight", [1e39, 10**400])
def test_weights_that_leave_no_numbers_are_refused(both, weight):
    before = carried(both)
    with pytest.raises(UserError, match=r"combination by cat could not be made .*smaller weights"):
        merge.combine(both, {"a": weight, "b": 1.0})
    assert carried(both) == before


def test_an_error_of_nothing_is_refused_and_a_layer_too_many_counts(both, saved, tmp_path):
    for weights in ({"a": 0, "b": 0}, {"a": 0.0}):
        with pytest.raises(UserError, match=r"Σ w · ΔW of 'a'.* is 0 at the weights 0"):
            merge.combination_error(both, "a", weights)
    lora.load(both, saved / "a", "twin")
    with pytest.raises(UserError, match=r"of .a., .twin. is 0 at the weights -1\.0, 1\.0"):
        merge.combination_error(both, "a", {"a": -1.0, "twin": 1.0})
    with pytest.raises(UserError, match="no adapter 'c'"):
        merge.combination_error(both, "c", ONES)
    with pytest.raises(UserError, match="weights is 'a'"):
        merge.combination_error(both, "a", "a")
    # on fewer layers than the sum, and on more
    random_adapter(3, targets="q,v").save_pretrained(tmp_path)
    lora.load(both, tmp_path, "few")
    assert merge.combination_error(both, "few", {"a": 1.0}) > 0.5
    assert merge.combination_error(both, "a", {"few": 1.0}) > 0.5


def test_different_ranks_need_a_way_that_allows_them(both, tmp_path):
    random_adapter(3, r=2).save_pretrained(tmp_path / "c")
    lora.load(both, tmp_path / "c", "c")
    with pytest.raises(UserError, match="all ranks have to be equal"):
        merge.combine(both, {"a": 1.0, "c": 1.0}, "linear")
    merge.combine(both, {"a": 1.0, "c": 1.0})
    assert merge.combination_error(both, "cat: a + c", {"a": 1.0, "c": 1.0}) < 1e-5


HANDED_ON = ("use_rslora", "layers_to_transform", "exclude_modules", "init_lora_weights")


def with_adapter(model, seed, name, folder, **options):
    random_adapter(seed, **options).save_pretrained(folder / name)
    return lora.load(model, folder / name, name)


@pytest.mark.parametrize("way", ["cat", "svd"])
@pytest.mark.parametrize(
    "options",
    [
        {"use_rslora": True},
        {"targets": "q,v", "layers_to_transform": [0]},
        {"targets": "all-linear", "exclude_modules": ["o_proj"]},
    ],
)
def test_the_sum_is_one_whatever_the_first_adapter_states(way, options, tmp_path):
    """peft hands the first adapter's configuration on: rsLoRA scales once more (peft 3449), and
    the layers that the first one lacks are left out.
    """
    model = with_adapter(models.load("pocket")[0], 1, "a", tmp_path, r=4, **options)
    model = with_adapter(model, 2, "b", tmp_path, r=4, targets=["o_proj", "v_proj"])
    weights = {"a": 0.7, "b": -0.4}
    name = merge.combine(model, weights, way, **({"svd_rank": 8} if way == "svd" else {}))
    assert merge.combination_error(model, name, weights) < 1e-5
    stated = LoraConfig.from_pretrained(str(tmp_path / "a"))
    assert all(getattr(model.peft_config["a"], key) == getattr(stated, key) for key in HANDED_ON)

    # saved and loaded it is the same
    model.save_pretrained(tmp_path, selected_adapters=[name])
    again = lora.load(models.load("pocket")[0], tmp_path / name).eval()
    with lora.using(model.eval(), name):
        torch.testing.assert_close(logits(again), logits(model), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize(
    ("options", "part"),
    [
        ({"use_dora": True}, "lora_magnitude_vector"),
        ({"lora_bias": True}, "lora_B.b.bias"),
        ({"modules_to_save": ["norm"]}, "norm.modules_to_save"),
        ({"trainable_token_indices": [1, 2]}, "trainable_tokens_delta"),
        ({"targets": "q,v", "target_parameters": ["up_proj.weight"]}, "up_proj.weight"),
    ],
)
def test_what_is_more_than_a_and_b_is_refused(options, part, tmp_path):
    """peft drops it, or breaks off (peft 3761)."""
    model = with_adapter(models.load("pocket")[0], 1, "a", tmp_path, targets="q,v")
    model = with_adapter(model, 2, "b", tmp_path, **{"targets": "q,v", **options})
    with pytest.raises(UserError, match=rf"adapter 'b' is more than A and B \(.*{part}") as error:
        merge.combine(model, {"a": 1.0, "b": 1.0})
    assert "no combination takes along" in str(error.value)
    assert list(model.peft_config) == ["a", "b"]


def test_ranks_that_differ_by_layer_are_not_mixed(both, tmp_path):
    model = with_adapter(both, 3, "c", tmp_path, rank_pattern={"q_proj": 2})
    with pytest.raises(UserError, match=r"all ranks have to be equal; .*'c': \[2, 4\]"):
        merge.combine(model, {"a": 1.0, "c": 1.0}, "linear")


def test_a_model_without_adapters():
    with pytest.raises(UserError, match="LlamaForCausalLM without an adapter"):
        lora.adapter_bytes(models.load("pocket")[0])


def test_interference(both):
    tokenizer = models.load("pocket")[1]
    rows = {"known": data.load("general")["train"].select(range(6))}
    result = merge.interference(both, tokenizer, rows)
    assert list(result.right) == ["base", "a", "b"]
    alone = evaluate.score(models.load("pocket")[0], tokenizer, rows["known"])
    assert result.right["base"]["known"] == alone.exact
    base, a = (result.rates[name]["known"] for name in ("base", "a"))
    assert base.n == 6
    assert result.change("known", "a", "base").value == a.value - base.value
    assert "known, n = 6" in str(result) and str(base) in str(result)
    assert list(merge.interference(both, tokenizer, rows, ["b"]).right) == ["b"]


# Bad files: refused in one sentence, and the model is left as it was.


def refused(model, folder, message, name="default"):
    before = {n: p.detach().clone() for n, p in model.named_parameters()}
    with pytest.raises(UserError, match=message) as caught:
        lora.load(model, folder, name)
    assert "\n" not in str(caught.value)
    after = dict(model.named_parameters())
    assert list(after) == list(before)
    assert all(torch.equal(p, before[n]) for n, p in after.items())


@pytest.fixture
def folder(saved, tmp_path):
    return shutil.copytree(saved / "a", tmp_path / "adapter")


@pytest.mark.parametrize("keep", [0, 4, 100, 0.5, -1])
def test_a_truncated_adapter(folder, both, keep):
    file = folder / "adapter_model.safetensors"
    whole = file.read_bytes()
    file.write_bytes(whole[: int(keep * len(whole)) if isinstance(keep, float) else keep])
    refused(models.load("pocket")[0], folder, "is not a whole safetensors file")
    refused(both, folder, "is not a whole safetensors file", "c")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"peft_type": "LO', "is not JSON: .*copy or download the adapter again"),
        ("[]", "states no peft_type"),
        ("", "is not JSON: .*copy or download the adapter again"),
    ],
)
def test_a_damaged_config(folder, text, message):
    (folder / "adapter_config.json").write_text(text)
    refused(models.load("pocket")[0], folder, message)


def other_base(**changes):
    """An untrained model of another shape."""
    from transformers import AutoModelForCausalLM

    config = models.load("pocket")[0].config
    for key, value in changes.items():
        setattr(config, key, value)
    torch.manual_seed(0)
    return AutoModelForCausalLM.from_config(config)


def test_an_adapter_for_another_shape_of_base(folder):
    refused(
        other_base(intermediate_size=256),
        folder,
        r"another base: its [AB] for model.layers.0.mlp.\w+ is .*this model's W is",
    )
    refused(
        other_base(num_hidden_layers=2),
        folder,
        r"another base: it updates model.layers.2.\S+, which this model does not have",
    )


def test_an_adapter_for_a_base_with_other_weights(folder):
    record = folder.parent / "run.json"
    record.write_text(json.dumps({"hashes": {"base": "0" * 64}}))
    base = models.load("pocket")[0]
    refused(
        base,
        folder,
        f"another base \\(000000000000…, this one is {models.fingerprint(base)[:12]}…\\)",
    )
    record.write_text(json.dumps({"hashes": {"base": models.fingerprint(base)}}))
    assert lora.is_attached(lora.load(base, folder))


def test_names_that_are_taken_or_impossible(saved, both):
    refused(both, saved / "a", "already carries an adapter 'a'", "a")
    refused(both, saved / "a", "no dot", "v1.5")


def test_the_verb_writes_nothing_for_a_damaged_run(tmp_path, folder):
    from typer.testing import CliRunner

    from ftkit.__main__ import app

    run = tmp_path / "run"
    base = models.load("pocket")[0]
    whole = {
        "experiment": {"model": "pocket"},
        "hashes": {"base": models.fingerprint(base)},
        "versions": {},
        "steps": 1,
        "losses": [],
        "validation": [],
    }
    run.mkdir()
    shutil.move(folder, run / "adapter")
    (run / "run.json").write_text(json.dumps(whole))
    file = run / "adapter" / "adapter_model.safetensors"
    file.write_bytes(file.read_bytes()[:5000])
    result = CliRunner().invoke(app, ["merge", str(run), "--out", str(tmp_path / "merged")])
    assert result.exit_code == 1 and "is not a whole safetensors file" in result.output
    assert sorted(p.name for p in tmp_path.iterdir()) == ["run"]


def test_an_adapter_moves_to_another_base_with_all_it_is(both):
    twin = lora.carry_over(both, models.load("pocket")[0])
    assert torch.equal(logits(twin), logits(both))
    assert twin.active_adapters == ["b"]
    assert not lora.is_attached(twin.get_base_model())


@pytest.mark.parametrize(("version", "factor"), [("0.20.0", 4.0), ("0.21.0", 1.0), ("0.21.2", 1.0)])
def test_a_peft_that_scales_twice_is_given_weights_without_the_scale(version, factor, monkeypatch):
    """alpha / r = 4; the ways without an SVD never scaled twice.

    That the sums come out is tested with the peft that is installed.
    """
    monkeypatch.setattr(combining, "version_of", lambda name: version)
    model = lora.attach(models.load("pocket")[0], r=2, alpha=8)
    for way, scale in {"svd": factor, "ties_svd": factor, "cat": 1.0, "ties": 1.0}.items():
        assert combining.extra_scale(model, "default", way) == scale

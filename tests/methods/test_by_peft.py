"""Every method on a model: peft's own object, which starts as the base and trains what it says."""

import pytest
import torch
from families import write

from ftkit import UserError, lora, merge, methods, models

IDS = torch.arange(6, 40)[None]
PROMPTS = ("prompt", "prefix", "p_tuning")
TRAINED = {
    "full": 2_689_280, "lora": 131_072, "dora": 139_264, "adalora": 196_944, "vera": 9_984,
    "oft": 126_976, "ia3": 3_072, "ln_tuning": 2_304, "prompt": 5_120, "prefix": 20_480,
    "p_tuning": 87_552, "bottleneck": 133_376,
}  # fmt: skip


def attached(name, **options):
    model, _ = models.load("pocket")
    return methods.attach(model, name, seed=0, **options)


def disturbed(name, **options):
    """With an effect, as a run would leave it."""
    model = attached(name, **options).eval()
    generator = torch.Generator().manual_seed(1)
    for parameter in model.parameters():
        if parameter.requires_grad:
            parameter.data += 0.05 * torch.randn(parameter.shape, generator=generator)
    return model


def logits(model):
    with torch.no_grad():
        return models.read(model, input_ids=IDS).logits


@pytest.fixture(scope="module")
def base_logits():
    return logits(models.load("pocket")[0])


@pytest.mark.parametrize("name", methods.METHODS)
def test_it_trains_what_it_says_and_starts_as_its_base(name, base_logits):
    model = attached(name)
    assert methods.name_of(model) == name
    assert lora.trainable(model)[0] == TRAINED[name] == methods.count("pocket", name).trainable
    gap = (logits(model.eval()) - base_logits).abs().max().item()
    assert (gap < 1e-3) is (name not in PROMPTS)
    if name != "full":
        assert type(model).__module__.startswith("peft")
        trained = [label for label, p in model.named_parameters() if p.requires_grad]
        assert {lora.adapter_of(label) for label in trained} == {"default"}
        assert lora.adapter_bytes(model)["default"] >= 4 * TRAINED[name]
        assert "untouched" in lora.describe_start(model)


def test_the_same_seed_draws_the_same_start_and_leaves_torch_s_generator():
    torch.manual_seed(5)
    state = torch.get_rng_state()
    one, two = attached("p_tuning"), attached("p_tuning")
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(logits(one), logits(two))


def test_a_prompt_begins_with_the_embeddings_of_its_words():
    model, tokenizer = models.load("pocket")
    words = tokenizer("Write JSON.", add_special_tokens=False)["input_ids"]
    table = model.get_input_embeddings().weight.detach().clone()
    adapted = methods.attach(model, "prompt", tokens=len(words) + 2, text="Write JSON.")
    prompt = adapted.prompt_encoder["default"].embedding.weight
    assert torch.equal(prompt, table[[*words, *words[:2]]])
    # so the base reads the words before each text
    with torch.no_grad():
        spoken = model(torch.tensor([[*words, *words[:2], *IDS[0].tolist()]])).logits
    assert torch.allclose(logits(adapted)[0], spoken[0, -IDS.shape[1] :], atol=1e-4)


@pytest.mark.parametrize("name", [name for name in methods.METHODS if name != "full"])
def test_saved_and_loaded_it_is_the_same_and_carried_over_too(name, tmp_path, base_logits):
    model = disturbed(name)
    want = logits(model)
    model.save_pretrained(tmp_path)
    loaded = methods.load(models.load("pocket")[0], tmp_path).eval()
    assert torch.allclose(logits(loaded), want, atol=1e-4)
    assert methods.name_of(loaded) == name
    assert torch.allclose(
        logits(lora.carry_over(loaded, models.load("pocket")[0])), want, atol=1e-4
    )
    with lora.using(loaded, None):
        assert torch.allclose(logits(loaded), base_logits, atol=1e-5)
    # the sentence that refuses a damaged one is the LoRA's own
    file = tmp_path / "adapter_model.safetensors"
    file.write_bytes(file.read_bytes()[:-3])
    with pytest.raises(UserError, match="not a whole safetensors file"):
        methods.check_saved(models.load("pocket")[0], tmp_path)


@pytest.mark.parametrize("name", [name for name in methods.METHODS if name != "full"])
def test_it_merges_to_the_same_model_or_says_by_name_why_it_cannot(name):
    model = disturbed(name)
    method = methods.METHODS[name]
    if method.merges:
        merged, proof = merge.merge(model)
        assert proof.max_logit_gap < 1e-3 < proof.adapter_gap
        assert not lora.is_attached(merged)
        return
    with pytest.raises(UserError, match=f"^{method.title} cannot be merged: .*methods.load"):
        merge.merge(model)


def test_an_adapter_of_another_base_is_refused(tmp_path):
    disturbed("prefix").save_pretrained(tmp_path / "adapter")
    other = write("qwen", tmp_path / "qwen")
    with pytest.raises(UserError, match="trained on another base"):
        methods.load(models.load(other)[0], tmp_path / "adapter")


@pytest.mark.parametrize("family", ["llama", "qwen", "gemma", "phi"])
@pytest.mark.parametrize("name", [name for name in methods.METHODS if name != "lora"])
def test_other_families_take_it_as_the_formula_counts_it(family, name, tmp_path_factory):
    folder = tmp_path_factory.getbasetemp() / f"methods-{family}"
    if not folder.is_dir():
        write(family, folder)
    model = methods.attach(models.load(folder)[0], name)
    counted = methods.count(str(folder), name)
    assert lora.trainable(model)[0] == counted.trainable
    assert counted.table()[0].startswith(methods.METHODS[name].title)


def test_what_a_base_cannot_take_is_one_sentence():
    packed, _ = models.load("pocket", "nf4")
    for name in ("vera", "oft"):
        with pytest.raises(UserError, match="not put on a base in four or eight bits"):
            methods.attach(packed, name)
    with pytest.raises(UserError, match="cannot be trained itself"):
        methods.attach(packed, "full")
    assert lora.trainable(methods.attach(packed, "prompt", tokens=3))[0] == 3 * 256


def test_conv1d_has_its_sentence():
    from transformers import GPT2Config, GPT2LMHeadModel

    model = GPT2LMHeadModel(GPT2Config(n_embd=64, n_layer=2, n_head=4, vocab_size=100))
    with pytest.raises(UserError, match=r"OFT can't be put on this GPT2LMHeadModel .*such as lora"):
        methods.attach(model, "oft")


def test_more_virtual_tokens_than_the_context_and_a_second_adapter_are_refused():
    model, _ = models.load("pocket")
    with pytest.raises(UserError, match="tokens is 1,024, and the model knows 1,024 positions"):
        methods.attach(model, "prompt", tokens=1024)
    prompted = methods.attach(model, "prompt")
    for name in ("ia3", "prompt"):
        with pytest.raises(UserError, match="carries the adapter 'default'"):
            methods.attach(prompted, name)
    lora.attach(model)
    with pytest.raises(UserError, match="carries the adapter"):
        methods.attach(model, "ia3")


def test_adalora_is_pruned_to_its_budget_over_the_true_steps():
    model = attached("adalora")
    methods.begin_pruning(model, 20)
    config = model.peft_config["default"]
    assert (config.total_step, config.tinit, config.tfinal) == (20, 2, 6)
    optimizer = torch.optim.Adam(models.trained_parameters(model), lr=5e-2)
    for step in range(20):
        loss = model(IDS, labels=IDS).loss
        loss.backward()
        optimizer.step()
        methods.prune(model, step)
        optimizer.zero_grad()
    ranks = [sum(kept) for kept in config.rank_pattern.values()]
    assert sum(ranks) == 8 * len(ranks) and len(set(ranks)) > 1
    # of a run that goes on nothing is forgotten; a new one begins anew
    state = methods.training_state(model)
    twin = attached("adalora")
    methods.restore_state(twin, state)
    assert torch.equal(logits(twin.eval()), logits(model.eval()))
    assert twin.peft_config["default"].rank_pattern == config.rank_pattern
    methods.begin_pruning(model, 20)
    assert config.rank_pattern is None


def test_the_penalty_is_the_one_that_peft_adds():
    model = attached("adalora")
    with torch.no_grad():
        loss = model(IDS, labels=IDS).loss
        plain = torch.nn.functional.cross_entropy(logits(model)[0, :-1], IDS[0, 1:])
        assert torch.allclose(methods.penalty(model), loss - plain, atol=1e-3)
        with methods.without_penalty(model):
            assert torch.allclose(model(IDS, labels=IDS).loss, plain, atol=1e-5)
        assert torch.equal(model(IDS, labels=IDS).loss, loss)
    assert methods.penalty(attached("lora")) == 0.0


def test_most_methods_go_on_from_what_peft_saves():
    for name in ("full", "lora", "ia3", "bottleneck"):
        assert methods.training_state(attached(name)) == {}

"""Models on the meta device: which are built, which part of them, and what is refused how."""

import json

import pytest
from architectures import BUILT, CAUSAL, REFUSED

from ftkit import UserError, models
from ftkit.models import architecture


@pytest.mark.parametrize("family", BUILT)
def test_every_weight_is_listed_by_name_kind_and_size(family):
    model = models.skeleton(BUILT[family])
    weights = models.list_weights(model)
    assert sum(weight.numel for weight in weights) == model.num_parameters()
    parameters = {name.removesuffix(".weight") for name, _ in model.named_parameters()}
    assert {name.removesuffix(".weight") for w in weights for name in w.names} == parameters
    # a weight that several layers share comes once, under the first one's name
    linear = {name for w in weights if w.kind in ("linear", "conv1d") for name in w.names}
    layers = {layer.weight: name for name, layer in reversed(models.linears(model).items())}
    assert linear == set(layers.values())


@pytest.mark.parametrize("name", ["gpt2", "mixtral-8x7b", "qwen3-30b-a3b", "gemma-3-1b", "pocket"])
def test_it_lists_what_the_arithmetic_gives(name):
    """All but the kind of a norm's bias, whose owner it takes for a norm as well."""
    config = architecture.read(name)

    def facts(weights):
        return sorted((w.name, w.d_out, w.d_in, w.kind, w.layers, w.each) for w in weights)

    assert facts(models.list_weights(models.skeleton(config))) == facts(architecture.shapes(config))


@pytest.mark.parametrize(
    ("stack", "config"),
    [
        ("llama", {"model_type": "llava", "text_config": {"model_type": "llama"}}),
        ("mistral", {"model_type": "mistral3", "text_config": {"model_type": "mistral"}}),
        ("llama4_text", {"model_type": "llama4", "text_config": {"model_type": "llama4_text"}}),
    ],
)
def test_of_a_model_that_also_sees_the_language_model_is_built(stack, config):
    config["text_config"] |= {"num_hidden_layers": 1, "vocab_size": 77}
    model = models.skeleton(config)
    assert model.config.model_type == stack
    assert (model.config.num_hidden_layers, model.config.vocab_size) == (1, 77)


def test_a_quantized_config_is_built_in_full_and_no_code_of_its_own_is_run():
    config = {**BUILT["opt"], "quantization_config": {"quant_method": "gptq", "bits": 4}}
    config["auto_map"] = {"AutoModelForCausalLM": "modeling_x.X"}
    assert (
        models.skeleton(config).num_parameters() == models.skeleton(BUILT["opt"]).num_parameters()
    )


@pytest.mark.parametrize(("family", "sentence"), REFUSED.items())
def test_what_predicts_no_next_token_is_refused(family, sentence):
    with pytest.raises(UserError, match=sentence) as error:
        models.skeleton({"model_type": family, "vocab_size": 77})
    assert "\n" not in str(error.value)


def test_an_encoder_that_is_told_to_decode_is_built():
    config = {"model_type": "bert", "num_hidden_layers": 1, "is_decoder": True}
    assert type(models.skeleton(config)).__name__ == "BertLMHeadModel"


@pytest.mark.parametrize(
    ("keys", "sentence"),
    [
        ({"model_type": "optt"}, r"knows no model_type 'optt'.*Did you mean 'opt'\?"),
        (
            {"model_type": "my_own", "auto_map": {"AutoModel": "x.Y"}},
            r"brings code along \(auto_map\), which is never run here",
        ),
        ({"hidden_size": -8}, r'"hidden_size" as a whole number from 1 on.*-8'),
        ({"hidden_size": "768"}, r'"hidden_size" as a whole number.*\'768\''),
        ({"num_hidden_layers": 0}, r'"num_hidden_layers".*0'),
        ({"num_hidden_layers": 10**7}, '"num_hidden_layers" is 10000000; .*at most 10,000'),
        ({"num_attention_heads": 5}, r"can't build a 'opt' from this config \(embed_dim must be"),
        ({"tie_word_embeddings": "no"}, "\"tie_word_embeddings\" is 'no'; give true or false"),
        ({"ffn_dim": "wide"}, r"can't build a 'opt' .*ffn_dim"),
        ({"hidden_size": 2**62, "num_attention_heads": 2}, "can't build a 'opt'"),
    ],
)
def test_a_config_that_can_not_be_built_is_one_sentence(keys, sentence):
    with pytest.raises(UserError, match=sentence) as error:
        models.skeleton({**BUILT["opt"], **keys})
    assert "\n" not in str(error.value)
    assert len(str(error.value)) < 400


def test_the_text_part_inside_is_looked_at_too():
    config = {"model_type": "gemma3", "text_config": {"num_hidden_layers": 10**9}}
    with pytest.raises(UserError, match=r'"num_hidden_layers" is 10+; give a model'):
        models.skeleton(config)


def test_all_causal_families_are_built_or_refused_in_one_sentence():
    """None of transformers' own list ends in a traceback, each at its defaults."""
    assert len(CAUSAL) > 150
    for family in CAUSAL[::7]:
        try:
            models.skeleton({"model_type": family})
        except UserError as error:
            assert "\n" not in str(error), family


def test_a_config_stays_as_it_was():
    """transformers writes defaults into a dictionary of rope parameters that it is given."""
    config = {**BUILT["glm4"], "rope_scaling": {"rope_type": "linear", "factor": 2.0}}
    before = json.dumps(config)
    models.skeleton(config)
    assert json.dumps(config) == before


def test_a_skeleton_is_found_by_name_and_by_file(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps(BUILT["opt"]))
    by_file = models.skeleton(tmp_path)
    assert by_file.device.type == "meta"
    assert models.skeleton(by_file).num_parameters() == by_file.num_parameters()

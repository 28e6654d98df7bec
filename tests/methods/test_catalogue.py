"""The table of methods: whole, consistent with peft, and every bad option named with its cure."""

import peft
import pytest
from peft.mapping import PEFT_TYPE_TO_CONFIG_MAPPING

from ftkit import UserError, methods
from ftkit.methods import by_peft, catalogue


def test_every_method_is_whole():
    for name, method in methods.METHODS.items():
        low, high = method.usual
        assert 0 < low < high <= 1
        assert method.trains and method.why and method.title
        assert method.merges is (name not in ("prompt", "prefix", "p_tuning", "bottleneck"))
        assert (method.virtual > 0) is (name in ("prompt", "prefix", "p_tuning"))


def test_kinds_and_classes_are_peft_s_own():
    assert by_peft.BottleneckConfig is PEFT_TYPE_TO_CONFIG_MAPPING["BOTTLENECK"]
    for name, method in methods.METHODS.items():
        if name in ("full", "bottleneck"):
            continue
        made = PEFT_TYPE_TO_CONFIG_MAPPING[peft.PeftType(method.kind)]
        assert made.__name__ == method.config
        assert methods.method_of(method.kind, dora=name == "dora") == name
    assert methods.method_of("LOHA") == methods.method_of("") == ""


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("ia33", {}, r"method is 'ia33'; give one of full, lora.* mean 'ia3'\?"),
        (None, {}, "method is None; give one of"),
        ("prompt", {"token": 4}, r"no option 'token'; its options are tokens, text.*'tokens'\?"),
        ("ia3", {"r": 4}, "IA³ has no option 'r'; its options are none"),
        ("prompt", {"tokens": 0}, "tokens is 0; give a whole number from 1 on, usually 20"),
        ("prompt", {"tokens": True}, "tokens is True"),
        ("prompt", {"text": " "}, "text is ' '; give the words"),
        ("adalora", {"alpha": 0}, "alpha is 0; give a number above 0"),
        ("adalora", {"r": 16}, "first_r is 12 and r is 16"),
        ("bottleneck", {"width": 1.5}, "width is 1.5; give a whole number"),
    ],
)
def test_what_cannot_be_is_one_sentence(name, options, message):
    with pytest.raises(UserError, match=message):
        methods.check_options(name, options)


def test_what_is_not_stated_is_as_usual():
    assert methods.check_options("prompt", {"tokens": 4}) == {"tokens": 4, "text": None}
    assert methods.check_options("ia3", {}) == {}


def test_layers_are_found_by_whole_parts_of_their_names():
    names = ["h.0.attn.c_proj", "h.0.mlp.c_proj", "h.0.xfc2"]
    assert catalogue.find_endings(names, ("mlp.c_proj", "fc2")) == ["mlp.c_proj"]

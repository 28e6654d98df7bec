"""Where a LoRA sits, drawn: every box and every rank against the pure view, and the counts that it
shows against the formula, peft and the paper.
"""

import pytest
from pictures import TorchCalls, elements, every_position, numbers, options, sweep, texts

from ftkit import UserError, lora, models

LLAMA = {
    "q_proj": (4096, 4096, 32),
    "k_proj": (1024, 4096, 32),
    "v_proj": (1024, 4096, 32),
    "o_proj": (4096, 4096, 32),
    "gate_proj": (14336, 4096, 32),
    "up_proj": (14336, 4096, 32),
    "down_proj": (4096, 14336, 32),
}
TOTAL = 8_030_261_248


def test_every_position_of_the_target_explorer():
    panel = lora.explore_targets(LLAMA, TOTAL)
    ticks = panel.controls["targets"]
    assert (ticks.value, panel.controls["r"].value) == (list(LLAMA), 8)
    for r in options(panel.controls["r"]):
        panel.controls["r"].value = r
        for label, button in ticks.presets.items():
            button.click()
            assert label == "all-linear" or len(ticks.value) < len(LLAMA)
            for name, box in ticks.boxes.items():
                before = panel.html
                for returned in (False, True):
                    box.value = not box.value
                    assert (name in ticks.value) == box.value
                    shown = lora.target_view(LLAMA, ticks.value, r, TOTAL)
                    assert (panel.html, panel.text) == (shown.svg, shown.text)
                    texts(shown)
                    assert (panel.html == before) == returned
    sweep(panel, "r")


def test_presets():
    ticks = lora.explore_targets(LLAMA, TOTAL).controls["targets"]
    chosen = {}
    for label, button in ticks.presets.items():
        button.click()
        chosen[label] = ticks.value
    assert chosen == {
        "all-linear": list(LLAMA),
        "attention": ["q_proj", "k_proj", "v_proj", "o_proj"],
        "MLP": ["gate_proj", "up_proj", "down_proj"],
        "q, v": ["q_proj", "v_proj"],
    }
    fused = lora.explore_targets(
        {"qkv_proj": (96, 32, 2), "gate_up_proj": (64, 32, 2), "router": (8, 32, 2)}, 9999
    ).controls["targets"]
    assert list(fused.presets) == ["all-linear", "attention", "MLP", "other"]


def test_the_counts_are_those_of_the_paper_and_of_peft():
    shown = lora.target_view(LLAMA, ["q_proj", "v_proj"], 8, TOTAL)
    assert shown.text.startswith(
        "r = 8 on q_proj, v_proj: 3,407,872 trained of 8,033,669,120 (0.0424 %), "
        "13.6 MB in fp32, 6.82 MB"
    )
    assert "(7.71 %)" in lora.target_view(LLAMA, list(LLAMA), 256, TOTAL).text, (
        "of base and adapter, not of the base alone"
    )
    model, _ = models.load("pocket")
    layers = models.linears(model)
    parts = {}
    for name, layer in layers.items():
        part = name.rsplit(".", 1)[-1]
        parts[part] = (*layer.weight.shape, parts.get(part, (0, 0, 0))[2] + 1)
    total = sum(p.numel() for p in model.parameters())
    ours = lora.target_view(parts, ["k_proj", "down_proj"], 4, total).text
    trained, both = lora.trainable(lora.attach(model, 4, 8, ["k_proj", "down_proj"]))
    assert f"{trained:,} trained of {both:,}" in ours


def test_the_target_view_teaches_and_bears_odd_models():
    with pytest.raises(
        UserError, match=r"no part 'q_prj'; it has q_proj, k_proj.*Did you mean 'q_proj'"
    ):
        lora.target_view(LLAMA, ["q_prj"], 8, TOTAL)
    assert "on nothing: 0 trained" in lora.target_view(LLAMA, [], 8, TOTAL).text
    many = {f"expert_{i}_w": (64, 32, 2) for i in range(20)}
    assert "expert_19_w" in texts(lora.target_view(many, list(many), 4, 10_000))
    texts(
        lora.target_view(
            {"c_attn": (2304, 768, 12), "c_proj": (768, 768, 12)}, ["c_attn"], 256, 124_439_808
        )
    )
    assert options(lora.explore_targets(many, 10_000).controls["r"]) == [1, 2, 4, 8, 16, 32], (
        "no rank above the shortest side"
    )


def test_one_move_draws_once():
    panel = lora.explore_targets(LLAMA, TOTAL)
    drawn, view = [], panel.view
    panel.view = lambda **choices: drawn.append(choices["targets"]) or view(**choices)
    panel.controls["targets"].value = ["q_proj"]
    assert drawn == [["q_proj"]], "though a preset unticks many boxes"


def test_a_name_is_written_not_run():
    assert "<b>" in texts(lora.target_view({"<b>": (8, 8, 1)}, ["<b>"], 2, 64))


def test_it_is_drawn_without_torch():
    targets = lora.explore_targets(LLAMA, TOTAL)
    with TorchCalls() as calls:
        for chosen in targets.controls["targets"].boxes.values():
            chosen.value = False
            assert list(every_position(targets, "r"))
    assert not calls, calls.largest


def test_two_paths_are_drawn_in_proportion_and_counted():
    shown = lora.paths_view(128, 512, 16, 32, "up_proj")
    said = texts(shown)
    for label in ("up_proj, frozen: 128 × 512", "A: 16 × 512", "B: 128 × 16", "× alpha / r = 2"):
        assert label in said
    assert any(f"{16 * (128 + 512):,} numbers beside {128 * 512:,}" in line for line in said)
    sides = {tuple(numbers(box, "width", "height")) for box in elements(shown.svg, "rect")}
    assert {(112.0, 28.0), (112.0, 3.5), (3.5, 28.0)} <= sides, "W, A and B, in one scale"
    assert shown.text == (
        "up_proj (128 × 512) with LoRA at r = 16, alpha = 32: 10,240 of 65,536 numbers (15.6 %) "
        "are trained"
    )


@pytest.mark.parametrize("r", [0, 129, -1])
def test_a_path_without_room_for_its_rank_is_refused(r):
    with pytest.raises(UserError, match=f"r is {r}, and 128 × 512 has room for 1 to 128"):
        lora.paths_view(128, 512, r)


def test_every_position_of_the_paths():
    panel = lora.explore_paths({"q_proj": (64, 64), "k_proj": (16, 64)})
    seen = [
        (chosen["matrix"], chosen["r"]) for chosen in every_position(panel) if texts(panel.shown)
    ]
    assert seen == [
        *(("q_proj", r) for r in (1, 2, 4, 8, 16, 32, 64)),
        *(("k_proj", r) for r in (1, 2, 4, 8, 16)),
    ]

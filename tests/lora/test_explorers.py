"""The explorers: every control through every position, against the pure view and in bounds; what a
picture promises; and that a moved control computes nothing anew.
"""

import itertools
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from pictures import TorchCalls, every_position, options, pixels, sweep, texts

from ftkit import lora, models
from ftkit.lora import rank_explorer, spectrum

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
KEPT = {0: {"task": (0.0, 0.0, 0.0)}} | {
    r: {"task": (r / 20, r / 25, r / 16), "skills": (0.9, 0.8, 1.0)} for r in (1, 2, 4, 8, 16)
}
TRAINED = {4: {"task": (0.7, 0.6, 0.8)}, 8: {"task": (0.75, 0.7, 0.8)}}
ALPHAS, LRS = (4, 8.0, 16.0), (0.001, 0.002, 0.004, 0.008)


def row(alpha, lr, seed, task, skill, **more):
    """One run of a grid, with the keys that the explorer reads."""
    setting = {"data": "tickets", "r": 8, "targets": "all-linear", "epochs": 2}
    columns = {
        **setting,
        "alpha": alpha,
        "lr": lr,
        "seed": seed,
        "task": task,
        "skills": {"copy": skill, "sort": 1.0},
        **more,
    }
    return SimpleNamespace(**columns)


@pytest.fixture(scope="module")
def groups():
    rng = np.random.default_rng(0)

    def matrix(*shape):
        return spectrum.svd(torch.tensor(rng.standard_normal(shape)))

    def name(layer, matrix):
        return f"model.layers.{layer}.self_attn.{matrix}"

    whole = {name(i, m): matrix(d, 16) for i in (0, 1) for m, d in (("q_proj", 16), ("k_proj", 8))}
    return {
        "W": whole,
        "ΔW of LoRA": {name(1, "q_proj"): matrix(16, 16), name(1, "v_proj"): matrix(6, 16)},
    }


@pytest.fixture(scope="module")
def rows():
    rng = np.random.default_rng(0)
    runs = [
        row(a, b, s, rng.random(), rng.random())
        for a in ALPHAS
        for b in LRS
        for s in range(3)
        if (a, b) != (16, 0.008)
    ]
    full = [row(0, lr, 0, 1.0, 1.0, r=0) for lr in np.linspace(1e-4, 1e-3, 20)]
    return [
        *full,
        row(2, 0.001, 0, 1.0, 1.0, r=1),
        *runs,
        row(16, 0.3, 0, 0.0, 0.0, targets=["q_proj"]),
    ]


def test_every_position_of_the_rank_explorer(groups):
    panel = lora.explore_ranks(groups, KEPT, TRAINED)

    def pure():
        chosen = {name: control.value for name, control in panel.controls.items()}
        spectra = groups[chosen["which"]]
        name = next(
            n for n in spectra if n.endswith(f"{chosen['layer']}.self_attn.{chosen['matrix']}")
        )
        curves = (KEPT, TRAINED) if chosen["which"] != "W" else (None, None)
        return lora.rank_view(
            spectra[name], chosen["r"], f"{chosen['which']}, {name.removeprefix('model.')}", *curves
        )

    assert panel.controls["r"].value == 8
    for which in groups:
        panel.controls["which"].value = which
        for layer in options(panel.controls["layer"]):
            panel.controls["layer"].value = layer
            for matrix in options(panel.controls["matrix"]):
                panel.controls["matrix"].value = matrix
                for r in options(panel.controls["r"]):
                    panel.controls["r"].value = r
                    shown = pure()
                    assert (panel.html, panel.text) == (shown.svg, shown.text)
                    texts(shown)
                sweep(panel, "r")
            sweep(panel, "matrix")
        sweep(panel, "layer")


def test_choices_that_are_not_there_give_way(groups):
    panel = lora.explore_ranks(groups)
    assert {name: options(control) for name, control in panel.controls.items()} == {
        "which": ["W", "ΔW of LoRA"],
        "layer": [0, 1],
        "matrix": ["q_proj", "k_proj"],
        "r": [1, 2, 3, 4, 6, 8, 12, 16],
    }
    panel.controls["r"].value = 16
    panel.controls["matrix"].value = "k_proj"
    assert (panel.controls["r"].value, options(panel.controls["r"])) == (8, [1, 2, 3, 4, 6, 8])
    panel.controls["which"].value = "ΔW of LoRA"
    assert {name: control.value for name, control in panel.controls.items()} == {
        "which": "ΔW of LoRA",
        "layer": 1,
        "matrix": "q_proj",
        "r": 8,
    }
    assert "16 × 16" in panel.text
    panel.controls["which"].value = "W"
    assert (panel.controls["layer"].value, panel.controls["matrix"].value) == (1, "q_proj"), (
        "what is still there stays chosen"
    )


def test_the_rank_view_says_what_a_truncation_keeps():
    S = spectrum.svd(torch.diag(torch.tensor([4.0, 3.0])))
    assert (
        lora.rank_view(S, 1, "D").text
        == "D (2 × 2) at r = 1: error ≈0.6, energy kept ≈64.0 %, 4 of 4 numbers, 16 B of 16 B"
    )
    assert "error ≈0," in lora.rank_view(S, 2).text
    with pytest.raises(ValueError, match="r is 3; for a 2 × 2 matrix"):
        lora.rank_view(S, 3)
    written = texts(lora.rank_view(S, 1, "D", KEPT, TRAINED))
    assert {"0.600", "64.0 %", "of 4"} <= {*written, *(text[-4:] for text in written)}
    assert "cut to r: 5.0" in written and "LoRA" in written, "LoRA was not measured at r = 1"


def test_measured_accuracy_stands_in_the_line_where_it_was_measured(groups):
    S = groups["W"]["model.layers.0.self_attn.q_proj"]
    line = lora.rank_view(S, 4, cut_scores=KEPT, lora_scores=TRAINED).text
    assert line.endswith(
        "cut to r: task ≈20.0 % [16.0, 25.0]; cut to r: skills ≈90.0 % [80.0, 100.0]; LoRA: task ≈70.0 % [60.0, 80.0]"
    )
    assert "task" not in lora.rank_view(S, 6, cut_scores=KEPT, lora_scores=TRAINED).text


def test_a_matrix_of_zeros_and_a_low_rank_one_can_be_shown():
    texts(lora.rank_view(spectrum.svd(torch.zeros(4, 6)), 2))
    shown = lora.rank_view(spectrum.svd(torch.ones(300, 20)), 1)
    assert "error ≈" in shown.text and "300 × 20" in shown.text
    texts(shown)


def test_a_large_matrix_stays_a_small_picture():
    wide = lora.rank_view(
        spectrum.svd(torch.tensor(np.random.default_rng(0).standard_normal((96, 4096)))), 64
    )
    square = lora.rank_view(
        spectrum.svd(torch.tensor(np.random.default_rng(0).standard_normal((512, 512)))), 64
    )
    assert max(len(wide.svg), len(square.svg)) < 25_000


def test_the_three_heat_maps_are_the_matrix_its_approximation_and_the_rest(groups):
    S = groups["W"]["model.layers.0.self_attn.q_proj"]
    whole, best, left = pixels(lora.rank_view(S, 16).svg)
    assert (whole == best).all() and (left == 7).all()
    whole, best, left = (p.astype(int) - 7 for p in pixels(lora.rank_view(S, 8).svg))
    assert not (whole == best).all()
    unclipped = abs(whole) < 7
    assert abs(whole - best - left)[unclipped].max() <= 1


def test_every_position_of_the_alpha_explorer(rows):
    panel = lora.explore_alphas(rows)
    assert (panel.controls["alpha"].value, panel.controls["lr"].value) == (8, 0.004)
    for alpha, lr in itertools.product(ALPHAS, LRS):
        panel.controls["alpha"].value, panel.controls["lr"].value = alpha, lr
        shown = lora.alpha_view(lora.alpha_grid(rows), alpha, lr)
        assert (panel.html, panel.text) == (shown.svg, shown.text)
        assert f"alpha = {alpha:g} (scale {alpha / 8:g}), lr = {lr:g}" in panel.text
        texts(shown)
        for name in panel.controls:
            sweep(panel, name)


def test_cells_are_means_over_seeds_of_the_largest_grid(rows):
    found = lora.alpha_grid(rows)
    assert sorted(found) == [(a, b) for a in ALPHAS for b in LRS if (a, b) != (16, 0.008)]
    runs = [r for r in rows if (r.alpha, r.lr, r.targets) == (16, 0.002, "all-linear")]
    tasks = [r.task for r in runs]
    skills = [(r.skills["copy"] + 1) / 2 for r in runs]
    cell = found[16, 0.002]
    assert (cell.r, cell.seeds) == (8, 3)
    assert cell.task == pytest.approx((sum(tasks) / 3, min(tasks), max(tasks)))
    assert cell.skills == pytest.approx((sum(skills) / 3, min(skills), max(skills)))
    with pytest.raises(ValueError, match="no LoRA run among the 1 rows"):
        lora.alpha_grid(rows[:1])


def test_the_alpha_view_in_numbers():
    grid = lora.alpha_grid(
        [row(8, 0.001, s, t, t) for s, t in ((0, 0.5), (1, 0.7))] + [row(16, 0.002, 0, 1.0, 1.0)]
    )
    line = "r = 8, alpha = 8 (scale 1), lr = 0.001: task right ≈60.0 % [50.0, 70.0], skills right ≈80.0 % [75.0, 85.0], "
    shown = lora.alpha_view(grid, 8, 0.001)
    assert shown.text == line + "mean and range of 2 seeds"
    written = texts(shown)
    assert written.count("60.0") == 1 and written.count("–") == 4, (
        "two maps of four squares, two of them without runs"
    )
    assert lora.alpha_view(grid, 16, 0.001).text.endswith("lr = 0.001: no run here")
    assert lora.alpha_view(grid, 16, 0.002).text.endswith("mean and range of 1 seed")


def test_every_position_of_the_attach_explorer():
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
                for _ in range(2):
                    box.value = not box.value
                    assert (name in ticks.value) == box.value
                    shown = lora.target_view(LLAMA, ticks.value, r, TOTAL)
                    assert (panel.html, panel.text) == (shown.svg, shown.text)
                    texts(shown)
                    assert (panel.html == before) == (_ == 1)
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
        "r = 8 on q_proj, v_proj: 3,407,872 trained of 8,033,669,120 (0.0424 %), 13.6 MB in fp32, 6.82 MB"
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


def test_the_attach_view_teaches_and_bears_odd_models():
    with pytest.raises(ValueError, match=r"no part 'q'; it has q_proj, k_proj"):
        lora.target_view(LLAMA, ["q"], 8, TOTAL)
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


def test_one_move_draws_once(groups):
    for panel, name, value in (
        (lora.explore_targets(LLAMA, TOTAL), "targets", ["q_proj"]),
        (lora.explore_ranks(groups), "which", "ΔW of LoRA"),
    ):
        drawn, view = [], panel.view
        panel.view = lambda view=view, drawn=drawn, **choices: (
            drawn.append(choices) or view(**choices)
        )
        panel.controls[name].value = value
        assert [choices[name] for choices in drawn] == [value], (
            "a preset ticks many boxes, and a matrix brings its own ranks"
        )


def test_names_are_written_not_run(groups):
    shown = lora.rank_view(groups["W"]["model.layers.0.self_attn.q_proj"], 2, "<script>\"'&")
    assert "<script>" not in shown.svg
    assert texts(shown)[0].startswith("<script>\"'&")
    assert "<b>" in texts(lora.target_view({"<b>": (8, 8, 1)}, ["<b>"], 2, 64))


def test_a_moved_control_decomposes_nothing_anew():
    model, _ = models.load("pocket")
    spectra = {n: spectrum.svd(layer.weight) for n, layer in models.linears(model).items()}
    first = {name: S for name, S in spectra.items() if ".0." in name}
    panel = lora.explore_ranks({"W": spectra, "ΔW": first}, KEPT, TRAINED)
    with TorchCalls() as calls:
        moves = sum(1 for _ in every_position(panel))
    assert moves > 100
    assert not [name for name in calls.largest if "svd" in name]
    product = calls.largest["matmul"]
    assert product <= rank_explorer.PIXELS**2, "a view multiplies out more than it shows"


def test_alphas_and_targets_are_drawn_without_torch(rows):
    alphas, targets = lora.explore_alphas(rows), lora.explore_targets(LLAMA, TOTAL)
    with TorchCalls() as calls:
        assert sum(1 for _ in every_position(alphas)) == len(ALPHAS) * len(LRS)
        for chosen in targets.controls["targets"].boxes.values():
            chosen.value = False
            assert list(every_position(targets, "r"))
    assert not calls, calls.largest

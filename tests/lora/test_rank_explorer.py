"""What a cut to rank r keeps, drawn: every position of the controls against the pure view, the
numbers in words, and that a moved control computes nothing anew.
"""

import numpy as np
import pytest
import torch
from pictures import TorchCalls, every_position, options, pixels, sweep, texts

from ftkit import UserError, lora, models
from ftkit.lora import rank_explorer, spectrum

CUT = {0: {"task": (0.0, 0.0, 0.0)}} | {
    r: {"task": (r / 20, r / 25, r / 16), "skills": (0.9, 0.8, 1.0)} for r in (1, 2, 4, 8, 16)
}
TRAINED = {4: {"task": (0.7, 0.6, 0.8)}, 8: {"task": (0.75, 0.7, 0.8)}}


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


def test_every_position_of_the_rank_explorer(groups):
    panel = lora.explore_ranks(groups, CUT, TRAINED)

    def pure():
        which, layer, matrix, r = (control.value for control in panel.controls.values())
        place = f"layers.{layer}.self_attn.{matrix}"
        scores = (CUT, TRAINED) if which != "W" else (None, None)
        return lora.rank_view(groups[which][f"model.{place}"], r, f"{which}, {place}", *scores)

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
    assert lora.rank_view(S, 1, "D").text == (
        "D (2 × 2) at r = 1: error ≈0.6, energy kept ≈64.0 %, 4 of 4 numbers, 16 B of 16 B"
    )
    assert "error ≈0," in lora.rank_view(S, 2).text
    written = texts(lora.rank_view(S, 1, "D", CUT, TRAINED))
    assert {"0.600", "64.0 %", "of 4"} <= {*written, *(text[-4:] for text in written)}
    assert "cut to r: 5.0" in written and "LoRA" in written, "LoRA was not measured at r = 1"


def test_measured_accuracy_stands_in_the_line_where_it_was_measured(groups):
    S = groups["W"]["model.layers.0.self_attn.q_proj"]
    line = lora.rank_view(S, 4, cut_scores=CUT, lora_scores=TRAINED).text
    assert line.endswith(
        "cut to r: task ≈20.0 % [16.0, 25.0]; cut to r: skills ≈90.0 % [80.0, 100.0]; "
        "LoRA: task ≈70.0 % [60.0, 80.0]"
    )
    assert "task" not in lora.rank_view(S, 6, cut_scores=CUT, lora_scores=TRAINED).text


def test_a_matrix_of_zeros_and_a_low_rank_one_can_be_shown():
    texts(lora.rank_view(spectrum.svd(torch.zeros(4, 6)), 2))
    shown = lora.rank_view(spectrum.svd(torch.ones(300, 20)), 1)
    assert "error ≈" in shown.text and "300 × 20" in shown.text
    texts(shown)


@pytest.mark.parametrize(
    ("r", "message"),
    [
        (3, "r is 3; for a 2 × 2 matrix"),
        (1.0, r"r is 1\.0; for a 2 × 2 matrix"),
        (0, "a cut to rank 0 leaves nothing to be drawn; give 1 to 2"),
    ],
)
def test_a_rank_that_can_not_be_drawn(r, message):
    with pytest.raises(UserError, match=message):
        lora.rank_view(spectrum.svd(torch.eye(2)), r)


@pytest.mark.parametrize("shape", [(1, 5), (5, 1), (1, 1)])
def test_a_matrix_with_one_row_or_column_can_be_shown(shape):
    """Its only rank is 1, and a logarithmic axis from 1 to 1 has no length."""
    shown = lora.rank_view(spectrum.svd(torch.ones(shape)), 1, "", CUT, TRAINED)
    assert "error ≈0," in shown.text
    texts(shown)


@pytest.mark.parametrize("shape", [(96, 4096), (512, 512)])
def test_a_large_matrix_stays_a_small_picture(shape):
    W = torch.tensor(np.random.default_rng(0).standard_normal(shape))
    assert len(lora.rank_view(spectrum.svd(W), 64).svg) < 25_000


def test_the_three_heat_maps_are_the_matrix_its_approximation_and_the_rest(groups):
    S = groups["W"]["model.layers.0.self_attn.q_proj"]
    whole, best, left = pixels(lora.rank_view(S, 16).svg)
    assert (whole == best).all() and (left == 7).all()
    whole, best, left = (p.astype(int) - 7 for p in pixels(lora.rank_view(S, 8).svg))
    assert not (whole == best).all()
    unclipped = abs(whole) < 7
    assert abs(whole - best - left)[unclipped].max() <= 1


def test_one_move_draws_once(groups):
    panel = lora.explore_ranks(groups)
    drawn, view = [], panel.view
    panel.view = lambda **choices: drawn.append(choices["which"]) or view(**choices)
    panel.controls["which"].value = "ΔW of LoRA"
    assert drawn == ["ΔW of LoRA"], "though the matrix brings its own ranks"


def test_a_name_is_written_not_run(groups):
    shown = lora.rank_view(groups["W"]["model.layers.0.self_attn.q_proj"], 2, "<script>\"'&")
    assert "<script>" not in shown.svg
    assert texts(shown)[0].startswith("<script>\"'&")


def test_a_moved_control_decomposes_nothing_anew():
    model, _ = models.load("pocket")
    spectra = {n: spectrum.svd(layer.weight) for n, layer in models.linears(model).items()}
    first = {name: S for name, S in spectra.items() if ".0." in name}
    panel = lora.explore_ranks({"W": spectra, "ΔW": first}, CUT, TRAINED)
    with TorchCalls() as calls:
        moves = sum(1 for _ in every_position(panel))
    assert moves > 100
    assert not [name for name in calls.largest if "svd" in name]
    product = calls.largest["matmul"]
    assert product <= rank_explorer.PIXELS**2, "a view multiplies out more than it shows"

"""The same cell gives the same run: where a run starts, what an interrupt and other settings leave.

Going on after a kill is held in test_run_folder.py.
"""

import copy
import threading

import pytest
import torch
from accelerate.state import AcceleratorState

from ftkit import UserError, data, lora, merge, models, train
from ftkit.core.session import plain_torch

RECIPE = train.Recipe(epochs=1, batch_size=4, warmup=0, evaluations=0)  # 2 steps
HOTTER = train.Recipe(lr=1e-2, epochs=1, batch_size=4, warmup=0, evaluations=0)


@pytest.fixture(scope="module")
def rows():
    return {"train": data.first(data.load("tickets")["train"], 8)}


@pytest.fixture
def attached():
    model, tokenizer = models.load("pocket")
    return lora.attach(model, r=2, alpha=4, seed=0), tokenizer


def weights_of(model):
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}


def same(first, second):
    return all(torch.equal(tensor, second[name]) for name, tensor in first.items())


# The same call again.


def test_the_same_cell_again_is_the_same_run_bit_for_bit(attached, rows):
    first = train.sft(*attached, rows, RECIPE)
    losses, left = first.losses, weights_of(first.model)
    second = train.sft(*attached, rows, RECIPE)
    assert second.losses == losses
    assert same(left, weights_of(second.model))
    assert second.json()["starts_from"] == "untouched adapter"
    assert ("starts from", "untouched adapter") in second.table()[2]


def test_dropout_and_what_was_drawn_in_between_change_nothing(rows):
    model, tokenizer = models.load("pocket")
    adapted = lora.attach(model, r=2, dropout=0.3, seed=0)
    first = train.sft(adapted, tokenizer, rows, RECIPE).losses
    torch.manual_seed(77)
    torch.rand(5)
    assert train.sft(adapted, tokenizer, rows, RECIPE).losses == first


def test_a_changed_recipe_starts_anew_and_says_so_and_the_first_runs_weights_are_gone(
    attached, rows
):
    """Two runs on one adapter: what the first had learned must not be taken for the second's."""
    cool = train.sft(*attached, rows, RECIPE)
    with pytest.warns(
        UserWarning, match=r"put back to its start: .*2 steps at lr 0\.002.*sft\(run"
    ):
        hot = train.sft(*attached, rows, HOTTER)
    assert hot.losses[0] == cool.losses[0]
    assert hot.training.start == "untouched adapter"
    with pytest.raises(UserError, match="this run's weights are gone: a later run"):
        _ = cool.model
    assert hot.model is attached[0]


def test_a_run_goes_on_from_another_one_and_that_cell_too_can_be_run_again(attached, rows):
    first = train.sft(*attached, rows, RECIPE)
    second = train.sft(first, attached[1], rows, RECIPE)
    assert second.training.start == "an adapter trained before, 2 steps at lr 0.002"
    assert second.losses[0] != first.losses[0]
    third = train.sft(second, attached[1], rows, RECIPE)
    assert third.training.start == "an adapter trained before, 4 steps in 2 runs"
    again = train.sft(first, attached[1], rows, RECIPE)
    assert again.losses == second.losses
    with pytest.raises(UserError, match="are gone: its model was trained again since; run the"):
        train.sft(third, attached[1], rows, RECIPE)


def test_weights_that_other_hands_changed_are_a_new_start_that_is_said(attached, rows):
    first = train.sft(*attached, rows, RECIPE)
    with torch.no_grad():
        models.trained_parameters(first.model)[0].add_(0.01)
    with pytest.warns(UserWarning, match="changed since a run had trained it .2 steps at lr 0.002"):
        second = train.sft(*attached, rows, RECIPE)
    assert second.training.start == "an adapter that was changed outside train.sft"
    assert second.losses != first.losses
    assert train.sft(*attached, rows, RECIPE).losses == second.losses


def test_a_copy_of_a_tuned_model_starts_where_the_original_did(attached, rows):
    first = train.sft(*attached, rows, RECIPE)
    twin = merge.independent_copy(first.model)
    assert train.sft(twin, attached[1], rows, RECIPE).losses == first.losses
    assert first.model is attached[0]
    assert copy.deepcopy(first).model is not first.model


def test_a_model_that_was_trained_itself_is_refused_and_goes_on_when_told_to(rows):
    model, tokenizer = models.load("pocket")
    first = train.sft(model, tokenizer, rows, RECIPE)
    assert first.training.start == "the model as it was given"
    left = weights_of(model)
    with pytest.raises(UserError, match=r"trained already \(2 steps at lr 0.002\).*models\.load"):
        train.sft(model, tokenizer, rows, RECIPE)
    assert same(left, weights_of(model))
    second = train.sft(first, tokenizer, rows, RECIPE)
    assert second.training.start == "a model trained before, 2 steps at lr 0.002"
    with pytest.raises(UserError, match=r"load its model again by models\.load"):
        train.sft(first, tokenizer, rows, RECIPE)


def test_an_adapter_on_a_base_that_was_trained_itself_is_of_no_known_base(rows):
    """Its files are another base's: opened again on those, it would be another model."""
    model, tokenizer = models.load("pocket")
    train.sft(model, tokenizer, rows, RECIPE)
    run = train.sft(lora.attach(model, r=2), tokenizer, rows, RECIPE)
    assert run.training.start == "untouched adapter, on a base trained before, 2 steps at lr 0.002"
    assert run.hashes["base"].startswith("unknown")


def test_a_saved_adapter_is_trained_on_and_named(attached, rows, tmp_path):
    """peft loads it frozen, and torch then finds nothing to train."""
    train.sft(*attached, rows, RECIPE).model.save_pretrained(tmp_path)
    again = lora.load(models.load("pocket")[0], tmp_path)
    first = train.sft(again, attached[1], rows, RECIPE)
    assert first.training.start == f"the adapter saved in {tmp_path}"
    assert train.sft(again, attached[1], rows, RECIPE).losses == first.losses


@pytest.mark.parametrize(
    ("give", "said"),
    [
        (lambda tuned: tuned.get_base_model(), "carries the adapter 'default'; train the model"),
        (lambda tuned: merge.merge(tuned)[0], "every weight of this model is frozen"),
    ],
    ids=["the base around it", "merged"],
)
def test_what_can_not_be_trained_is_refused(give, said, attached, rows):
    with pytest.raises(UserError, match=said):
        train.sft(give(attached[0]), attached[1], rows, RECIPE)


def test_an_adapter_that_was_merged_in_place_is_gone_for_its_run_too(attached, rows, tmp_path):
    """Saved or carried over it would be an adapter without any matrix."""
    run = train.sft(*attached, rows, RECIPE)
    merge.merge(run.model, in_place=True)
    experiment = train.Experiment(rows=8, lora={"r": 2, "alpha": 4}, recipe=RECIPE)
    for use in (
        lambda: run.model,
        lambda: merge.merge(attached[0]),
        lambda: lora.deltas(attached[0]),
        lambda: lora.carry_over(attached[0], models.load("pocket")[0]),
        lambda: train.save_run(experiment, run, attached[1], tmp_path / "run"),
    ):
        with pytest.raises(
            UserError, match="adapter is gone: it was merged into the base in place"
        ):
            use()
    assert not list(tmp_path.iterdir())


# Interrupted.


def interrupt(step, *_):
    if step == 1:
        raise KeyboardInterrupt


@pytest.mark.parametrize("mode", [True, False], ids=["training", "evaluation"])
def test_an_interrupt_leaves_an_adapter_as_it_was(mode, attached, rows):
    model = attached[0].train(mode)
    before = weights_of(model)
    with pytest.raises(KeyboardInterrupt):
        train.sft(*attached, rows, RECIPE, watch=interrupt)
    assert same(before, weights_of(model))
    assert {module.training for module in model.modules()} == {mode}
    assert all(parameter.grad is None for parameter in model.parameters())
    assert not any("forward" in vars(module) for module in model.modules())
    assert train.under_way() is None
    # and the cell run again is a first run
    fresh = lora.attach(models.load("pocket")[0], r=2, alpha=4, seed=0)
    first = train.sft(fresh, attached[1], rows, RECIPE)
    assert train.sft(*attached, rows, RECIPE).losses == first.losses


def test_an_interrupted_second_run_leaves_the_first_ones_weights(attached, rows):
    first = train.sft(*attached, rows, RECIPE)
    left = weights_of(first.model)
    with pytest.raises(KeyboardInterrupt):
        train.sft(first, attached[1], rows, RECIPE, watch=interrupt)
    assert same(left, weights_of(first.model))


def test_a_model_that_was_trained_itself_and_interrupted_is_refused(rows):
    model, tokenizer = models.load("pocket")
    with pytest.raises(KeyboardInterrupt):
        train.sft(model, tokenizer, rows, RECIPE, watch=interrupt)
    with pytest.raises(UserError, match=r"trained already .a run that broke off, at lr"):
        train.sft(model, tokenizer, rows, RECIPE)


def test_checkpointing_ends_with_the_run(attached, rows):
    """Else all that comes after it generates without a cache."""
    recipe = train.Recipe(epochs=1, batch_size=4, warmup=0, evaluations=0, checkpointing=True)
    model = train.sft(*attached, rows, recipe).model
    assert model.config.use_cache is True
    assert not any(getattr(module, "gradient_checkpointing", False) for module in model.modules())


# What another cell has left on.


def left_on(kind):
    return {
        "no gradients": lambda on: torch.set_grad_enabled(not on),
        "float64": lambda on: torch.set_default_dtype(torch.float64 if on else torch.float32),
        "another device": lambda on: torch.set_default_device("meta" if on else None),
    }[kind]


@pytest.mark.parametrize("kind", ["no gradients", "float64", "another device"])
def test_what_another_cell_left_on_changes_no_run(kind, attached, rows):
    first = train.sft(*attached, rows, RECIPE).losses
    model = models.load("pocket")[0]
    switch = left_on(kind)
    switch(True)
    try:
        again = train.sft(lora.attach(model, r=2, alpha=4, seed=0), attached[1], rows, RECIPE)
    finally:
        switch(False)
    assert again.losses == first


def test_a_run_inside_inference_mode_trains(attached, rows):
    first = train.sft(*attached, rows, RECIPE).losses
    with torch.inference_mode():
        assert train.sft(*attached, rows, RECIPE).losses == first
        assert torch.is_inference_mode_enabled()


def test_torch_is_as_the_cell_left_it_after_the_block():
    torch.set_default_dtype(torch.float64)
    try:
        with pytest.raises(ZeroDivisionError), torch.no_grad(), plain_torch():
            assert torch.is_grad_enabled()
            assert torch.get_default_dtype() == torch.float32
            raise ZeroDivisionError
        assert torch.get_default_dtype() == torch.float64
    finally:
        torch.set_default_dtype(torch.float32)


# One at a time.


def test_a_second_run_meanwhile_is_refused_and_the_first_goes_on(attached, rows):
    """Each sets the random generators and accelerate's state for all: a second one kills it."""
    alone = train.sft(*attached, rows, RECIPE).losses
    said = []

    def another(step, *_):
        other = lora.attach(models.load("pocket")[0], r=2)

        def try_it():
            with pytest.raises(UserError) as refused:
                train.sft(other, attached[1], rows, RECIPE)
            said.append(str(refused.value))

        thread = threading.Thread(target=try_it)
        thread.start()
        thread.join()

    run = train.sft(*attached, rows, RECIPE, watch=another)
    assert run.losses == alone
    assert len(said) == 2
    assert "train.sft at lr 0.002, begun at" in said[1]
    assert "step 2 of 2" in said[1]
    assert "train.under_way().stop()" in said[1]


def test_a_run_can_be_ended_from_elsewhere_and_says_that_it_was(attached, rows):
    run = train.sft(*attached, rows, RECIPE, watch=lambda *_: train.under_way().stop())
    assert run.steps == 1
    assert run.ended_early
    assert run.json()["notes"] == ["ended early, as asked: step 1 of 2."]
    assert not train.sft(*attached, rows, RECIPE).ended_early


def test_a_trainer_of_another_cell_that_takes_accelerates_state_is_told(attached, rows):
    def take(*_):
        AcceleratorState._reset_state()

    with pytest.raises(UserError, match="another trainer was made in this session while this run"):
        train.sft(*attached, rows, RECIPE, watch=take)
    assert train.under_way() is None

"""Every name of another library that the kit leans on is still there: the table below fails with
the library, its version and the name.

A name that moved is mended here and in ftkit together; a name that ftkit no longer uses, or uses
without telling, fails as well.
"""

import ast
import dataclasses
import functools
import importlib.metadata
import inspect
import re
from pathlib import Path

import pytest

from ftkit import UserError
from ftkit.lessons import guides
from ftkit.train import trainer

PACKAGE = Path(__file__).parents[1] / "ftkit"
LIBRARIES = (
    "transformers",
    "trl",
    "peft",
    "bitsandbytes",
    "accelerate",
    "datasets",
    "huggingface_hub",
)

# What a call is given by name: arguments, and fields of a config.
ARGUMENTS = {
    "huggingface_hub.snapshot_download": "allow_patterns ignore_patterns",
    "trl.SFTConfig": """
        output_dir learning_rate num_train_epochs per_device_train_batch_size
        gradient_accumulation_steps per_device_eval_batch_size warmup_steps lr_scheduler_type
        weight_decay max_length packing seed data_seed bf16 fp16 use_cpu
        gradient_checkpointing logging_steps logging_nan_inf_filter report_to disable_tqdm
        restore_callback_states_from_checkpoint load_best_model_at_end dataloader_pin_memory
        metric_for_best_model greater_is_better eval_strategy eval_steps save_strategy
        save_steps run_name ddp_find_unused_parameters
    """,
    "trl.SFTTrainer": "model args processing_class callbacks train_dataset eval_dataset",
    "trl.DPOConfig": """
        beta loss_type loss_weights max_length precompute_ref_log_probs precompute_ref_batch_size
    """,
    "trl.KTOConfig": "beta max_length",
    "trl.RewardConfig": "max_length",
    "trl.RLOOConfig": "beta num_generations max_completion_length temperature disable_dropout",
    "trl.GRPOConfig": "beta num_generations max_completion_length temperature disable_dropout",
    "trl.DPOTrainer": "args processing_class callbacks train_dataset eval_dataset",
    "trl.KTOTrainer": "args processing_class callbacks train_dataset eval_dataset ref_model",
    "trl.RewardTrainer": "args processing_class callbacks train_dataset eval_dataset",
    "trl.RLOOTrainer": "args processing_class callbacks train_dataset eval_dataset reward_funcs",
    "trl.GRPOTrainer": "args processing_class callbacks train_dataset eval_dataset reward_funcs",
    "transformers.Trainer.train": "resume_from_checkpoint",
    "transformers.EarlyStoppingCallback": "early_stopping_patience",
    "transformers.BitsAndBytesConfig": """
        load_in_8bit load_in_4bit bnb_4bit_quant_type bnb_4bit_use_double_quant
        bnb_4bit_compute_dtype
    """,
    "transformers.PreTrainedModel.from_pretrained": """
        dtype use_safetensors quantization_config device_map output_loading_info
        ignore_mismatched_sizes
    """,
    "transformers.PreTrainedTokenizerBase.apply_chat_template": """
        add_generation_prompt tokenize return_tensors return_dict chat_template tools
        return_assistant_tokens_mask
    """,
    "transformers.PreTrainedTokenizerBase.__call__": """
        add_special_tokens padding padding_side return_tensors return_offsets_mapping verbose
    """,
    "transformers.PreTrainedTokenizerBase.get_chat_template": "tools",
    "transformers.PreTrainedTokenizerBase.pad": "padding_side return_tensors",
    "transformers.PreTrainedTokenizerBase.decode": "skip_special_tokens",
    "transformers.LlamaForCausalLM.forward": """
        input_ids attention_mask position_ids labels logits_to_keep use_cache
    """,
    "peft.LoraConfig": """
        r lora_alpha target_modules lora_dropout task_type fan_in_fan_out init_lora_weights
        use_dora use_rslora exclude_modules layers_to_transform layers_pattern ensure_weight_tying
        lora_bias target_parameters
    """,
    "peft.get_peft_model": "adapter_name",
    "peft.get_peft_model_state_dict": "adapter_name save_embedding_layers",
    "peft.set_peft_model_state_dict": "adapter_name",
    "peft.PeftModel.from_pretrained": "adapter_name",
    "peft.PeftModel": "model peft_config adapter_name low_cpu_mem_usage",
    "peft.PeftModel.load_adapter": "adapter_name torch_device low_cpu_mem_usage key_mapping",
    "peft.tuners.lora.LoraModel.merge_and_unload": "safe_merge",
    "peft.tuners.lora.LoraModel.merge_adapter": "safe_merge",
    "peft.tuners.lora.LoraModel.add_weighted_adapter": "weights combination_type density",
    "bitsandbytes.functional.quantize_4bit": "compress_statistics quant_type",
    "bitsandbytes.nn.Linear4bit": "device",
    "bitsandbytes.optim.AdamW8bit": "is_paged",
    "accelerate.Accelerator.unwrap_model": "keep_fp32_wrapper",
}
# What is read, called or imported: attributes of a class or of its instances, names in a module.
MEMBERS = {
    "transformers": """
        TorchAoConfig
        AutoConfig AutoModelForCausalLM AutoModelForSequenceClassification AutoTokenizer
        DistilBertConfig DistilBertForSequenceClassification
        LlamaConfig LlamaForCausalLM
        PreTrainedTokenizerFast EarlyStoppingCallback PrinterCallback Trainer TrainerCallback
        TrainerControl TrainerState TrainingArguments BitsAndBytesConfig masking_utils pipeline
        set_seed GenerationConfig StoppingCriteria DynamicCache
    """,
    "transformers.AutoModelForCausalLM": "from_config from_pretrained",
    "transformers.AutoConfig": "for_model",
    "transformers.Trainer": """
        args state control optimizer lr_scheduler accelerator callback_handler train_dataset
        model remove_callback train
    """,
    "transformers.TrainerCallback": "on_train_begin on_log on_step_end on_train_end",
    "transformers.TrainerState": """
        global_step max_steps log_history best_global_step best_model_checkpoint
        stateful_callbacks save_to_json load_from_json
    """,
    "transformers.TrainerControl": "should_training_stop should_save state",
    "transformers.trainer_callback.CallbackHandler": "callbacks on_train_end",
    "transformers.PreTrainedModel": """
        config device generation_config get_output_embeddings set_attn_implementation
        enable_input_require_grads gradient_checkpointing_enable dequantize num_parameters
        save_pretrained
    """,
    "transformers.GenerationConfig": """
        max_new_tokens min_new_tokens do_sample num_beams bos_token_id eos_token_id pad_token_id
        stop_strings
    """,
    "transformers.PreTrainedTokenizerBase": """
        chat_template pad_token eos_token save_pretrained name_or_path added_tokens_decoder
        all_special_tokens all_special_ids unk_token
    """,
    "transformers.PreTrainedTokenizerFast": "is_fast",
    "transformers.PretrainedConfig": "_name_or_path _commit_hash _attn_implementation",
    "transformers.pytorch_utils": "Conv1D",
    "transformers.models.auto.configuration_auto": "CONFIG_MAPPING_NAMES",
    "transformers.models.auto.modeling_auto": """
        MODEL_FOR_CAUSAL_LM_MAPPING_NAMES MODEL_FOR_MASKED_LM_MAPPING_NAMES
    """,
    "transformers.modeling_outputs": "CausalLMOutputWithPast",
    "transformers.cache_utils.DynamicCache": "batch_repeat_interleave",
    "transformers.masking_utils": "find_packed_sequence_indices",
    "transformers.modeling_utils": "ALL_ATTENTION_FUNCTIONS",
    "transformers.modeling_utils.ALL_ATTENTION_FUNCTIONS": "register",
    "transformers.utils.logging": "set_verbosity_error disable_progress_bar",
    "trl": """
        SFTConfig SFTTrainer DPOConfig DPOTrainer KTOConfig KTOTrainer RewardConfig RewardTrainer
        RLOOConfig RLOOTrainer GRPOConfig GRPOTrainer
    """,
    "trl.scripts.utils": "DatasetMixtureConfig ScriptArguments TrlParser",
    "trl.trainer.model_config": "ModelConfig",
    "trl.DPOTrainer": "_precompute_ref_logps _prepare_dataset compute_ref_log_probs data_collator",
    "trl.KTOTrainer": "_prepare_dataset",
    "trl.RewardTrainer": "_prepare_dataset",
    "peft": """
        PeftConfig
        LoraConfig PeftModel get_peft_model get_peft_model_state_dict set_peft_model_state_dict
    """,
    "peft.PeftModel": """
        active_adapters delete_adapter disable_adapter get_base_model load_adapter peft_config
        set_adapter
    """,
    "peft.tuners.lora.LoraModel": """
        add_weighted_adapter merge_adapter merge_and_unload unload unmerge_adapter
        targeted_module_names targeted_parameter_names
    """,
    "peft.tuners.lora.Linear": "base_layer get_base_layer get_delta_weight lora_A lora_variant r",
    "peft.mapping": """
        PEFT_TYPE_TO_CONFIG_MAPPING PEFT_TYPE_TO_PREFIX_MAPPING PEFT_TYPE_TO_TUNER_MAPPING
    """,
    "peft.tuners.tuners_utils": "BaseTuner BaseTunerLayer",
    "peft.utils": "AuxiliaryTrainingWrapper",
    "peft.utils.integrations": "dequantize_module_weight",
    "bitsandbytes": "cextension functional",
    "bitsandbytes.cextension": """
        ErrorHandlerMockBNBNativeLibrary get_available_cuda_binary_versions lib
    """,
    "bitsandbytes.cextension.BNBNativeLibrary": "compiled_with_cuda",
    "bitsandbytes.functional": "quantize_4bit",
    "bitsandbytes.functional.QuantState": "state2",
    "bitsandbytes.nn": "Linear4bit",
    "bitsandbytes.nn.Linear4bit": "support_avx512bf16_for_cpu quant_state",
    "bitsandbytes.optim": "AdamW8bit",
    "bitsandbytes.backends.default.ops": "_gemm_4bit_default_impl",
    "accelerate.Accelerator": "sync_gradients scaler unwrap_model",
    "datasets": "Dataset DatasetDict Features Json List Value concatenate_datasets",
    "datasets.Dataset": "add_column from_dict from_list map select select_columns shuffle",
    "datasets.utils.logging": "disable_progress_bar",
    "huggingface_hub": """
        errors get_safetensors_metadata hf_hub_download snapshot_download try_to_load_from_cache
    """,
    "huggingface_hub.errors": """
        GatedRepoError HFValidationError HTTPError LocalEntryNotFoundError OfflineModeIsEnabled
        RepositoryNotFoundError
    """,
    "huggingface_hub.utils": "disable_progress_bars",
    "huggingface_hub.utils.logging": "set_verbosity_error",
}
# What the kit's trainers replace: the whole parameter list, in its order, since the Trainer calls
# these by position.
OVERRIDDEN = {
    "training_step": "self model inputs num_items_in_batch",
    "compute_loss": "self model inputs return_outputs num_items_in_batch",
    "prediction_step": "self model inputs prediction_loss_only ignore_keys",
    "evaluation_loop": "self dataloader description prediction_loss_only ignore_keys "
    "metric_key_prefix",
    "log": "self logs start_time",
    "get_eval_dataloader": "self eval_dataset",
    "_get_train_sampler": "self train_dataset",
    "_save_checkpoint": "self model trial",
    "_load_optimizer_and_scheduler": "self checkpoint",
    "_load_rng_state": "self checkpoint",
    "_load_from_checkpoint": "self resume_from_checkpoint model",
    "_load_best_model": "self",
}
# The same of what TRL's own trainers call.
OF_TRL = {
    "trl.DPOTrainer._precompute_ref_logps": "self dataset name batch_size",
    "trl.DPOTrainer.compute_ref_log_probs": "self model inputs",
    "trl.DPOTrainer._prepare_dataset": "self dataset processing_class args dataset_name",
    "trl.KTOTrainer._prepare_dataset": "self dataset processing_class args dataset_name",
    "trl.RewardTrainer._prepare_dataset": "self dataset processing_class args dataset_name",
}
# Used under no name of their own: the parent's arguments pass through, or a string holds them.
UNNAMED = {"trl.SFTTrainer model", "transformers.PreTrainedModel device"}


def rows(table):
    return [(path, name) for path, names in table.items() for name in names.split()]


def at(path):
    """ "trl 1.16.0", the library that a path begins with."""
    library = path.split(".")[0]
    return f"{library} {importlib.metadata.version(library)}"


def found(path):
    """The thing at a path, or a failure that names the library and its version."""
    try:
        return guides.find_callable(path)
    except UserError as error:
        raise AssertionError(f"{at(path)}: {path} is not there any more ({error})") from error


def lacks_argument(path, name):
    """Why a call no longer takes an argument, or "". One that ends in **kwargs takes what its
    source names in quotes.
    """
    thing = found(path)
    said = guides.verdict(path, name)
    if said == guides.TAKEN or (
        said == guides.OPEN and re.search(rf"[\"']{name}[\"']", source(thing))
    ):
        return ""
    what = "has no field" if dataclasses.is_dataclass(thing) else "takes no argument"
    return f"{at(path)}: {path.partition('.')[2]} {what} {name!r} any more"


@functools.cache
def source(thing):
    return inspect.getsource(thing)


def lacks_member(path, name):
    """Why a class or module no longer has a name, or "". What only instances have is looked for
    where the class sets it.
    """
    thing = found(path)
    if hasattr(thing, name):
        return ""
    own = [c for c in getattr(thing, "__mro__", ()) if c.__module__.split(".")[0] in LIBRARIES]
    for cls in own:
        if re.search(
            rf"\bself\.{name}\b *(:[^=\n]+)?=|^    {name}\b *[:=]", source(cls), re.MULTILINE
        ):
            return ""
        if "__setattr__" in vars(cls) and re.search(
            rf"[\"']{name}[\"']", source(cls)
        ):  # it keeps such names in a table of its own
            return ""
    return f"{at(path)}: {path.partition('.')[2] or path} has no {name!r} any more"


def moved_parameters(path, stated):
    """Why an overridden method no longer takes the parameters stated, or ""."""
    here = " ".join(inspect.signature(found(path)).parameters)
    return (
        ""
        if here == stated
        else f"{at(path)}: {path.partition('.')[2]} takes ({here}), not ({stated}) any more"
    )


@pytest.mark.parametrize(("path", "name"), rows(ARGUMENTS))
def test_arguments_are_taken(path, name):
    assert not (reason := lacks_argument(path, name)), reason


@pytest.mark.parametrize(("path", "name"), rows(MEMBERS))
def test_names_are_there(path, name):
    assert not (reason := lacks_member(path, name)), reason


@pytest.mark.parametrize("method", OVERRIDDEN)
def test_overridden_methods_are_called_as_they_were(method):
    assert not (reason := moved_parameters(f"transformers.Trainer.{method}", OVERRIDDEN[method])), (
        reason
    )


@pytest.mark.parametrize("path", OF_TRL)
def test_methods_of_trls_trainers_are_called_as_they_were(path):
    assert not (reason := moved_parameters(path, OF_TRL[path])), reason


@pytest.mark.parametrize(
    ("reason", "said"),
    [
        (
            lambda: lacks_argument("trl.SFTConfig", "max_seq_length"),
            "trl {}: SFTConfig has no field 'max_seq_length' any more",
        ),
        (
            lambda: lacks_argument("trl.SFTTrainer", "tokenizer"),
            "trl {}: SFTTrainer takes no argument 'tokenizer' any more",
        ),
        (
            lambda: lacks_argument("transformers.PreTrainedModel.from_pretrained", "load_in_5bit"),
            "takes no argument 'load_in_5bit'",
        ),
        (
            lambda: lacks_member("accelerate.Accelerator", "sync_gradientz"),
            "accelerate {}: Accelerator has no 'sync_gradientz' any more",
        ),
        (
            lambda: lacks_member("peft", "get_peft_modle"),
            "peft {}: peft has no 'get_peft_modle' any more",
        ),
        (
            lambda: moved_parameters("transformers.Trainer._save_checkpoint", "self model"),
            "takes (self model trial), not (self model)",
        ),
    ],
)
def test_a_planted_name_fails_with_the_library_and_its_version(reason, said):
    text = reason()
    library = text.split()[0]
    assert said.format(importlib.metadata.version(library)) in text


def test_no_row_would_pass_under_another_name():
    assert [row for row in rows(ARGUMENTS) if not lacks_argument(row[0], f"{row[1]}_moved")] == []
    assert [row for row in rows(MEMBERS) if not lacks_member(row[0], f"{row[1]}_moved")] == []
    assert [
        m
        for m, stated in OVERRIDDEN.items()
        if not moved_parameters(f"transformers.Trainer.{m}", f"{stated} more")
    ] == []


def test_a_planted_path_fails_with_the_library_and_its_version():
    with pytest.raises(
        AssertionError,
        match=rf"trl {importlib.metadata.version('trl')}: trl\.SFTTrainr is not there any more",
    ):
        lacks_argument("trl.SFTTrainr", "model")


class RunningCode(ast.NodeTransformer):
    """Without `if TYPE_CHECKING:`, whose names only annotations mean: no run can fail on them."""

    def visit_If(self, node):
        kept = node.orelse if ast.unparse(node.test) == "TYPE_CHECKING" else node
        return kept if isinstance(kept, list) else self.generic_visit(kept)


@functools.cache
def trees():
    """The package's files as far as they run."""
    files = sorted(PACKAGE.rglob("*.py"))
    return [RunningCode().visit(ast.parse(file.read_text(encoding="utf-8"))) for file in files]


def words():
    """Every name and string in ftkit's code, docstrings and comments left out; of dotted strings
    each part.
    """
    spoken = set()
    for node in (n for tree in trees() for n in ast.walk(tree)):
        for label in ("id", "attr", "arg", "name"):
            if isinstance(word := getattr(node, label, None), str):
                spoken.update(word.split("."))
        if isinstance(node, ast.ImportFrom) and node.module:
            spoken.update(node.module.split("."))
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and " " not in node.value:
            spoken.update(node.value.split("."))
    return spoken


def test_the_table_is_not_stale():
    """Each name in it is one that ftkit's code uses."""
    listed = {f"{path} {name}" for path, name in rows(ARGUMENTS) + rows(MEMBERS)}
    used = words()
    assert {row for row in listed if row.split()[1] not in used} <= UNNAMED
    assert listed >= UNNAMED


def test_every_import_of_these_libraries_is_in_the_table():
    listed = {f"{path}.{name}" for path, name in rows(MEMBERS)}
    imports = {
        f"{node.module}.{alias.name}"
        for tree in trees()
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom)
        and not node.level
        and node.module.split(".")[0] in LIBRARIES
        for alias in node.names
    }
    assert imports - listed == set()
    assert len(imports) > 20


@pytest.mark.parametrize(
    ("path", "file"),
    [
        ("trl.SFTConfig", "train/trainer"),
        ("transformers.BitsAndBytesConfig", "models/loading"),
        ("trl.SFTTrainer", "tools/bench"),
    ],
)
def test_every_keyword_of_these_calls_is_in_the_table(path, file):
    calls = [
        n
        for n in ast.walk(ast.parse((PACKAGE / f"{file}.py").read_text(encoding="utf-8")))
        if isinstance(n, ast.Call)
    ]
    ours = [
        c for c in calls if getattr(c.func, "id", getattr(c.func, "attr", "")) == path.split(".")[1]
    ]
    keywords = {k.arg for call in ours for k in call.keywords if k.arg}
    assert keywords
    assert keywords - set(ARGUMENTS[path].split()) == set()


def test_every_overridden_method_is_in_the_table():
    own = {
        name
        for cls in (trainer.Kept, trainer.Keeper, trainer.NearBase)
        for name, f in vars(cls).items()
        if inspect.isfunction(f)
    }
    assert {name for name in own if hasattr(trainer.SFTTrainer, name)} - {"__init__"} == set(
        OVERRIDDEN
    )

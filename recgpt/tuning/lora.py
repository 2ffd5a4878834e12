"""Training an adapter: what SFT, DPO and GRPO share.

A trainer of TRL's does the steps; here are its settings, its checkpoints and its end. Everything that is drawn by
chance is drawn from the seed, and a checkpoint holds the generators' states, so a training that was killed and goes on
ends with the same bytes as one that was not (on a CPU with the same number of threads; a GPU's sums are not the same
from one time to the next). A checkpoint counts once DONE lies in it; half of one is passed over and removed.

Of a checkpoint the adapter is safetensors; optimiser, schedule and generators are torch files, which are read with
`weights_only=True` (transformers does so), so they can't make anything run.
"""

import math
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from recgpt.errors import DataError
from recgpt.stages.night import Progress
from recgpt.tuning import adapter
from recgpt.tuning.base import Base, quiet
from recgpt.tuning.settings import Lora, Method

MARKER: Final = "DONE"
PREFIX: Final = "checkpoint-"
KEPT: Final = 2  # checkpoints: the one before stays until the next is whole
WARM_UP: Final = 0.05  # of the steps


@dataclass(frozen=True)
class Plan:
    """How an adapter is trained, and where its checkpoints lie."""

    method: Method
    lora: Lora
    seed: int
    max_tokens: int  # of an example
    folder: Path
    parent: adapter.Stored | None = None  # the adapter to go on from, with its own rank and scale
    progress: Callable[[Progress], None] = lambda _: None


@dataclass(frozen=True)
class Trained:
    model: Any  # a PEFT model
    figures: Mapping[str, Any]  # plain JSON values; the same for the same data, settings and seed


def learner(base: Base, plan: Plan) -> tuple[Any, Any]:
    """What a trainer takes: a model and the settings of the adapter it is to put on it, None where one is on it."""
    from peft import LoraConfig  # noqa: PLC0415 (only with the extra `tune`)

    if plan.parent is not None:
        return adapter.attach(base, plan.parent, trainable=True), None
    lora = plan.lora
    return base.model, LoraConfig(
        r=lora.rank,
        lora_alpha=lora.alpha,
        lora_dropout=lora.dropout,
        target_modules="all-linear",
        task_type="CAUSAL_LM",
    )


def arguments(plan: Plan, rows: int) -> dict[str, Any]:
    """What the settings of every trainer of TRL's have in common."""
    import torch  # noqa: PLC0415 (takes seconds)

    method, gpu = plan.method, torch.cuda.is_available()
    micro = math.gcd(method.batch_size, min(method.micro_batch, method.batch_size))
    return {
        "output_dir": str(plan.folder),
        "num_train_epochs": method.epochs,
        "learning_rate": method.learning_rate,
        "lr_scheduler_type": "linear",
        "warmup_steps": WARM_UP,
        "per_device_train_batch_size": micro,
        "per_device_eval_batch_size": micro,
        "gradient_accumulation_steps": method.batch_size // micro,
        "gradient_checkpointing": gpu,
        "bf16": gpu,
        "use_cpu": not gpu,
        "seed": plan.seed,
        "data_seed": plan.seed,
        "save_strategy": "steps",
        "save_steps": method.checkpoint_steps,
        "save_total_limit": KEPT,
        "logging_steps": 1,
        "eval_strategy": "no",
        "report_to": "none",
        "disable_tqdm": True,
        "dataloader_num_workers": 0,
        "dataloader_pin_memory": gpu,
    }


def fitting(
    base: Base, rows: Sequence[Mapping[str, Any]], answers: Sequence[str], max_tokens: int
) -> list[Mapping[str, Any]]:
    """The rows whose prompt and longest answer fit. An example that is cut teaches to stop early, so none is.

    Args:
        answers: the keys of a row under which it has one.

    Raises:
        DataError: none fits.
    """

    def length(row: Mapping[str, Any]) -> int:
        said = (
            base.tokenizer.apply_chat_template([*row["prompt"], *row[name]], return_dict=True)["input_ids"]
            for name in answers
        )
        return max(map(len, said))

    kept = [row for row in rows if length(row) <= max_tokens]
    if rows and not kept:
        raise DataError(
            f"none of {len(rows)} examples fits into tuning.max_tokens = {max_tokens} with its answer: raise it"
        )
    return kept


def table(rows: Sequence[Mapping[str, Any]]) -> Any:
    """Rows as TRL takes them, in memory."""
    from datasets import Dataset  # noqa: PLC0415 (only with the extra `tune`)

    return Dataset.from_list([dict(row) for row in rows])


def run(trainer: Any, plan: Plan, measured: Sequence[str]) -> dict[str, Any]:
    """Train to the end, from the last whole checkpoint if there is one. Returns the figures.

    Args:
        measured: what the trainer's evaluation says, by name without `eval_`, to be kept from before and after.
    """
    from transformers import PrinterCallback, TrainerCallback  # noqa: PLC0415 (takes seconds)

    class Watch(TrainerCallback):
        def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            (Path(args.output_dir) / f"{PREFIX}{state.global_step}" / MARKER).touch()

        def on_log(
            self, args: Any, state: Any, control: Any, logs: Mapping[str, float] | None = None, **_: Any
        ) -> None:
            note = ", ".join(f"{name} {logs[name]:.4g}" for name in ("loss", "reward") if logs and name in logs)
            if note:  # else it says what was measured on held-out rows
                plan.progress(Progress("tune", state.global_step, state.max_steps, note))

    trainer.remove_callback(PrinterCallback)
    trainer.add_callback(Watch())
    with quiet():
        before = _held_out(trainer, measured)
        found = last_checkpoint(plan.folder)
        trainer.train(resume_from_checkpoint=None if found is None else str(found))
        after = _held_out(trainer, measured)
    return {
        "steps": trainer.state.global_step,
        "held_out": {name: {"before": before[name], "after": after[name]} for name in before},
    }


def last_checkpoint(folder: Path) -> Path | None:
    """The newest whole checkpoint; those that are not whole are removed."""
    found: dict[int, Path] = {}
    for path in folder.glob(PREFIX + "*"):
        if (path / MARKER).exists():
            found[int(path.name.removeprefix(PREFIX))] = path
        else:
            shutil.rmtree(path)
    return found[max(found)] if found else None


def _held_out(trainer: Any, measured: Sequence[str]) -> dict[str, float]:
    if trainer.eval_dataset is None:
        return {}
    said = trainer.evaluate()
    return {name: round(float(said[f"eval_{name}"]), 6) for name in measured}

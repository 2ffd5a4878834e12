"""Supervised fine-tuning: the answers that judges found good, learnt word by word; the questions are only read."""

from collections.abc import Mapping, Sequence
from typing import Any

from recgpt.tuning.base import Base, quiet
from recgpt.tuning.dataset import Dataset, Row
from recgpt.tuning.lora import Plan, Trained, arguments, fitting, learner, run, table


def train(base: Base, data: Dataset, plan: Plan) -> Trained:
    """Train an adapter on `data.train`; its loss on `data.held_out` is measured before and after.

    Raises:
        DataError: no example fits into the tokens allowed.
    """
    with quiet():
        from trl import SFTConfig, SFTTrainer  # noqa: PLC0415 (only with the extra `tune`)

        rows = fitting(base, _rows(data.train), ("completion",), plan.max_tokens)
        held = fitting(base, _rows(data.held_out), ("completion",), plan.max_tokens)
        model, lora = learner(base, plan)
        trainer = SFTTrainer(
            model=model,
            args=SFTConfig(
                **arguments(plan, len(rows)), max_length=plan.max_tokens, completion_only_loss=True, packing=False
            ),
            train_dataset=table(rows),
            eval_dataset=table(held) if held else None,
            processing_class=base.tokenizer,
            peft_config=lora,
        )
    figures = run(trainer, plan, ("loss",))
    return Trained(trainer.model, {"examples": len(rows), "too_long": len(data.train) - len(rows), **figures})


def _rows(rows: Sequence[Row]) -> list[Mapping[str, Any]]:
    return [
        {
            "prompt": [dict(one) for one in row.messages],
            "completion": [{"role": "assistant", "content": row.completion}],
        }
        for row in rows
    ]

"""Direct preference optimisation: of two answers to one question, the better one made likelier than the worse one.

What is served is held to where it began (the base model, or the parent adapter) by `beta`. DPO alone may lower the
likelihood of both answers as long as the worse one falls faster, so the better one's own likelihood is in the loss too.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from recgpt.tuning.base import Base, quiet
from recgpt.tuning.dataset import Dataset, Row
from recgpt.tuning.lora import Plan, Trained, arguments, fitting, learner, run, table
from recgpt.tuning.settings import Dpo


def train(base: Base, data: Dataset, plan: Plan) -> Trained:
    """Train an adapter on the pairs of `data.train`; those of `data.held_out` are measured before and after.

    Raises:
        DataError: no pair fits into the tokens allowed.
    """
    method = plan.method
    assert isinstance(method, Dpo)
    with quiet():
        from trl import DPOConfig, DPOTrainer  # noqa: PLC0415 (only with the extra `tune`)

        rows = fitting(base, _rows(data.train), ("chosen", "rejected"), plan.max_tokens)
        held = fitting(base, _rows(data.held_out), ("chosen", "rejected"), plan.max_tokens)
        model, lora = learner(base, plan)
        trainer = DPOTrainer(
            model=model,
            args=DPOConfig(
                **arguments(plan, len(rows)),
                max_length=plan.max_tokens,
                beta=method.beta,
                loss_type=["sigmoid", "sft"] if method.sft else ["sigmoid"],
                loss_weights=[1.0, method.sft] if method.sft else [1.0],
            ),
            train_dataset=table(rows),
            eval_dataset=table(held) if held else None,
            processing_class=base.tokenizer,
            peft_config=lora,
        )
    figures = run(trainer, plan, ("loss", "rewards/accuracies", "rewards/margins"))
    return Trained(trainer.model, {"pairs": len(rows), "too_long": len(data.train) - len(rows), **figures})


def _rows(rows: Sequence[Row]) -> list[Mapping[str, Any]]:
    return [
        {
            "prompt": [dict(one) for one in row.messages],
            "chosen": [{"role": "assistant", "content": row.chosen}],
            "rejected": [{"role": "assistant", "content": row.rejected}],
        }
        for row in rows
    ]

"""Group relative policy optimisation: the model answers each question several times, and what was worth more than its
group's mean is made likelier.

The worth of an answer is a product of gates (`rewards`). Answers are drawn without a grammar, so that the format is
learnt too; a model that hardly ever answers in the format has nothing to learn from, so begin with an adapter that SFT
made. What it moves away from (the base model, or the parent adapter) holds it by `beta`.
"""

from collections.abc import Callable, Mapping, Sequence
from statistics import fmean
from typing import Any, Final

from recgpt.tuning.base import Base, quiet
from recgpt.tuning.dataset import Dataset
from recgpt.tuning.lora import Plan, Trained, arguments, fitting, learner, run, table
from recgpt.tuning.settings import Grpo

Worth = Callable[[Sequence[str], Sequence[str]], list[float]]  # requests' hashes, answers -> rewards
ENDS: Final = 5  # steps that the reward at the beginning and at the end is the mean of


def train(base: Base, data: Dataset, plan: Plan, worth: Worth, max_tokens: int) -> Trained:
    """Train an adapter on answers of its own to the questions of `data.train`.

    Args:
        worth: what answers are worth, from 0 to 1.
        max_tokens: of an answer.

    Raises:
        DataError: no question fits into the tokens allowed.
    """
    method = plan.method
    assert isinstance(method, Grpo)

    def reward(completions: Sequence[Sequence[Mapping[str, str]]], request: Sequence[str], **_: Any) -> list[float]:
        return worth(request, [one[-1]["content"] for one in completions])

    with quiet():
        from trl import GRPOConfig, GRPOTrainer  # noqa: PLC0415 (only with the extra `tune`)

        rows = fitting(base, _rows(data), ("nothing",), plan.max_tokens)
        model, lora = learner(base, plan)
        trainer = GRPOTrainer(
            model=model,
            args=GRPOConfig(
                **arguments(plan, len(rows)),
                num_generations=method.answers,
                temperature=method.temperature,
                beta=method.beta,
                max_completion_length=max_tokens,
            ),
            reward_funcs=reward,
            train_dataset=table([{"prompt": row["prompt"], "request": row["request"]} for row in rows]),
            processing_class=base.tokenizer,
            peft_config=lora,
        )
    figures = run(trainer, plan, ())
    rewards = [float(one["reward"]) for one in trainer.state.log_history if "reward" in one]
    means = {"first": round(fmean(rewards[:ENDS]), 6), "last": round(fmean(rewards[-ENDS:]), 6)}
    found = {"questions": len(rows), "too_long": len(data.train) - len(rows), "reward": means}
    return Trained(trainer.model, {**found, **figures})


def _rows(data: Dataset) -> list[Mapping[str, Any]]:
    return [
        {"prompt": [dict(one) for one in row.messages], "nothing": [], "request": row.source["request"]}
        for row in data.train
    ]

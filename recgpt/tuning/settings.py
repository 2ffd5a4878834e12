"""The settings of `[tuning]` in recgpt.toml."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from recgpt.settings import OtherModel, Section, Share
from recgpt.words import Task

Rate = Annotated[float, Field(gt=0.0, lt=1.0)]


class Lora(Section):
    rank: int = Field(default=16, ge=1, le=64)  # 64 is what 'recgpt engine serve' lets vLLM take
    alpha: int = Field(default=32, ge=1)
    dropout: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.05


class Method(Section):
    """What every kind of training has."""

    epochs: int = Field(default=2, ge=1)
    learning_rate: Rate = 2e-4
    batch_size: int = Field(default=16, ge=1)  # examples a step
    micro_batch: int = Field(default=4, ge=1)  # of them computed at once; what memory allows
    checkpoint_steps: int = Field(default=50, ge=1)  # a killed training goes on from the last one


class Dpo(Method):
    learning_rate: Rate = 2e-5
    beta: float = Field(default=0.1, gt=0.0)
    margin: Share = 0.1  # by how much the mean P(yes) of the better answer is higher
    alike: Share = 0.9  # two answers from this likeness of their words are no pair
    sft: float = Field(default=0.1, ge=0.0)  # weight of the better answer's own likelihood, so that it does not fall


class Grpo(Method):
    epochs: int = Field(default=1, ge=1)  # batch_size counts answers, all of those to a question in one batch
    learning_rate: Rate = 1e-5
    beta: float = Field(default=0.02, ge=0.0)
    answers: int = Field(default=8, ge=2)  # to each question
    temperature: float = Field(default=1.0, gt=0.0, le=2.0)

    @model_validator(mode="after")
    def batches_hold_groups(self) -> Self:
        if self.batch_size % self.answers:
            raise ValueError(f"batch_size ({self.batch_size}) is no multiple of answers ({self.answers})")
        return self


class Judging(Method):
    epochs: int = Field(default=3, ge=1)
    # Share that the rarer answer of a criterion is brought to, by repeating it and thinning the other; 0: as it is.
    minority: Annotated[float, Field(ge=0.0, le=0.5)] = 0.5
    half_life_days: float = Field(default=90.0, gt=0.0)  # of the commoner one, a label so old is kept half as often


class Gate(Section):
    """What a criterion may fall by when another one rises, as a share of rows."""

    margin: Share = 0.03
    margins: dict[Task, dict[str, Share]] = Field(default_factory=dict)  # of single criteria, by task


class Prompts(Section):
    """How prompts evolve (GEPA). Users are those that are not held out; for explanations, names of interests."""

    train: int = Field(default=40, ge=1)  # users whose failures are reflected on
    validation: int = Field(default=40, ge=1)  # users by whom prompts are chosen
    minibatch: int = Field(default=4, ge=1)  # users of one reflection
    rounds: int = Field(default=20, ge=1)  # reflections at most
    tries: int = Field(default=3, ge=1)  # to write one that keeps to the format, each told what was wrong
    shown: int = Field(default=12000, ge=500)  # characters of what was asked and answered that one reflection is shown
    temperature: float = Field(default=0.7, gt=0.0, le=2.0)  # of reflections
    reflection: OtherModel = OtherModel()


class Tuning(Section):
    seed: int = 0
    held_out: Annotated[float, Field(gt=0.0, lt=1.0)] = 0.2  # of users, by a hash; never learnt from
    # A question that a held-out user was asked in the very same words: left out of training, or kept.
    shared: Literal["drop", "keep"] = "drop"
    base: str = ""  # server: the folder of the served weights (safetensors); the packaged model needs none
    general: str = ""  # JSON Lines of general instructions to mix in
    general_share: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.3
    max_tokens: int = Field(default=4096, ge=16)  # of an example with its answer; longer ones are left out
    balance: float = Field(default=3.0, ge=0.0)  # the most that a category may have of the median one's rows; 0: all
    gate: Gate = Gate()
    prompts: Prompts = Prompts()
    lora: Lora = Lora()
    sft: Method = Method()
    dpo: Dpo = Dpo()
    grpo: Grpo = Grpo()
    judge: Judging = Judging()

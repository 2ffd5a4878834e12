"""Tags by experts, for a real model: a planner makes personas of a user, each is asked for tags, an arbiter joins them.

Three rounds. The planner sees the interests with what was done about them, the base features and the environment, and
says who is looking (at most `tags.personas` sides of the user, each with a brief and its interests). Every persona is
one expert's question. The arbiter sees all that the experts proposed, numbered, and names the numbers to keep, best
first, so it can drop what two experts said in two ways but can't invent. An expert whose answer can't be used is
stored as refused and the others go on. What the arbiter keeps meets the same gates as any other tag, and its row names
the expert's request, which is where the words come from.

Source: the planner, expert and arbiter of RecGPT-V2 (arXiv 2512.14503); the prompts are our own.
"""

import copy
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from recgpt.engine.asking import LanguageModel
from recgpt.engine.requests import Reply
from recgpt.rendering.clean import clean
from recgpt.rendering.environment import environment
from recgpt.stages.answers import Refused, list_in, read_list
from recgpt.stages.night import Night
from recgpt.stages.tags.proposals import Inquiry, Proposed, ProposedTag, check_entries, listing, proposals_of, request
from recgpt.stages.work import Question, Settled
from recgpt.store.tables import Interest


@dataclass(frozen=True)
class Persona:
    """One side of a user, as the planner named it, with the numbers of the interests that are its own."""

    name: str
    brief: str
    interests: tuple[int, ...]


def experts(night: Night, model: LanguageModel, interests: Sequence[Interest], features: Mapping[str, str]) -> Inquiry:
    """The rounds about one user, of whom the base features are known that the config lets into a prompt."""
    panel = _Panel(night, model, dict(enumerate(interests, 1)), features)
    later = [night.serving.prompt(task).version for task in ("tags_expert", "tags_arbiter")]
    return Inquiry([panel.planner()], panel.read, panel.then, later)


class _Panel:
    """The questions about one user. Settled answers stand in the order asked: planner, experts, arbiter."""

    def __init__(
        self, night: Night, model: LanguageModel, numbered: Mapping[int, Interest], features: Mapping[str, str]
    ) -> None:
        self.night, self.model, self.numbered, self.features = night, model, numbered, features
        self.environment = environment(night.config, night.day)

    def planner(self) -> Question:
        known = [f"{clean(name, 40)}: {clean(value, 80)}" for name, value in self.features.items()]
        variables = {
            "user": "; ".join(known) or "nothing is known beside the interests",
            "environment": self.environment,
            "interests": listing(self.night, self.numbered),
            "personas": str(self.night.config.tags.personas),
        }
        prompt, most = self.night.serving.prompt("tags_planner"), self.night.config.tags.personas
        schema = copy.deepcopy(prompt.schema)
        personas = schema["properties"]["personas"]
        personas["maxItems"] = most
        personas["items"]["properties"]["interests"]["items"] = {"enum": list(self.numbered)}
        check = partial(_check_personas, numbers=self.numbered.keys(), most=most)
        return Question((request(self.night, self.model, prompt, variables, schema),), check)

    def then(self, settled: Sequence[Settled]) -> list[Question]:
        personas: list[Persona] = settled[0].value or []
        if personas and len(settled) == 1:
            return [self._expert(persona) for persona in personas]
        if personas and len(settled) == 1 + len(personas):
            candidates = self._candidates(settled)
            return [self._arbiter(candidates)] if candidates else []
        return []

    def read(self, settled: Sequence[Settled]) -> Proposed:
        personas: list[Persona] = settled[0].value or []
        candidates = self._candidates(settled)
        if candidates and settled[-1].value is None:
            return Proposed()  # the arbiter's answer can't be used, and nobody else may choose
        answers = zip(personas, settled[1:], strict=False)
        heard = {number for persona, one in answers if one.value is not None for number in persona.interests}
        read = Proposed(answered={self.numbered[number].id for number in heard})
        for number in dict.fromkeys(settled[-1].value) if candidates else ():
            if 1 <= number <= len(candidates):
                read.listed.append(candidates[number - 1])
            else:
                refused = Refused("no_such_candidate", str(number), f"the arbiter was shown {len(candidates)}")
                read.refusals.append((refused, settled[-1].request_hash))
        return read

    def _expert(self, persona: Persona) -> Question:
        variables = {
            "environment": self.environment,
            "persona": f"{persona.name}: {persona.brief}" if persona.brief else persona.name,
            "interests": listing(self.night, self._own(persona)),
            "per_interest": str(self.night.config.tags.per_interest),
        }
        return self._question("tags_expert", variables, check_entries)

    def _arbiter(self, candidates: Sequence[ProposedTag]) -> Question:
        names = {interest.id: clean(interest.name, 80) for interest in self.numbered.values()}
        lines = [
            f"[{number}] {clean(one.text, 80)} | for: {names[one.interest.id] if one.interest else 'none'}"
            f" | by: {one.persona}"
            for number, one in enumerate(candidates, 1)
        ]
        variables = {
            "environment": self.environment,
            "candidates": "\n".join(lines),
            "total": str(self.night.config.tags.per_interest * len(self.numbered)),
        }
        return self._question("tags_arbiter", variables, _check_numbers)

    def _candidates(self, settled: Sequence[Settled]) -> list[ProposedTag]:
        """What the experts proposed, in their order: candidate n is what the arbiter calls n, from 1."""
        personas: list[Persona] = settled[0].value or []
        answers = zip(personas, settled[1 : 1 + len(personas)], strict=True)
        return [one for persona, answer in answers for one in proposals_of(answer, self._own(persona), persona.name)]

    def _own(self, persona: Persona) -> dict[int, Interest]:
        return {number: self.numbered[number] for number in persona.interests}

    def _question(self, task: str, variables: dict[str, str], check: Callable[[Reply], Any]) -> Question:
        return Question((request(self.night, self.model, self.night.serving.prompt(task), variables),), check)


def _check_personas(reply: Reply, *, numbers: Collection[int], most: int) -> list[Persona]:
    found = []
    for entry in read_list(reply, "personas"):
        named = list_in(entry, "interests")
        mine = tuple(dict.fromkeys(one for one in named if type(one) is int and one in numbers))  # true is no number
        name = clean(str(entry.get("persona", "")), 60)
        if not name or not mine:
            raise Refused("persona", str(entry), "a persona has a name and interests of the user")
        found.append(Persona(name, clean(str(entry.get("brief", "")), 200), mine))
    if not found:
        raise Refused("persona", reply.content, "none at all")
    return found[:most]  # the schema asks for no more, and a server may not enforce it


def _check_numbers(reply: Reply) -> list[int]:
    numbers = read_list(reply, "keep")
    if any(type(one) is not int for one in numbers):
        raise Refused("schema", reply.content, "what to keep is said by number")
    return numbers

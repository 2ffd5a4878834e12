"""Users by who may be learnt from."""

from collections.abc import Iterable

from recgpt.tuning.settings import Tuning
from recgpt.tuning.split import held_out


def divided(users: Iterable[str], rules: Tuning) -> tuple[list[str], list[str]]:
    """The users to learn from, and the held-out ones."""
    everybody = list(users)
    return [user for user in everybody if not held_out(user, rules)], [
        user for user in everybody if held_out(user, rules)
    ]

"""Who is held out: users, by a hash of their id and the seed, so that the answer is the same today and next year.

Nothing that tuning learns from comes from a held-out user, and nothing that a gate measures comes from another one.
A line of explanation belongs to no user but to everybody with the interest that it is for, so it goes by the
interest's name.
"""

import hashlib

from recgpt.tuning.settings import Tuning


def held_out(key: str, rules: Tuning) -> bool:
    """Whether a user, or what `key_of` gives for a target, is held out."""
    digest = hashlib.sha256(f"{rules.seed}\n{key}".encode("utf-8", "replace")).digest()
    return int.from_bytes(digest[:8], "big") / 2**64 < rules.held_out


def key_of(user_id: str | None, interest: str) -> str:
    """What decides about a target: its user, or, where it has none, the name of the interest that it is for."""
    return f"interest:{interest.casefold()}" if user_id is None else user_id

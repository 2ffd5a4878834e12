"""Reading back: what is known of a user, and how one recommendation came about.

`show` and `why` read SQL and the logs and change nothing. `why` walks from a recommendation to its tag, its interest,
the events behind that, and at each step to the request, the prompt version and the model that said it, with every label
that a judge has given.
"""

from datetime import date
from typing import Any

from sqlalchemy import Engine, or_, select
from sqlalchemy.orm import Session

from recgpt.config import Config, night_of
from recgpt.engine.tokens import token_counter
from recgpt.errors import DataError
from recgpt.rendering.profile import render
from recgpt.sources.logs import Logs
from recgpt.stages.explanations import pairs
from recgpt.stages.interests.memory import memory_as_of
from recgpt.store.tables import (
    Answer,
    Base,
    Explanation,
    Interest,
    Label,
    ModelVersion,
    PromptVersion,
    Recommendation,
    Request,
    Tag,
    Unit,
)
from recgpt.words import Stage, Task


def show(config: Config, store: Engine, logs: Logs, user_id: str, day: date | None = None) -> dict[str, Any]:
    """Profile text, interests, their tags and the recommendations of a user, as of a night; without one, the latest.

    Recommendations are those of the last night until then that made any. Units say how the latest runs ended.

    Raises:
        DataError: the users table has no such user.
    """
    try:
        history = logs.history(user_id, night_of(day))
    except KeyError:
        raise DataError(f"no user {user_id!r} in {config.data.users}") from None
    profile = render(
        history,
        logs.catalogue,
        config.behaviours,
        logs.behaviours,
        night=night_of(day),
        max_tokens=config.rendering.max_tokens,
        count_tokens=token_counter(config),
        title_words=config.rendering.title_words,
    )
    with Session(store) as session:
        until = day or date.max
        interests = sorted(memory_as_of(session, user_id, until), key=lambda one: one.last_confirmed, reverse=True)
        held = or_(Tag.retired_night.is_(None), Tag.retired_night > until)
        tags = session.scalars(select(Tag).where(Tag.user_id == user_id, Tag.since_night <= until, held)).all()
        return {
            "user_id": user_id,
            "profile": profile.text,
            "interests": [
                {
                    "id": row.id,
                    "name": row.name,
                    "horizon": row.horizon,
                    "reason": row.reason,
                    "evidence": len(row.evidence),
                    "first_seen": row.first_seen.date().isoformat(),
                    "last_confirmed": row.last_confirmed.date().isoformat(),
                    "version": row.version,
                    "operation": row.operation,
                    "since_night": row.since_night.isoformat(),
                    "tags": [tag.tag for tag in tags if tag.interest_id == row.id],
                }
                for row in interests
            ],
            "recommendations": _recommendations(session, logs, user_id, until),
            "units": {
                row.stage: {"outcome": row.outcome, "reason": row.reason}
                for row in session.scalars(
                    select(Unit).where(Unit.key == user_id, Unit.stage.in_([Stage.INTERESTS, Stage.TAGS, Stage.SCORE]))
                )
            },
        }


def why(store: Engine, logs: Logs, user_id: str, item_id: str, day: date | None = None) -> dict[str, Any]:
    """One recommendation, walked back to its events, prompts, model and labels, as all of it stood on its night.

    Args:
        day: the recommendation is the latest of that night or before; without it the latest of all.

    Raises:
        DataError: the item was not recommended to the user.
    """
    with Session(store) as session:
        query = select(Recommendation).where(Recommendation.user_id == user_id, Recommendation.item_id == item_id)
        query = query.where(Recommendation.night <= day) if day else query
        row = session.scalars(query.order_by(Recommendation.night.desc()).limit(1)).first()
        if row is None:
            raise DataError(
                f"{item_id!r} was not recommended to {user_id!r}"
                + (f" on {day} or before" if day else "")
                + f": 'recgpt show {user_id}' lists what was"
            )
        tag, interest = session.get_one(Tag, row.tag_id), session.get_one(Interest, row.interest_id)
        towers = session.get_one(ModelVersion, row.model_version)
        explanation = _explanation(session, interest.name, item_id, row.night)
        return {
            "user_id": user_id,
            "item": {"item_id": item_id, **_item(logs, item_id)},
            "night": row.night.isoformat(),
            "rank": row.rank,
            "score": {"total": row.score, "user_item": row.user_score, "tag_item": row.tag_score},
            "towers": {
                "version": towers.version,
                "trained_until": towers.trained_until.isoformat(),
                "result": towers.result,
            },
            "explanation": explanation and _explained(session, explanation),
            "no_explanation": None if explanation else _unexplained(session, interest.name, item_id),
            "tag": {"id": tag.id, "tag": tag.tag, "rationale": tag.rationale, **_made(session, Task.TAGS, tag)},
            "interest": {
                "id": interest.id,
                "name": interest.name,
                "horizon": interest.horizon,
                "reason": interest.reason,
                "version": interest.version,
                **_nights(interest),
                **_made(session, Task.INTERESTS, interest),
            },
            "events": [
                {**event, **(_item(logs, event["item_id"]) if "item_id" in event else {})}
                for event in interest.evidence
                if event["night"] <= row.night.isoformat()
            ],
        }


def _explained(session: Session, row: Explanation) -> dict[str, Any]:
    return {
        "id": row.id,
        "text": row.text,
        "style": row.style,
        "served": row.served,
        **_nights(row),
        "style_made_by": _made_by(session, row.style_request_hash),
        **_made(session, Task.EXPLANATIONS, row),
    }


def _unexplained(session: Session, interest: str, item_id: str) -> str:
    """Why there is no explanation, as far as the pair's unit tells."""
    unit = session.get(Unit, (Stage.EXPLAIN, pairs.key(interest, item_id)))
    if unit is None:
        return "not asked for: its rank is beyond explain.top, or the stage has not run"
    return f"{unit.outcome}: {unit.reason}" if unit.reason else "made on a later night, or stale since"


def _nights(row: Interest | Explanation) -> dict[str, str | None]:
    """From which night a row holds, and from which it no longer does."""
    return {
        "since_night": row.since_night.isoformat(),
        "retired_night": row.retired_night.isoformat() if row.retired_night else None,
    }


def _recommendations(session: Session, logs: Logs, user_id: str, until: date) -> list[dict[str, Any]]:
    newest = (
        select(Recommendation.night)
        .where(Recommendation.user_id == user_id, Recommendation.night <= until)
        .order_by(Recommendation.night.desc())
        .limit(1)
        .scalar_subquery()
    )
    query = (
        select(Recommendation, Tag.tag, Interest.name)
        .join(Tag, Tag.id == Recommendation.tag_id)
        .join(Interest, Interest.id == Recommendation.interest_id)
        .where(Recommendation.user_id == user_id, Recommendation.night == newest)
        .order_by(Recommendation.rank)
    )
    listed = []
    for row, tag, interest in session.execute(query):
        explanation = _explanation(session, interest, row.item_id, row.night)
        listed.append(
            {
                "night": row.night.isoformat(),
                "rank": row.rank,
                "item_id": row.item_id,
                **_item(logs, row.item_id),
                "score": row.score,
                "tag": tag,
                "interest": interest,
                "explanation": explanation.text if explanation else None,
            }
        )
    return listed


def _explanation(session: Session, interest: str, item_id: str, night: date) -> Explanation | None:
    """The pair's explanation as it stood on a night."""
    return session.scalars(
        select(Explanation).where(
            Explanation.interest == interest,
            Explanation.item_id == item_id,
            Explanation.since_night <= night,
            or_(Explanation.retired_night.is_(None), Explanation.retired_night > night),
        )
    ).first()


def _item(logs: Logs, item_id: str) -> dict[str, Any]:
    row = logs.catalogue.row_of(item_id)
    if row is None:
        return {"title": None, "category": None}
    return {"title": logs.catalogue.titles[row], "category": logs.catalogue.categories[row]}


def _made(session: Session, task: Task, row: Base) -> dict[str, Any]:
    """Who said it (request, prompt, model) and who judged it."""
    labels = session.scalars(
        select(Label)
        .where(Label.task == task, Label.target_id == getattr(row, "id", -1), ~Label.superseded)
        .order_by(Label.id)
    )
    return {
        "made_by": _made_by(session, getattr(row, "request_hash", None)),
        "labels": [
            {
                "criterion": label.criterion,
                "verdict": "yes" if label.verdict else "no",
                "p_yes": label.p_yes,
                "threshold": label.threshold,
                "judge": label.judge,
            }
            for label in labels
        ],
    }


def _made_by(session: Session, request_hash: str | None) -> dict[str, Any] | None:
    request = session.get(Request, request_hash) if request_hash else None
    if request is None:
        return None
    answer, prompt = session.get(Answer, request.hash), session.get(PromptVersion, request.prompt_version)
    return {
        "request": request.hash,
        "prompt": prompt.task if prompt else request.task,
        "prompt_version": request.prompt_version,
        "model": request.model,
        "revision": request.revision,
        "answered_at": answer.created_at.isoformat() if answer else None,
        "tokens_in": answer.tokens_in if answer else None,
        "tokens_out": answer.tokens_out if answer else None,
    }

"""Reading: `show` a user, and `why` an item was recommended."""

from typing import Annotated, Any

import typer
from rich.tree import Tree

from cli.options import HERE, ConfigPath, Day, Json, day_of
from cli.output import OUT, print_json
from recgpt import config as settings
from recgpt import tracing
from recgpt.sources.prepare import prepare
from recgpt.store.session import open_store

UserId = Annotated[str, typer.Argument(metavar="USER", help="A user_id.")]
ItemId = Annotated[str, typer.Argument(metavar="ITEM", help="An item_id.")]


def add_to(app: typer.Typer) -> None:
    @app.command()
    def show(user: UserId, config: ConfigPath = HERE, date: Day = None, json: Json = False) -> None:
        """A user's profile text, interests, tags and recommendations."""
        loaded = settings.load(config)
        found = tracing.show(loaded, open_store(loaded), prepare(loaded), user, day_of(date))
        if json:
            print_json(found)
        else:
            print_user(found)

    @app.command()
    def why(user: UserId, item: ItemId, config: ConfigPath = HERE, date: Day = None, json: Json = False) -> None:
        """Walk one recommendation back to events, prompts, model and labels."""
        loaded = settings.load(config)
        found = tracing.why(open_store(loaded), prepare(loaded), user, item, day_of(date))
        if json:
            print_json(found)
        else:
            _print_why(found)


def print_user(found: dict[str, Any], recommendations: int | None = None, profile: bool = True) -> None:
    OUT.print(f"User {found['user_id']}", style="bold", markup=False)
    if profile:
        OUT.print(found["profile"], markup=False)
    OUT.print("Interests" if found["interests"] else f"No interests. {_ended(found, 'interests')}", style="bold")
    for row in found["interests"]:
        OUT.print(
            f"  {row['name']} ({row['horizon']}, {row['reason']}, {row['first_seen']} to {row['last_confirmed']})",
            markup=False,
        )
        if row["tags"]:
            OUT.print(f"    tags: {', '.join(row['tags'])}", markup=False)
    OUT.print(
        "Recommendations" if found["recommendations"] else f"No recommendations. {_ended(found, 'score')}", style="bold"
    )
    for row in found["recommendations"][:recommendations]:
        OUT.print(f"  {row['rank']:>2}. [{row['item_id']}] {row['title']}  {row['score']:.3f}", markup=False)
        OUT.print(f"      for {row['interest']}, by tag '{row['tag']}'", markup=False)
        if row["explanation"]:
            OUT.print(f"      {row['explanation']}", style="italic", markup=False)


def _ended(found: dict[str, Any], stage: str) -> str:
    unit = found["units"].get(stage)
    return (
        f"({stage}: {unit['outcome']}{': ' + unit['reason'] if unit['reason'] else ''})"
        if unit
        else f"({stage} has not run)"
    )


def _print_why(found: dict[str, Any]) -> None:
    item, score = found["item"], found["score"]
    tree = Tree(_plain(f"[{item['item_id']}] {item['title']} ({item['category']}) for user {found['user_id']}"))
    tree.add(_plain(f"night {found['night']}, rank {found['rank']}"))
    tree.add(
        _plain(f"score {score['total']:.3f} = user.item {score['user_item']:.3f} with tag.item {score['tag_item']:.3f}")
    )
    towers = found["towers"]
    tree.add(_plain(f"towers {towers['version'][:19]}, trained on events until {towers['trained_until'][:10]}"))
    if found["explanation"]:
        _made(tree.add(_plain(f"explanation: {found['explanation']['text']}")), found["explanation"])
    tag = _made(tree.add(_plain(f"tag: {found['tag']['tag']}")), found["tag"])
    interest = found["interest"]
    branch = tag.add(_plain(f"interest: {interest['name']} ({interest['horizon']}, {interest['reason']})"))
    events = _made(branch, interest).add(_plain(f"events: {len(found['events'])}"))
    for event in found["events"]:
        what = f"[{event['item_id']}] {event['title']}" if "item_id" in event else f"searched: {event['query']}"
        events.add(
            _plain(f"[{event['number']}] {event['timestamp'][:16].replace('T', ' ')} {event['behaviour']} {what}")
        )
    OUT.print(tree)


def _made(branch: Tree, made: dict[str, Any]) -> Tree:
    by = made["made_by"]
    if by:
        branch.add(
            _plain(
                f"said by {by['model']} ({by['revision'][:24]}), prompt {by['prompt']} {by['prompt_version'][:19]}, "
                f"request {by['request'][:19]}"
            )
        )
    for label in made["labels"]:
        held = f", {label['p_yes']:.2f} against {label['threshold']:.2f}" if label["p_yes"] is not None else ""
        branch.add(_plain(f"label {label['criterion']}: {label['verdict']}{held} by {label['judge']}"))
    return branch


def _plain(text: str) -> str:
    """Square brackets of the logs are text, not rich's markup."""
    return text.replace("[", "\\[")

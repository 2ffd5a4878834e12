"""Reading: `show` a user, `why` an item was recommended, and the `request` behind a stored row."""

import json as json_text
import re
from typing import Annotated, Any

import typer
from rich.tree import Tree

from cli.options import HERE, ConfigPath, Day, Json, day_of
from cli.output import OUT, print_json
from recgpt import config as settings
from recgpt import provenance, tracing
from recgpt.sources.prepare import prepare
from recgpt.store.session import open_store

UserId = Annotated[str, typer.Argument(metavar="USER", help="A user_id.")]
ItemId = Annotated[str, typer.Argument(metavar="ITEM", help="An item_id.")]
Row = Annotated[
    str, typer.Argument(help="interest:12, tag:5, explanation:3, label:9, rejection:4, or how a request's hash begins.")
]


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

    @app.command()
    def request(row: Row, config: ConfigPath = HERE, json: Json = False) -> None:
        """The exact prompt, model and answer behind a stored row."""
        found = provenance.requests_behind(open_store(settings.load(config)), row)
        if json:
            print_json(found)
        else:
            _print_requests(found)


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
        if profile:
            said = f"version {row['version']} ({row['operation']}, {row['since_night']}), {row['evidence']} events"
            OUT.print(f"    {said}", markup=False)
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
        _explanation(tree.add(_plain(f"explanation: {found['explanation']['text']}")), found["explanation"])
    else:
        tree.add(_plain(f"no explanation ({found['no_explanation']})"))
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


def _explanation(branch: Tree, explanation: dict[str, Any]) -> None:
    until = f" until {explanation['retired_night']}" if explanation["retired_night"] else ""
    branch.add(f"since {explanation['since_night']}{until}, serves {explanation['served']} users")
    if explanation["style"]:
        _said(branch.add(_plain(f"style: {explanation['style']}")), explanation["style_made_by"])
    _made(branch, explanation)


def _made(branch: Tree, made: dict[str, Any]) -> Tree:
    _said(branch, made["made_by"])
    for label in made["labels"]:
        held = f", {label['p_yes']:.2f} against {label['threshold']:.2f}" if label["p_yes"] is not None else ""
        branch.add(_plain(f"label {label['criterion']}: {label['verdict']}{held} by {label['judge']}"))
    return branch


def _said(branch: Tree, by: dict[str, Any] | None) -> None:
    if by:
        branch.add(
            _plain(
                f"said by {by['model']} ({by['revision'][:24]}), prompt {by['prompt']} {by['prompt_version'][:19]}, "
                f"request {by['request'][:19]}"
            )
        )


def _print_requests(found: dict[str, Any]) -> None:
    if found["row"]:
        OUT.print(found["name"], style="bold", markup=False)
        for name, value in found["row"].items():
            OUT.print(f"  {name}: {_visible(str(value))}", markup=False)
    if not found["requests"]:
        OUT.print("No model was asked for it.")
    for asked in found["requests"]:
        _heading(f"Request {asked['hash']}" + (f", for the {asked['role']}" if asked["role"] else ""))
        OUT.print(f"task {asked['task']}, model {asked['model']} ({asked['revision']})", markup=False)
        OUT.print("sampling " + ", ".join(f"{name} {value}" for name, value in asked["sampling"].items()), markup=False)
        if not asked["verified"]:
            OUT.print(
                "What is stored does not have this hash any more: the row in `requests` was changed.", style="red"
            )
        for message in asked["messages"]:
            _heading(message["role"])
            OUT.print(_visible(message["content"]), markup=False)
        if asked["schema"] is not None:  # else there was none, or a grammar, which stands with the sampling
            _heading("schema")
            OUT.print(json_text.dumps(asked["schema"], ensure_ascii=False), markup=False)
        _heading(f"prompt file, version {asked['prompt']['version']}")
        OUT.print(asked["prompt"]["text"] or "(not kept)", markup=False)
        _print_answer(asked["answer"])


def _print_answer(answer: dict[str, Any] | None) -> None:
    if answer is None:
        _heading("no answer")
        return
    run = answer["run"]
    _heading("answer")
    OUT.print(_visible(answer["content"]), markup=False)
    OUT.print(
        f"at {answer['at']}, {answer['seconds']:.2f} s, finish reason {answer['finish_reason']}, tokens in "
        f"{answer['tokens_in']} ({answer['tokens_cached']} cached), out {answer['tokens_out']}"
        + (f", run {run['id']} ({run['stage']} of {run['night']})" if run else ""),
        markup=False,
    )


def _heading(text: str) -> None:
    OUT.print(f"\n-- {text}", style="bold", markup=False)


def _visible(text: str) -> str:
    """What a model said must not speak to the terminal: control characters are shown, not sent."""
    return re.sub(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]", lambda match: f"\\x{ord(match[0]):02x}", text)


def _plain(text: str) -> str:
    """Square brackets of the logs are text, not rich's markup."""
    return text.replace("[", "\\[")

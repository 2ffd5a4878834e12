"""How a sitting begins: which criteria, which queue, and the page if one is wanted."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from sqlalchemy import Engine

from judges import Criterion, CriterionError, load_criteria
from recgpt.config import Config
from recgpt.errors import ConfigError
from recgpt.labelling.desk import Desk
from recgpt.labelling.guard import names_for, token_for
from recgpt.labelling.session import Sitting
from recgpt.labels.queue import queue
from recgpt.sources.logs import Logs
from recgpt.words import Task


@dataclass(frozen=True)
class Sitter:
    """Begins sittings over one task's queue, for whoever comes.

    Args:
        criteria: those that people are asked, by name.
        random_share, seed: of the queue (see `recgpt.labels.queue`).
        limit: the most verdicts of one sitting.
    """

    config: Config
    store: Engine
    logs: Logs
    task: Task
    criteria: Mapping[str, Criterion]
    random_share: float
    seed: int
    limit: int | None

    def sit(self, name: str) -> Sitting:
        queued = queue(
            self.store, self.logs, self.config, self.task, name, self.criteria,
            random_share=self.random_share, seed=self.seed,
        )  # fmt: skip
        return Sitting(self.store, self.task, name, queued, self.criteria, limit=self.limit)


def criteria_of(config: Config, task: Task, names: Sequence[str]) -> dict[str, Criterion]:
    """The criteria that people are asked: those named, else those of [judge.criteria], else all of the task.

    Raises:
        ConfigError: there is none of a name.
    """
    try:
        chosen = load_criteria(task, names or config.judge.criteria.get(task))
    except CriterionError as error:
        raise ConfigError(str(error)) from None
    return {one.name: one for one in chosen}


@dataclass(frozen=True)
class Opened:
    """A page that is about to be served. `token` is set where one was made for this time, and has to be told."""

    url: str
    token: str | None
    serve: Callable[[], None]  # until it is stopped


@contextmanager
def page(
    sit: Callable[[str], Sitting],
    name: str,
    *,
    host: str,
    port: int,
    called: str | None,
    environment: Mapping[str, str],
) -> Iterator[Opened]:
    """Open the page's port for a block.

    Args:
        name: of the labeller, or the one that is proposed where visitors name themselves.
        called: a name that a proxy in front of the page is called by, if there is one.
        environment: of the process; it may hold the token.

    Raises:
        ConfigError: the web parts are not installed, the port is taken, or the environment's token is too short.
    """
    try:
        from recgpt.labelling import web  # noqa: PLC0415 (an extra)
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"the page needs {error.name}: pip install 'recgpt[label]', or label in the terminal"
        ) from None
    token, made = token_for(host, environment, called)
    names, addresses = names_for(host, called)
    with web.listen(host, port) as bound:
        port = bound.getsockname()[1]
        server = web.server(web.make_app(Desk(sit, name, token), port=port, names=names, addresses=addresses))
        shown = f"[{host}]" if ":" in host else host
        yield Opened(f"http://{shown}:{port}/", token if made else None, lambda: server.run(sockets=[bound]))

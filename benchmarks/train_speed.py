"""How fast the towers train, beside a loop in bare PyTorch of the same sizes, and their memory as ids grow in number.

    python benchmarks/train_speed.py [--quick]

Data are made up, of Amazon Beauty's size (benchmarks/made_data.py). Each case is trained by the towers' own loop
(towers/training/fit.py) and by one written for that case alone (benchmarks/bare_towers.py): the same tables, texts,
histories, layers, dropout, loss and optimiser. Before anything is timed, both must give the same loss for the same
weights. They take turns, and medians count, so that what else the machine does hits both. No tags are learnt from: the
bare loop has two towers.

Also: batches read without a model; which part of a step takes which share of it; and the memory of a process through
which up to 10^8 distinct ids pass (benchmarks/id_space.py). `--quick`: fewer and shorter turns, and 10^7 ids.
"""

import argparse
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path

import torch
from bare_towers import BareLoop
from figures import Figure, report
from made_data import beauty_like

from towers.config import TowersConfig
from towers.data import TrainingData, prepare
from towers.training.distributed import World
from towers.training.fit import Fit
from towers.training.objective import Batch

STATED = TowersConfig().but(network={"dim": 64, "hidden": 128, "pair": False}, training={"batch_size": 1024})
IN_BATCH, FULL = {"user_item": "in_batch"}, {"user_item": "full"}
DENSE, SPARSE = {"tables": "adamw"}, {"tables": "row_wise_adam"}
CASES = {
    "defaults": TowersConfig(),
    "in-batch, dense tables": STATED.but(loss=IN_BATCH, training=DENSE),
    "in-batch, sparse tables": STATED.but(loss=IN_BATCH, training=SPARSE),
    "full softmax, dense tables": STATED.but(loss=FULL, training=DENSE),
    "full softmax, sparse tables": STATED.but(loss=FULL, training=SPARSE),
}
GOAL = (">=", 0.8)
ID_SPACES = (10**5, 10**6, 10**7, 10**8)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--quick", action="store_true")
    quick = parser.parse_args().quick
    data = beauty_like()
    figures = []
    for name, config in CASES.items():
        print(f"{name} ...", file=sys.stderr)
        figures += case(name, config, data, steps=4 if quick else 20, turns=3 if quick else 7)
    print("ids ...", file=sys.stderr)
    figures += id_space(ID_SPACES[:-1] if quick else ID_SPACES)
    return 0 if report("train_speed", figures, quick=quick, threads=torch.get_num_threads()) else 1


def case(name: str, config: TowersConfig, data: TrainingData, steps: int, turns: int) -> Iterator[Figure]:
    """Turns of some steps: the towers, the bare loop, and with sparse tables the bare loop with torch's SparseAdam."""
    torch.manual_seed(1)
    fit = Fit(prepare(data, config), config, World(), None, None)
    full = fit.objective.user_item == "full"
    bare = BareLoop(fit.ready, config, fit.model, full=full)
    batches = list(islice(fit.batches(torch.Generator().manual_seed(1)), steps))
    yield Figure(f"{name}: losses apart", apart(bare, fit, batches[0]), ("<=", 1e-5))

    ways: dict[str, Callable[[], object]] = {
        "ours": lambda: [fit.step(batch) for batch in batches],
        "bare": lambda: [bare.step(batch.places) for batch in batches],
    }
    if config.training.tables != "adamw":
        plain = BareLoop(fit.ready, config, fit.model, full=full, own_adam=False)
        ways["bare with SparseAdam"] = lambda: [plain.step(batch.places) for batch in batches]
    took: dict[str, list[float]] = {way: [] for way in ways}
    for _ in range(1 + turns):  # the first warms up
        for way, call in ways.items():
            took[way].append(seconds(call))
    samples = sum(len(batch.places) for batch in batches)
    rates = {way: samples / statistics.median(times[1:]) for way, times in took.items()}
    for way, rate in rates.items():
        yield Figure(f"{name}: {way}, samples/s", rate)
    yield Figure(f"{name}: ours / bare", rates["ours"] / rates["bare"], GOAL)
    yield from parts(name, fit, batches)


def apart(bare: BareLoop, fit: Fit, batch: Batch) -> float:
    """How far the two losses of a batch are from each other, without dropout, as a share."""
    bare.model.eval()
    fit.model.eval()
    with torch.no_grad():
        ours, theirs = fit.objective(fit.model, batch).item(), bare.loss(batch.places).item()
    bare.model.train()
    fit.model.train()
    return abs(ours - theirs) / theirs


def parts(name: str, fit: Fit, batches: list[Batch]) -> Iterator[Figure]:
    """Batches read alone, and how a step's time is shared out."""
    took: dict[str, list[float]] = {"reading": [], "forward": [], "backward": [], "optimisers": []}
    for batch in batches:
        took["reading"].append(seconds(lambda: fit.objective.inputs(batch)))  # noqa: B023 (called at once)
        started = time.perf_counter()
        loss = fit.objective(fit.model, batch)
        took["forward"].append(time.perf_counter() - started - took["reading"][-1])
        took["backward"].append(seconds(loss.backward))
        took["optimisers"].append(seconds(lambda: [optimiser.step() for optimiser in fit.optimisers]))
        for optimiser in fit.optimisers:
            optimiser.zero_grad()
    middle = {part: statistics.median(times) for part, times in took.items()}
    yield Figure(f"{name}: reading alone, samples/s", len(batches[0].places) / middle["reading"])
    for part, of_it in middle.items():
        yield Figure(f"{name}: share of a step, {part}", of_it / sum(middle.values()))


def id_space(counts: tuple[int, ...]) -> Iterator[Figure]:
    script = Path(__file__).with_name("id_space.py")
    command = [sys.executable, str(script), *map(str, counts)]
    lines = subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()
    found = {int(ids): int(size) for ids, size in (line.split() for line in lines)}
    for ids, size in found.items():
        yield Figure(f"memory at 10^{len(str(ids)) - 1} ids, MB", size / 1e6)
    yield Figure("memory, last / first - 1", found[counts[-1]] / found[counts[0]] - 1, ("<=", 0.1))


def seconds(call: Callable[[], object]) -> float:
    started = time.perf_counter()
    call()
    return time.perf_counter() - started


if __name__ == "__main__":
    sys.exit(main())

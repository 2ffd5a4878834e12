"""Whether the tests would notice: one place of a file is changed, and its tests must fail.

    python benchmarks/mutation.py [--quick] [--files towers/losses ...] [--sample 40] [--seed 0]

In a copy of the tree a mutant differs from its file in one operator, constant, sign, term of a sum, or call
(mutants.py). The file's tests run on it in a process forked from this one, which has torch and whatever else they
import ready, so a mutant costs little more than the tests that it takes to notice it. One that none notices survives,
and is listed. One that hangs or crashes is noticed.

Some mutants say the same in other words: the lines that have such are listed below by reason, and those of their
mutants that survive are listed apart and count neither way.

`--sample` takes at most so many mutants a file, `--quick` 60 of all, drawn with the seed. All take hours.
"""

import argparse
import gc
import importlib
import os
import random
import resource
import shutil
import signal
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from figures import Figure, report
from mutants import Mutant, mutants_of

ROOT = Path(__file__).resolve().parents[1]
STAGES = ("exporting", "fusion", "scorer", "selection", "towers")
MEASURED = ("towers", "recgpt/evaluation", *(f"recgpt/stages/{name}.py" for name in STAGES))
COPIED = ("towers", "recgpt", "prompts", "judges", "cli", "tests", "pyproject.toml")
PICTURES = "recgpt/evaluation/plots.py"  # for eyes alone
GOAL = 0.95  # of towers/

# The tests of a file: those of its name (towers/losses/gbce.py: tests/towers/losses/test_gbce.py), and these.
OTHERS = {
    "towers/config.py": ["tests/towers/test_features.py"],
    "towers/topk_cuda.py": ["tests/towers/test_topk.py"],
    "towers/topk_order.py": ["tests/towers/test_topk.py"],
    "recgpt/stages/exporting.py": ["tests/stages/test_score.py::TestExport"],
    "recgpt/stages/fusion.py": ["tests/stages/test_score.py::TestBeta"],
}

# Lines that say the same when changed, by why they do.
SAME = {
    "the size of a block: any gives the same": (
        "BLOCK = 1024  # events ranked at a time",
        "BATCH = 4096",
        "BLOCK = 1 << 12  # rows moved at a time: they stay in the processor's cache, and their buffers are used again",
        'BLOCK = {"cpu": 1 << 20, "cuda": 1 << 27}',
        "n = len(items) // max(1, round(len(items) / COLUMNS)) // GROUP * GROUP + GROUP",
        "blocks = torch.split(vectors.to(self.centres.dtype), max(1, BLOCK // self.centres.shape[1]))",
        "rows = max(1, min(ROWS, -(-len(queries) // threads)))",
        "COLUMNS: Final = 1 << 16  # items of a block",
        "GROUP: Final = 32",
    ),
    "a size, a number of rounds or a version that is chosen: the formula is the same": (
        "FEATURE_FORMAT = 2",
        "MAX_WORDS = 64  # of one text; what follows says little about what a thing is",
        "HASHED = 64  # width of the content made of word pieces",
        "SINGULAR = 32  # width of the collaborative part",
        "SAMPLE = 256  # vectors a code, at most, that the centres are fitted to",
        "STEPS = 15  # of Lloyd's algorithm, prices following",
        "ROUNDS = 100  # of prices alone, centres fixed, at most",
        "def __init__(self, n_behaviours: int, temperature: float, hidden: int = 16) -> None:",
        "reach: int = 5,",
        "for step in range(ROUNDS + 1):",
        "rows = _candidates(queries[block].to(coarse), coarse, 2 * k + 64, left_out)  # (b, c), -1: nothing",
    ),
    "a random start of either sign": (
        "self.vectors = nn.Parameter(torch.randn(columns * BINS, dim) * 0.1)  # column by column",
    ),
    "any tiny number, against a division by zero": (
        "return (losses * weights).sum() / weights.sum().clamp(min=1e-12)",
        "shares = shares / shares.sum().clamp(min=1e-12)",
    ),
    "any negative number says that there is none": (
        "return np.array([numbers.get(name, -1) for name in names], dtype=np.int64)",
        "wanted_by = torch.cat([rows, rows.new_full((len(items) - len(rows),), -1)])  # (C,)",
        "rows = np.append(self.selection.rows, -1)[found.numpy()]  # place -1 is the last: -1 again",
    ),
    "any larger number keeps users apart": ("span = np.ptp(np.concatenate([times, moments])) + 1  # seconds",),
    "a place beyond the last has nothing": ("starts = np.searchsorted(places.numpy(), np.arange(len(block) + 1))",),
    "a vector's first dimension is its last": (
        "offsets = torch.cat([lengths.new_zeros(1), lengths.cumsum(0)])  # (M + 1,)",
        "total = shares.new_zeros(n).index_add(0, text, shares)  # (N,)",
        'most = new.detach().clamp(min=-1e30).scatter_reduce(0, rows, own.detach(), "amax")  # (Q,)',
        "sums = (new - most).exp().index_add(0, rows, (own - most[rows]).exp())  # (Q,)",
        'total = state["sum"].index_select(0, rows) + square  # (U,)',
        "losses[start : start + rows] += (most + sums.log())[:, 0]",
        "found, order = grad._indices()[0].sort(stable=True)  # (P,)",
        'state["second"] = torch.zeros_like(table[:, 0])  # (R,)',
        'state["touches"] = torch.zeros_like(table[:, 0])  # (R,)',
    ),
    "before training nothing is read of it": (
        'self.register_buffer("known", torch.zeros(0, dtype=torch.int64))  # (N,) keys of ids, ascending',
        'self.register_buffer("codes", torch.zeros(0, levels, dtype=torch.int64))  # (N, L)',
        'self.register_buffer("edges", torch.linspace(0, 1, BINS + 1).repeat(columns, 1))  # (M, BINS + 1)',
    ),
    "all in one code are all alike, and no prices part them": ("best = len(x) + 1, prices, code",),
    "drawn from so many numbers that equality says nothing": (
        "kept[:, 0] = (torch.rand(len(fields), device=fields.device) >= share).float()",
    ),
    "it is multiplied by 0": ("difference = torch.where(hits, 0.0, p - s)",),
    "nothing of nothing, or nobody reads it": (
        "if self.table is None or not keys.shape[1]:",
        "taken = torch.where(had >= 0, torch.cat([own, own.new_zeros(1)])[had], new[questions])  # (B,)",
        "low, high = (int(self.times.amin()), int(self.times.amax())) if len(self.times) else (0, 0)",
        "tags=model.tags(read.tags) if read.tags is not None and len(read.tags) else vectors[:0],",
    ),
    "the same 64 bits": (
        "z = (keys ^ _shifted(keys, 30)) * (0xBF58476D1CE4E5B9 - (1 << 64))  # int64 products wrap around",
        "z = (z ^ _shifted(z, 27)) * (0x94D049BB133111EB - (1 << 64))",
    ),
    "all 31 bits or 32 are the sign's": (
        "scores = (ascending ^ ((ascending >> 31) & 0x7FFFFFFF)).view(torch.float32)",
    ),
    "names, whatever stands for them": (
        "NONE, DENSE, SPARSE = 0, 1, 2  # kinds of gradient",
        '"taught": phase.teacher is not None,',
    ),
    "for eyes alone": ("text = json.dumps(manifest, indent=2, sort_keys=True, ensure_ascii=False, allow_nan=False)",),
    "an example, of any number of rows": ("(torch.zeros(2, tower.fields, dim),),",),
    "both are there, or neither": ("if self.auxiliary is not None and self.teacher is not None:",),
    "one more place that nothing takes": ("widest = int(np.diff(bounds).max(initial=0))",),
    "torch does as much without being told, but does not promise it": (
        "matrix = torch.sparse_coo_tensor(pairs, share, shape, check_invariants=False).coalesce()",
        "ranked = part[(x[part] @ (one - other)).argsort(stable=True)]",
        "torch.mm(p, items, out=d_queries[start : start + rows]).mul_(scale)",  # it makes an empty `out` larger
        "torch.set_num_threads(threads)",
        "tower.eval()",  # for its ONNX
    ),
    "only the time it takes": (
        "maxima = scores.view(b, -1, group).amax(2).numpy() if group > 1 else scores.numpy()  # (b, groups)",
        "found = np.flatnonzero(inside > bound[rows])  # (C,)",
        "if threads == 1 or len(starts) == 1:",
    ),
}


def tests_of(name: str) -> list[str]:
    own = Path("tests", *Path(name).parts[name.startswith("recgpt/") : -1], f"test_{Path(name).name}")
    return [*([str(own)] if (ROOT / own).is_file() else []), *OTHERS.get(name, [])]


def passes(tests: Sequence[str], seconds: int = 600, imported: Path | None = None) -> bool:
    """Whether the tests pass in a process of their own; `imported`: where it writes what they import."""
    child = os.fork()
    if child == 0:
        with suppress(BaseException):
            os._exit(_test(tests, seconds, imported))
        os._exit(1)
    status = os.waitpid(child, 0)[1]
    here = str(Path.cwd()).encode()
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if here in (process / "cmdline").read_bytes():
                os.kill(int(process.name), signal.SIGKILL)  # started by the tests and left behind
    return status == 0


def _test(tests: Sequence[str], seconds: int, imported: Path | None) -> int:
    for kind, most in ((resource.RLIMIT_CPU, seconds), (resource.RLIMIT_AS, 32 << 30)):
        resource.setrlimit(kind, (most, most))  # a mutant may ask for whatever there is
    nowhere, here = os.open(os.devnull, os.O_RDWR), Path.cwd()
    for stream in range(3):
        os.dup2(nowhere, stream)
    room = ["--confcutdir=tests/towers"] if all(test.startswith("tests/towers/") for test in tests) else []
    options = ["-x", "-q", "-p", "no:cacheprovider", f"--timeout={seconds}", f"--basetemp={here / 'made'}"]
    code = pytest.main([*options, *room, *tests])
    if imported is not None:
        files = {name: getattr(module, "__file__", None) for name, module in sys.modules.items()}
        imported.write_text("\n".join(name for name, file in files.items() if file and here not in Path(file).parents))
    return int(code)


@dataclass
class Score:
    killed: int = 0
    survived: list[str] = field(default_factory=list)
    same: list[str] = field(default_factory=list)

    def __add__(self, other: "Score") -> "Score":
        return Score(self.killed + other.killed, self.survived + other.survived, self.same + other.same)

    @property
    def share(self) -> float | None:
        counted = self.killed + len(self.survived)
        return self.killed / counted if counted else None


def measure(name: str, mutants: Sequence[Mutant]) -> Score | None:
    """Of one file of the copy that is the present folder; None if its tests don't even pass as it is."""
    score, tests, path, listed = Score(), tests_of(name), Path(name), Path("imported")
    reasons = {line: reason for reason, lines in SAME.items() for line in lines}
    began = time.monotonic()
    if not tests or not passes(tests, imported=listed):
        return None
    limit, whole = 10 + 3 * int(time.monotonic() - began), path.read_text("utf-8")
    for module in listed.read_text().splitlines():
        with suppress(BaseException):
            importlib.import_module(module)
    gc.freeze()
    for mutant in mutants:
        path.write_text(mutant.text, "utf-8")
        said = f"{name}:{mutant.line}: {mutant.before}  ->  {mutant.after}"
        if not passes(tests, limit):
            score.killed += 1
        elif mutant.before in reasons:
            score.same.append(f"{said}  [{reasons[mutant.before]}]")
        else:
            score.survived.append(said)
    path.write_text(whole, "utf-8")
    return score


def chosen(beginnings: Sequence[str], most: int | None, quick: bool, seed: int) -> dict[str, list[Mutant]]:
    """The mutants to test of each file that has one."""
    parts = [(ROOT / part).rglob("*.py") if (ROOT / part).is_dir() else [ROOT / part] for part in MEASURED]
    drawn = {}
    for name in sorted(str(path.relative_to(ROOT)) for part in parts for path in part):
        if name.startswith(tuple(beginnings)) and name != PICTURES:
            found = mutants_of((ROOT / name).read_text("utf-8"))
            some = random.Random(f"{seed} {name}").sample(found, min(most or len(found), len(found)))
            drawn[name] = sorted(some, key=found.index)
    if quick:
        every = [(name, mutant) for name, found in drawn.items() for mutant in found]
        some = random.Random(seed).sample(every, min(60, len(every)))
        drawn = {name: [mutant for one, mutant in some if one == name] for name in drawn}
    return {name: found for name, found in drawn.items() if found}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="60 mutants of all files together")
    parser.add_argument("--files", nargs="+", default=[""], help="files, or beginnings of their paths")
    parser.add_argument("--sample", type=int, help="mutants a file, at most")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    drawn = chosen(arguments.files, arguments.sample, arguments.quick, arguments.seed)
    rooms: dict[str, Score] = defaultdict(Score)
    broken = []
    with tempfile.TemporaryDirectory(prefix="recgpt-mutation-") as folder:
        for part in COPIED:
            copy = shutil.copytree if (ROOT / part).is_dir() else shutil.copy
            copy(ROOT / part, Path(folder, part))
        os.chdir(folder)
        sys.path.insert(0, folder)
        sys.dont_write_bytecode = True  # two mutants of one second and one length would be taken for each other
        os.environ.update(PYTHONPATH=folder, PYTHONDONTWRITEBYTECODE="1")
        for name, mutants in drawn.items():
            began, score = time.monotonic(), measure(name, mutants)
            if score is None:
                broken.append(name)
                print(f"{name}: NOT MEASURED, its tests {tests_of(name)} don't pass as it is", flush=True)
                continue
            each = (time.monotonic() - began) / len(mutants)
            counts = f"{score.killed} killed, {len(score.survived)} survived, {len(score.same)} the same"
            print(f"{name}: {counts}, {each:.2f} s each", *score.survived, sep="\n  ", flush=True)
            for room in ("all", f"all of {Path(name).parts[0]}", f"{Path(name).parent}/"):
                rooms[room] += score
    print("\nThe same in other words:", *rooms["all"].same, "", sep="\n")
    figures = [
        Figure(f"killed, {room}", score.share, (">=", GOAL) if room == "all of towers" else None)
        for room, score in sorted(rooms.items())
    ]
    figures.append(Figure("files whose tests fail as they are", len(broken), ("<=", 0)))
    total = rooms["all"]
    counts = {"killed": total.killed, "survived": len(total.survived), "same": len(total.same)}
    return 0 if report("mutation", figures, seed=arguments.seed, **counts) else 1


if __name__ == "__main__":
    sys.exit(main())

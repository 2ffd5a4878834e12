"""How fast the exact top-k is, beside faiss and a plain loop in torch, in the same run.

    python benchmarks/topk.py [--quick]

Unit vectors drawn at random; 100 best of 12,101 items for 22,363 users and of 1,000,000 for 10,000, at 64 and 128
dimensions. Three ways take turns, and the best of some rounds counts: ours (towers/topk.py), faiss-cpu's IndexFlatIP,
and torch.mm + torch.topk over blocks of 512 users (and 100,000 items). All use as many threads as torch has. The share
is of this machine's own sgemm rate, measured between the rounds as the best of torch.mm and oneDNN on 2048^3: a way
that only multiplied would have 1. `--quick`: 4,096 users of the first table, 256 of the second.

Before anything is timed, the rows that ours and faiss give are compared; equal scores may stand in another order there.
With CUDA the same tables are run there too, and the share is of the bfloat16 rate.
"""

import argparse
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import faiss
import torch
from torch.nn import functional as F

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # run as a script, from anywhere

from benchmarks.figures import Figure, report
from towers.topk import product, top_k

K = 100
TABLES = ((22_363, 12_101, 5), (10_000, 1_000_000, 1))  # users, items, rounds
QUICK = ((4_096, 12_101, 5), (256, 1_000_000, 2))
USERS, ITEMS = 512, 100_000  # of a block of the plain way


def plain(queries: torch.Tensor, items: torch.Tensor) -> torch.Tensor:
    """Rows (Q, K) of the best, by the two calls that one writes first."""
    rows = []
    for start in range(0, len(queries), USERS):
        block = queries[start : start + USERS]
        parts = []
        for first in range(0, len(items), ITEMS):
            best, found = (block @ items[first : first + ITEMS].T).topk(K, dim=1)
            parts.append((best, found + first))
        best, found = (torch.cat(column, dim=1) for column in zip(*parts, strict=True))
        rows.append(found.gather(1, best.topk(K, dim=1).indices))
    return torch.cat(rows)


def seconds(call: Callable[[], object], device: str = "cpu") -> float:
    started = time.perf_counter()
    call()
    if device == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - started


def sgemm() -> float:
    """FLOP a second of a product that fits the caches, by the better of the two libraries."""
    a, b, out = torch.randn(2048, 2048), torch.randn(2048, 2048), torch.empty(2048, 2048)
    return 2 * 2048**3 / min(seconds(call) for call in (lambda: torch.mm(a, b, out=out), lambda: product(a, b)))


def unit(rows: int, dim: int, seed: int) -> torch.Tensor:
    return F.normalize(torch.randn(rows, dim, generator=torch.Generator().manual_seed(seed)), dim=1)


def on_cpu(users: int, n: int, dim: int, rounds: int) -> Iterator[Figure]:
    queries, items = unit(users, dim, 1), unit(n, dim, 2)
    index = faiss.IndexFlatIP(dim)
    index.add(items.numpy())
    ways = {
        "ours": lambda: top_k(queries, items, K),
        "faiss": lambda: index.search(queries.numpy(), K),
        "torch.mm + topk": lambda: plain(queries, items),
    }
    _, ours = top_k(queries[:256], items, K)
    _, theirs = index.search(queries[:256].numpy(), K)
    best, peak = dict.fromkeys(ways, float("inf")), 0.0
    for _ in range(rounds):
        for name, call in ways.items():
            peak = max(peak, sgemm())
            best[name] = min(best[name], seconds(call))
    table = f"{users:,} x {n:,}, d {dim}"
    for name, took in best.items():
        yield Figure(f"{table}: {name}, users/s", users / took)
        yield Figure(f"{table}: {name}, share of sgemm", 2 * users * n * dim / took / peak)
    others = min(took for name, took in best.items() if name != "ours")
    yield Figure(f"{table}: ours / best other", others / best["ours"], (">=", 1.0))
    yield Figure(f"{table}: places equal to faiss", float((ours.numpy() == theirs).mean()), (">=", 0.999))


def on_cuda(users: int, n: int, dim: int) -> Iterator[Figure]:
    queries, items = unit(users, dim, 1), unit(n, dim, 2)
    _, exact = top_k(queries[:512], items, K)
    queries, items = queries.cuda(), items.cuda()
    _, found = top_k(queries[:512], items, K)  # warms up too
    a, b = (torch.randn(8192, 8192, device="cuda", dtype=torch.bfloat16) for _ in range(2))
    seconds(lambda: a @ b, "cuda")
    peak = 2 * 8192**3 / min(seconds(lambda: a @ b, "cuda") for _ in range(10))
    took = min(seconds(lambda: top_k(queries, items, K), "cuda") for _ in range(5))
    table = f"CUDA, {users:,} x {n:,}, d {dim}"
    yield Figure(f"{table}: users/s", users / took)
    yield Figure(f"{table}: share of bf16", 2 * users * n * dim / took / peak, (">=", 0.5))
    yield Figure(f"{table}: places equal to fp32", float((found.cpu() == exact).float().mean()), (">=", 0.999))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--quick", action="store_true")
    quick = parser.parse_args().quick
    faiss.omp_set_num_threads(torch.get_num_threads())
    figures = []
    for users, n, rounds in QUICK if quick else TABLES:
        for dim in (64, 128):
            figures += on_cpu(users, n, dim, rounds)
            if torch.cuda.is_available():
                figures += on_cuda(users, n, dim)
    return 0 if report("topk", figures, quick=quick, threads=torch.get_num_threads()) else 1


if __name__ == "__main__":
    sys.exit(main())

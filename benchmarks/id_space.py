"""The memory of one process through which ever more distinct ids pass.

    python benchmarks/id_space.py COUNT ...

Ids are texts. In blocks they are hashed, counted and looked up in one UnifiedTable, and some of each block are trained
on, as a shop's would be that gets new ones every day. For each COUNT, in rising order, a line: the ids by then, and the
most memory that the process had, in bytes. Where memory depended on how many ids there are, it would rise.
"""

import re
import sys
from pathlib import Path

import torch

from towers.encoders.table import UnifiedTable, keys
from towers.training.optimisers import RowWiseAdam

ROWS, DIM = 1 << 16, 64
BLOCK, TRAINED = 10_000, 1024  # ids


def main() -> int:
    table = UnifiedTable(ROWS, DIM, ["id"], hashes=2, rare=1.0)
    optimiser = RowWiseAdam([table.weight])
    done = 0
    for count in map(int, sys.argv[1:]):
        while done < count:
            block = keys([f"id {n}" for n in range(done, min(done + BLOCK, count))])[:, None]  # (BLOCK, 1)
            table.observe(block)
            with torch.no_grad():
                table(block)
            table(block[:TRAINED]).square().sum().backward()
            optimiser.step()
            optimiser.zero_grad()
            done += len(block)
        print(done, most_memory(), flush=True)
    return 0


def most_memory() -> int:
    """Bytes. Not getrusage's, in which a process begins with that of the one that started it."""
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    return int(re.search(r"VmHWM:\s+(\d+) kB", status)[1]) * 1024


if __name__ == "__main__":
    sys.exit(main())

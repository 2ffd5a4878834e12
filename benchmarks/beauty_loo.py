"""Leave-one-out on the full Amazon Beauty log (198,502 events): towers, item neighbours and popularity in one run.

    python benchmarks/beauty_loo.py [--data FOLDER] [--quick] [--seed 0] [--vectors]

The towers are those of the default settings and read ids, titles and categories; --vectors adds the packaged sentence
encoder's vectors, as the night does. The protocol is that of recgpt.evaluation.leave_one_out.
"""

import argparse
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import torch
from figures import Figure, report

from recgpt.evaluation.leave_one_out import Figures, leave_one_out
from towers.config import Inputs, TowersConfig
from towers.tag_texts import tag_texts
from towers.training.loop import Epoch

DATA = Path(__file__).resolve().parents[1] / "../shared/data/amazon_beauty_2014"
QUICK_EPOCHS = 4
MOST_SECONDS = 600


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=DATA, help="folder with users, items and events.parquet")
    parser.add_argument("--quick", action="store_true", help=f"{QUICK_EPOCHS} epochs, a smaller validation")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--vectors", action="store_true", help="read the sentence encoder's vectors too")
    arguments = parser.parse_args()
    if not (arguments.data / "events.parquet").exists():
        parser.error(f"no events.parquet in {arguments.data}: name the folder with --data")

    items = pq.read_table(arguments.data / "items.parquet").to_pylist()
    events = pq.read_table(arguments.data / "events.parquet", columns=["user_id", "item_id", "timestamp"])
    item_ids = [item["item_id"] for item in items]
    titles, categories, brands = ([item[key] or "" for item in items] for key in ("title", "category_path", "brand"))
    users = events["user_id"].combine_chunks().dictionary_encode()
    tags = tag_texts(titles, categories, brands)

    config = TowersConfig(Inputs(behaviours=("review",))).but(training={"seed": arguments.seed})
    if arguments.quick:
        config = config.but(training={"max_epochs": QUICK_EPOCHS, "validation_events": 2048})
    vectors, encoding = (None, None), 0.0
    if arguments.vectors:
        from recgpt.vectors import Encoder  # noqa: PLC0415  its weights are an extra

        began = time.perf_counter()
        with tempfile.TemporaryDirectory(prefix="recgpt-vectors-") as folder:
            encoder = Encoder("packaged", Path(folder))
            vectors = (encoder.encode(titles), encoder.encode(tags.texts))
        encoding = time.perf_counter() - began
        config = config.but(inputs={"vector_dim": vectors[0].shape[1]})
    result = leave_one_out(
        users.indices.to_numpy().astype(np.int64),
        pc.index_in(events["item_id"], pa.array(item_ids, events["item_id"].type)).to_numpy().astype(np.int64),
        events["timestamp"].to_numpy().astype("datetime64[s]"),
        user_ids=users.dictionary.to_pylist(),
        item_ids=item_ids,
        titles=titles,
        categories=categories,
        config=config,
        tags=(tags.texts, tags.items, tags.tags),
        item_vectors=vectors[0],
        tag_vectors=vectors[1],
        progress=show,
    )
    print(f"{'':<12}{'recall@10':>11}{'ndcg@10':>9}{'coverage':>10}{'fit s':>8}{'users/s':>9}")
    for row in (result.towers, result.neighbours, result.popularity):
        print(table_row(row, result.users))
    ours, least, peer = result.towers, result.popularity, result.neighbours
    figures = [
        Figure("training seconds", round(ours.fit_seconds, 1), ("<=", MOST_SECONDS)),
        Figure("towers recall@10", ours.recall, (">=", least.recall)),
        Figure("towers ndcg@10", ours.ndcg, (">=", least.ndcg)),
        Figure("popularity recall@10", least.recall),
        Figure("popularity ndcg@10", least.ndcg),
        Figure("item-kNN recall@10", peer.recall),
        Figure("item-kNN ndcg@10", peer.ndcg),
    ]
    notes = {
        "users": result.users,
        "items": result.items,
        "events": len(events),
        "seed": arguments.seed,
        "quick": arguments.quick,
        "vectors": arguments.vectors,
        "encoding_seconds": round(encoding, 1),
        "threads": torch.get_num_threads(),
        "epochs": len(result.trained.epochs),
        "best_epoch": result.trained.best.number,
        "neighbours": {"shrinkage": result.shrinkage, "half_life": result.half_life},
    }
    return 0 if report("beauty_loo", figures, **notes) else 1


def table_row(row: Figures, users: int) -> str:
    speed = users / max(row.score_seconds, 1e-9)
    return (
        f"{row.name:<12}{row.recall:>11.4f}{row.ndcg:>9.4f}{row.coverage:>10.3f}{row.fit_seconds:>8.1f}{speed:>9,.0f}"
    )


def show(epoch: Epoch) -> None:
    print(
        f"epoch {epoch.number:>2}  loss {epoch.loss:.3f}  held-out recall@10 {epoch.recall:.4f}  "
        f"ndcg@10 {epoch.ndcg:.4f}  {epoch.seconds:.0f} s",
        flush=True,
    )


if __name__ == "__main__":
    sys.exit(main())

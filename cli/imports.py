"""`recgpt import`: public data sets on disk, into the three tables."""

from pathlib import Path
from typing import Annotated

import typer

from cli.options import Json
from cli.output import OUT, print_json
from recgpt.sources.importers import amazon, movielens

app = typer.Typer(no_args_is_help=True, help="Turn a public data set on disk into users, items and events.")
Target = Annotated[Path, typer.Option("--out", help="Folder for the three tables.")]


@app.command("movielens")
def import_movielens(
    source: Annotated[Path, typer.Argument(help="The unpacked ml-1m or ml-100k folder.")],
    out: Target = Path("data"),
    json: Json = False,
) -> None:
    """ml-1m or ml-100k."""
    _report(movielens.convert(source, out).as_dict(), out, json)


@app.command("amazon-reviews")
def import_amazon(
    reviews: Annotated[list[Path], typer.Option("--reviews", help="A review file; may be given several times.")],
    metadata: Annotated[list[Path], typer.Option("--metadata", help="A metadata file; may be given several times.")],
    out: Target = Path("data"),
    json: Json = False,
) -> None:
    """The review and metadata files of 2014, 2018 or 2023 (.json.gz, .jsonl.gz)."""
    _report(amazon.convert(reviews, metadata, out).as_dict(), out, json)


def _report(counts: dict[str, object], out: Path, json: bool) -> None:
    if json:
        print_json(counts)
        return
    OUT.print(f"Wrote {out}/users.parquet, items.parquet and events.parquet", markup=False)
    for name, count in counts.items():
        OUT.print(f"  {name}: {count}", markup=False)
    OUT.print("Next: 'recgpt init .' where they lie under data/, or name them in [data] of recgpt.toml", markup=False)

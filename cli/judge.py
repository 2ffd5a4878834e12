"""Judges: what a model says of interests, tags and explanations, kept as labels."""

import typer

from cli import judging, labelling, passports, transfer

app = typer.Typer(no_args_is_help=True, help="Judges and their labels.")


@app.callback()
def judge() -> None:
    """Judges and their labels."""


app.command("run")(judging.run)
app.command("pairs")(judging.pairs)
app.command("audit")(passports.audit)
app.command("label")(labelling.label)
app.command("export")(transfer.export)
app.command("import")(transfer.import_)

from pathlib import Path

from recgpt.store.tables import Base

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "store.md").read_text(encoding="utf-8")


def test_every_table_and_column_is_described_and_no_other_table() -> None:
    sections = {part.split("**")[0]: part for part in PAGE.split("\n**")[1:]}
    assert set(sections) == set(Base.metadata.tables)
    for name, table in Base.metadata.tables.items():
        missing = [column.name for column in table.columns if f"`{column.name}`" not in sections[name]]
        assert not missing, f"{name}: {missing}"

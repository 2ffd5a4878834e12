"""MovieLens ml-1m and ml-100k, as unpacked folders, into the three tables.

Users bring age, gender and occupation as base features, in words; their zip codes are left behind. A film's category is
its first genre alone, since genres are no path, and all of them stand in its description. A rating is an event of
behaviour `rating` whose value is the stars. Files are Latin-1, as published; broken lines go to the rejects.

Source: grouplens.org/datasets/movielens (see the README of each folder for its terms).
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from recgpt.errors import DataError
from recgpt.sources.importers.writing import RATING, Counts, Import, Reading
from recgpt.words import USER_ID

BASE_FEATURES = ("age", "gender", "occupation")

_USERS = pa.schema([(USER_ID, pa.string()), *((name, pa.string()) for name in BASE_FEATURES)])
_GENDERS = {"F": "female", "M": "male"}
_AGES = {
    "1": "under 18",
    "18": "18-24",
    "25": "25-34",
    "35": "35-44",
    "45": "45-49",
    "50": "50-55",
    "56": "56 and over",
}
_OCCUPATIONS = (
    *("other", "academic or educator", "artist", "clerical or admin", "college or graduate student"),
    *("customer service", "doctor or health care", "executive or managerial", "farmer", "homemaker"),
    *("school student", "lawyer", "programmer", "retired", "sales or marketing", "scientist", "self-employed"),
    *("technician or engineer", "tradesman or craftsman", "unemployed", "writer"),
)
_GENRES = (
    *(
        "unknown",
        "Action",
        "Adventure",
        "Animation",
        "Children's",
        "Comedy",
        "Crime",
        "Documentary",
        "Drama",
        "Fantasy",
    ),
    *("Film-Noir", "Horror", "Musical", "Mystery", "Romance", "Sci-Fi", "Thriller", "War", "Western"),
)
Row = tuple[str | int | float | None, ...]


@dataclass(frozen=True)
class _Layout:
    """One release: its three files, what parts a line, and how a line's fields become a row."""

    users: str
    items: str
    events: str
    separators: tuple[str, str, str]
    user: Callable[[Sequence[str]], Row]
    item: Callable[[Sequence[str]], Row]
    event: Callable[[Sequence[str]], Row]

    @property
    def files(self) -> tuple[str, str, str]:
        return self.users, self.items, self.events


def convert(source: Path, target: Path) -> Counts:
    """Write users, items, events and rejects of the folder `source` into `target`.

    Raises:
        DataError: `source` is no such folder, or a file of it is not what it should be. `target` is then as it was.
    """
    layout = next((one for one in (_ML_1M, _ML_100K) if all((source / name).is_file() for name in one.files)), None)
    if layout is None:
        wanted = " or ".join(
            f"{', '.join(one.files)} ({name})" for name, one in (("ml-1m", _ML_1M), ("ml-100k", _ML_100K))
        )
        raise DataError(f"{source} is not an unpacked MovieLens folder: wanted there {wanted}")
    with Import(target, _USERS) as out:
        sheets = (out.users, out.items, out.events)
        makers = (layout.user, layout.item, layout.event)
        for name, separator, sheet, make in zip(layout.files, layout.separators, sheets, makers, strict=True):
            reading = Reading(source / name, f"lines of MovieLens's {name}, fields parted by {separator!r}")
            for row in _rows(reading, separator, make, out, unique=sheet is not out.events):
                sheet.add(*row)
        return out.counts


def _rows(
    reading: Reading, separator: str, make: Callable[[Sequence[str]], Row], out: Import, *, unique: bool
) -> Iterator[Row]:
    seen: set[object] = set()
    for number, line in reading:
        try:
            row = make(line.decode("latin-1").rstrip("\r\n").split(separator))
        except (ValueError, IndexError, KeyError):
            out.reject(reading.file, number, f"not a line of {reading.file.name}", line)
            continue
        reading.used()
        if unique and row[0] in seen:
            out.reject(reading.file, number, "duplicate id", line)
            continue
        if unique:
            seen.add(row[0])
        yield row


def _user_1m(fields: Sequence[str]) -> Row:
    user, gender, age, occupation, _zip = fields
    return _id(user), _AGES[age], _GENDERS[gender], _OCCUPATIONS[_id_number(occupation)]


def _user_100k(fields: Sequence[str]) -> Row:
    user, age, gender, occupation, _zip = fields
    return _id(user), str(_id_number(age)), _GENDERS[gender], occupation.strip() or None


def _item_1m(fields: Sequence[str]) -> Row:
    film, title, genres = fields
    return _film(film, title, [genre for genre in genres.strip().split("|") if genre])


def _item_100k(fields: Sequence[str]) -> Row:
    film, title, _released, _video, _url, *flags = fields
    return _film(film, title, [genre for genre, flag in zip(_GENRES, flags, strict=True) if flag.strip() == "1"])


def _film(film: str, title: str, genres: Sequence[str]) -> Row:
    named = [genre for genre in genres if genre != "unknown"]
    description = f"Genres: {', '.join(named)}" if named else None
    return _id(film), title.strip() or None, named[0] if named else None, None, None, description


def _event(fields: Sequence[str]) -> Row:
    user, film, stars, seconds = fields
    value = float(stars)
    if not 0 < value <= 5:
        raise ValueError(stars)
    return _id(user), _id(film), 1000 * int(seconds), RATING, value, None


def _id(field: str) -> str:
    return str(_id_number(field))


def _id_number(field: str) -> int:
    number = int(field)
    if number < 0:
        raise ValueError(field)
    return number


_ML_1M = _Layout("users.dat", "movies.dat", "ratings.dat", ("::", "::", "::"), _user_1m, _item_1m, _event)
_ML_100K = _Layout("u.user", "u.item", "u.data", ("|", "|", "\t"), _user_100k, _item_100k, _event)

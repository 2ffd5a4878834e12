"""What surrounds every user on one night: the season, and the region's events that are on or about to begin.

`environment` promises one or two short clean lines that name no date: they change when the season does or when an
event comes or goes, so a prompt that holds them is the same prompt from one such day to the next.
"""

from datetime import date, timedelta
from typing import Final, Literal

from recgpt.config import Config
from recgpt.rendering.clean import clean
from recgpt.settings import Occasion, Season

SEASONS: Final[tuple[Season, ...]] = ("winter", "spring", "summer", "autumn")


def environment(config: Config, day: date) -> str:
    """`Season: winter (Bergen)` and, where there are any, `Events on or soon: Christmas, winter sales`."""
    settings = config.environment
    region = clean(settings.region, 60)
    lines = [f"Season: {season(day, settings.hemisphere)}" + (f" ({region})" if region else "")]
    near = [name for name, is_near in occasions(config, day).items() if is_near]
    if near:
        lines.append(f"Events on or soon: {', '.join(near)}")
    return "\n".join(lines)


def season(day: date, hemisphere: Literal["north", "south"] = "north") -> Season:
    """The season by whole months (December begins the north's winter), as shops and weather services count."""
    return SEASONS[(day.month % 12 // 3 + (2 if hemisphere == "south" else 0)) % 4]


def occasions(config: Config, day: date) -> dict[str, bool]:
    """Every configured event by its clean name, in the config's order, and whether it is near: on, or about to begin.

    Two entries of one name are one event: a feast whose date moves is listed once a year.
    """
    lead = timedelta(days=config.environment.lead_days)
    near: dict[str, bool] = {}
    for one in config.environment.events:
        name = clean(one.name, 60) or "an event"
        near[name] = near.get(name, False) or any(begin - lead <= day <= end for begin, end in _times(one, day))
    return near


def _times(one: Occasion, day: date) -> list[tuple[date, date]]:
    """First and last day of an event: as given, or yearly, in the years around `day`."""
    if isinstance(one.begin, date) and isinstance(one.end, date):
        return [(one.begin, one.end)]
    over_new_year = str(one.end) < str(one.begin)
    return [
        (_in_year(str(one.begin), year), _in_year(str(one.end), year + over_new_year))
        for year in (day.year - 1, day.year, day.year + 1)
    ]


def _in_year(month_day: str, year: int) -> date:
    month, of_month = map(int, month_day.split("-"))
    try:
        return date(year, month, of_month)
    except ValueError:  # 29 February of a common year
        return date(year, month, of_month - 1)

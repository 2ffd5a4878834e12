"""How many items fit: whole ones only, from the most telling, under a limit in the model's own tokens.

Tokens are summed over parts that come again and again (titles, moments), each counted once in a process, and a text
that comes near the limit is counted to make sure. A text within the limit comes back if one without any item is.
"""

from collections.abc import Callable, Iterable, Sequence

import numpy as np

from recgpt.rendering.labels import Costs

_GROWTHS = 3  # times that a text which came out short is filled up
_FULL = 0.95  # of the limit: a text so long is not worth another count
_SURE = 0.8  # of the limit: a sum of parts below it is not that wrong


def fit(
    text_of: Callable[[int], str], parts: Iterable[Sequence[str]], max_tokens: int, costs: Costs
) -> tuple[int, str]:
    """The largest number of first items that fits, and the text with them.

    Args:
        text_of: the finished text with so many items.
        parts: what each item adds to the text, in the parts that `costs` knows.
    """
    bare = text_of(0)
    frame, get = costs.count_tokens(bare), costs.__getitem__
    sums = np.cumsum([sum(map(get, item)) for item in parts], dtype=np.float64)
    if frame + sums[-1] <= _SURE * max_tokens:
        return len(sums), text_of(len(sums))
    best, most, scale, growths = (0, bare), len(sums), 1.0, 0
    while most > 0:
        items = min(most, int(np.searchsorted(sums, (max_tokens - frame) / scale, side="right")))
        if items <= best[0]:
            break
        text = text_of(items)
        used = costs.count_tokens(text)
        if used > max_tokens:
            most = min(items - 1, items * 19 // 20)
        else:
            best, growths = (items, text), growths + 1
            if items == most or used >= _FULL * max_tokens or growths > _GROWTHS:
                break
        scale = max((used - frame) / sums[items - 1], 1e-3)
    return best

"""How many lines fit: whole lines only, from the most telling, under a limit in the model's own tokens.

Tokens are summed over parts that come again and again (titles, moments), each counted once in a process, and a text
that comes near the limit is counted to make sure. A text within the limit comes back if one without any line is.
"""

from collections.abc import Callable, Sequence

import numpy as np

from recgpt.rendering.labels import Costs

_GROWTHS = 3  # times that a text which came out short is filled up
_FULL = 0.95  # of the limit: a text so long is not worth another count
_SURE = 0.8  # of the limit: a sum of parts below it is not that wrong


def fit(
    text_of: Callable[[int], str], parts: Sequence[Sequence[str]], max_tokens: int, costs: Costs
) -> tuple[int, str]:
    """The largest number of first lines that fits, and the text with them.

    Args:
        text_of: the finished text with so many lines.
        parts: each line's text in the parts that `costs` knows, without its line end.
    """
    bare = text_of(0)
    frame, line_end = costs.count_tokens(bare), costs["\n"]
    get = costs.__getitem__
    sums = np.cumsum([line_end + sum(map(get, line)) for line in parts], dtype=np.float64)
    if frame + sums[-1] <= _SURE * max_tokens:
        return len(parts), text_of(len(parts))
    best, most, scale, growths = (0, bare), len(parts), 1.0, 0
    while most > 0:
        lines = min(most, int(np.searchsorted(sums, (max_tokens - frame) / scale, side="right")))
        if lines <= best[0]:
            break
        text = text_of(lines)
        used = costs.count_tokens(text)
        if used > max_tokens:
            most = min(lines - 1, lines * 19 // 20)
        else:
            best, growths = (lines, text), growths + 1
            if lines == most or used >= _FULL * max_tokens or growths > _GROWTHS:
                break
        scale = max((used - frame) / sums[lines - 1], 1e-3)
    return best

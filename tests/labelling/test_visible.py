import pytest

from recgpt.labelling.visible import one_line, visible


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("trail running", "trail running"),
        ("\x1b[31mred\x1b[0m", "\\x1b[31mred\\x1b[0m"),
        ("\x1b]0;owned\x07", "\\x1b]0;owned\\x07"),
        ("\x9b2J", "\\x9b2J"),  # the C1 control that is ESC [ in one character
        ("over\rwritten\b\b", "over\\x0dwritten\\x08\\x08"),
        ("tab\tand line\r\nend", "tab and line\nend"),
        ("\u202etxt.exe", "\\u202etxt.exe"),
        ("a\u200bb\ufeffc", "a\\u200bb\\ufeffc"),
        ("line\u2028paragraph\u2029", "line\\u2028paragraph\\u2029"),
        ("half \ud83d", "half \\ud83d"),
        ("\U000e0041", "\\U000e0041"),
        ("naïve café 北京 👩‍🚀 می‌خواهم", "naïve café 北京 👩‍🚀 می‌خواهم"),
    ],
)
def test_what_speaks_to_the_terminal_is_written_out_and_the_rest_stays(text: str, shown: str) -> None:
    assert visible(text) == shown
    assert visible(shown) == shown


def test_a_name_stays_on_its_line() -> None:
    assert one_line("two\nlines\x00") == "two\\nlines\\x00"

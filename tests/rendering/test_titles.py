import pytest

from recgpt.rendering.titles import UNNAMED, label, short_title


@pytest.mark.parametrize(
    ("title", "brand", "short"),
    [
        ("OPI Nail Lacquer, Simmer and Shimmer, 0.5-Fluid Ounce", "OPI", "OPI Nail Lacquer, Simmer and Shimmer"),
        ("Dove Deep Moisture Body Wash, 24 Ounce (Pack of 3)", "Dove", "Dove Deep Moisture Body Wash"),
        ("Green Tea 2-Pack 16 oz", "", "Green Tea"),
        ("John Masters Hair Clarifier 8 fl oz / 236 ml", "John Masters", "John Masters Hair Clarifier"),
        ("Fast Nail Dryer (.65 fl oz) 19ml", None, "Fast Nail Dryer"),
        ("Garden hose 25 ft x 3 cm - Green", "Gardo", "Garden hose - Green, Gardo"),
        ("Red Shatter Nail Polish E55 New", "OPI", "Red Shatter Nail Polish E55, OPI"),
        ("NEW! Wool socks - Free Shipping", None, "Wool socks"),
        ("New York Yankees cap", None, "New York Yankees cap"),
        ("Bumble and Bumble Sunday Shampoo (8 Ounces)", "Bumble and Bumble", "Bumble and Bumble Sunday Shampoo"),
        ("Soft big red warm hat red soft hat scarf", None, "Soft big red warm hat scarf"),
        ("Trail running shoe - the very best choice for every runner in any weather", None, "Trail running shoe"),
        ("COTTAGE CHEESE 5.5 OZ", "national brand (maker 317)", "Cottage cheese"),
        ("Sigma F40 - Large Angled Contour", "Sigma Beauty", "Sigma F40 - Large Angled Contour"),
        ("SPF 45 Balm 3 in 1", None, "SPF 45 Balm 3 in 1"),
        ("Soap from Ghana for the", None, "Soap from Ghana"),
        ("Quiet Filter, up to 60 l", None, "Quiet Filter"),
        ("16 oz", None, "16 oz"),
        ("Hat", "Generic", "Hat"),
        ("Hat", "Unknown", "Hat"),
        ("Lumo hat", "LUMO", "Lumo hat"),
        ("It's a 10 Miracle Cream", "Its a 10", "It's a 10 Miracle Cream"),
    ],
)
def test_short_titles_by_hand(title: str, brand: str | None, short: str) -> None:
    assert short_title(title, brand, None, 12) == short


def test_words_bound_the_name() -> None:
    title = "one two three four five six seven eight"
    assert short_title(title, None, None, 5) == "one two three four five"
    assert short_title("Mask with Oil and Vitamin", None, None, 4) == "Mask with Oil"


@pytest.mark.parametrize(
    ("brand", "category", "name"),
    [
        ("Lumo", "Beauty > Bath > Nail Polish", "Nail Polish by Lumo"),
        ("", "Beauty > Bath > Nail Polish", "Nail Polish"),
        ("Lumo", "", "an item by Lumo"),
        ("", "", UNNAMED),
        (None, None, UNNAMED),
    ],
)
def test_an_item_without_a_title_is_named_by_category_and_brand(brand: str, category: str, name: str) -> None:
    assert short_title("", brand, category, 12) == name
    assert label(None, brand, category, 12) == name


def test_a_label_adds_the_category_only_when_the_name_does_not_say_it() -> None:
    assert label("Bath thermometer", "Acme", "Baby > Baby care", 12) == "Bath thermometer, Acme - Baby care"
    assert label("Dove Body Wash", "Dove", "Beauty > Body Washes", 12) == "Dove Body Wash"
    assert label("ECONOMY 12 OZ", "", "GROCERY > FROZEN PIZZA > ECONOMY", 12) == "Economy - Frozen pizza"
    assert label("Economy", "", "Economy", 12) == "Economy"
    assert label("", "", "GROCERY > FROZEN PIZZA > ECONOMY", 12) == "Economy - Frozen pizza"
    assert label("PASTA: CANNED 15 OZ", "", "GROCERY > PASTA: CANNED", 12) == "Pasta: canned"


@pytest.mark.parametrize(
    "title",
    [
        "x" * 100_000,
        "hat " * 25_000,
        "1.5 oz " * 15_000,
        "(" * 100_000,
        "<|im_" * 20_000,
        "\u200b" * 100_000,
        "- " * 50_000,
    ],
)
def test_titles_of_100_kb_come_out_short(title: str) -> None:
    short = label(title, title, f"A > {title}", 12)
    assert 0 < len(short) <= 200
    assert "\n" not in short
    assert "<|" not in short


def test_a_marker_in_three_pieces_is_not_put_together() -> None:
    assert "<|im_start|>" not in label("hat <|im_start", "|>", "A > |>", 12)
    assert label("[31] hat", "[2] Lumo", "A > [3] Hats", 12) == "hat, Lumo"


def test_what_is_dropped_makes_no_evidence_number() -> None:
    assert label("Mug [3 oz 1] [free shipping 2] blue", "[4", "A > 5]", 12) == "Mug blue, [4 - 5]"


def test_a_cut_leaves_no_half_of_a_delimiter() -> None:
    assert label("x" * 21 + "</user_log>", "", "", 12) == "x" * 21
    assert label("hat" + "-x" * 9 + "</user_log></user_log>", "", "", 12).count("user_log") == 0

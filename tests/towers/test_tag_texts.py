from towers.tag_texts import tag_texts

TITLES = [
    "Acme Dead Sea Mud Mask 8 oz",
    "Adama dead sea mud mask for men",
    "Dead Sea mud soap",
    "Acme hair brush",
    "",
]
CATEGORIES = ["Beauty > Skin Care > Masks", "Beauty > Skin Care > Masks", "Bath > Soaps", "", ""]


def of(found, item):
    return {found.texts[tag] for i, tag in zip(found.items, found.tags, strict=True) if i == item}


def test_kinds_and_shared_runs_without_brand_or_size():
    found = tag_texts(TITLES, CATEGORIES, ["Acme", "Adama", "", "Acme", ""])
    assert of(found, 0) == {"masks", "dead sea", "sea mud", "dead sea mud"}
    assert of(found, 2) == {"soaps", "dead sea", "sea mud", "dead sea mud"}
    assert of(found, 3) == set()  # its only run holds no word of another item
    assert list(found.texts) == sorted(set(found.texts))


def test_a_run_with_the_brand_is_no_tag():
    titles = ["Acme hair brush"] * 3
    assert of(tag_texts(titles, [""] * 3, ["Acme"] * 3), 0) == {"hair brush"}
    assert of(tag_texts(titles, [""] * 3), 0) == {"hair brush", "acme hair", "acme hair brush"}

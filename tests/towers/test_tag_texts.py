import numpy as np

from towers.tag_texts import TagTexts, joined, query_tags, tag_texts, title_tags

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


def test_two_letters_are_a_word_and_one_is_none():
    assert of(tag_texts(["UV lamp", "x lamp"] * 3, [""] * 6), 0) == {"uv lamp"}
    assert of(tag_texts(["UV lamp", "x lamp"] * 3, [""] * 6), 1) == set()


def test_a_title_is_a_tag_of_what_was_taken():
    found = title_tags(TITLES, np.array([4, 2, 2, 0]))
    assert of(found, 0) == {TITLES[0]}
    assert of(found, 2) == {TITLES[2]}
    assert found.items.tolist() == [0, 2]  # a title without a word says nothing


def test_a_search_goes_with_the_next_item_of_its_user_within_a_day():
    users, times, items = np.array([1, 0, 0, 1]), np.array([100_000, 50, 200_000, 10]), np.array([7, 5, 6, 8])
    askers = np.array([0, 0, 0, 1, 1, 2, 0])
    moments = np.array([50, 51, 200_000 - 86400, 11, 100_000 - 86401, 60, 200_001])
    texts = ["at once", "too early", "just in time", "too early", "a second too early", "a stranger", "nothing after"]
    found = query_tags((askers, moments, texts), (users, times, items))
    assert [(found.texts[tag], item) for item, tag in zip(found.items, found.tags, strict=True)] == [
        ("at once", 5),
        ("just in time", 6),
    ]
    nothing = np.zeros(0, np.int64)
    assert not query_tags((askers, moments, texts), (nothing, nothing, nothing)).texts
    assert not query_tags((nothing, nothing, []), (users, times, items)).texts


def test_a_users_first_moment_is_not_the_last_of_the_user_before():
    found = query_tags(
        (np.array([1]), np.array([10]), ["soap"]), (np.array([0, 1]), np.array([100, 10]), np.array([3, 4]))
    )
    assert (found.texts, found.items.tolist()) == (("soap",), [4])


def test_moments_may_be_before_1970():
    taken = np.array([0, 1, 2]), np.array([100, 10, -500]), np.array([3, 4, 5])
    found = query_tags((np.array([1, 2, 0]), np.array([10, -510, 100]), ["soap", "comb", "balm"]), taken)
    items = {found.texts[tag]: item for item, tag in zip(found.items.tolist(), found.tags, strict=True)}
    assert items == {"soap": 4, "comb": 5, "balm": 3}


def test_a_run_is_of_at_least_three_items_and_of_no_more_than_a_twentieth():
    def tags_of(sharing, others):
        titles = ["mud mask"] * sharing + [f"thing {'abcdefghij'[n % 10]}" for n in range(others)]
        return of(tag_texts(titles, [""] * len(titles)), 0)

    assert tags_of(2, 0) == set()
    assert tags_of(3, 0) == {"mud mask"}
    assert tags_of(4, 75) == set()  # 79 items: a twentieth is three
    assert tags_of(4, 76) == {"mud mask"}
    assert tags_of(5, 94) == set()


def test_letters_alone_are_no_words_of_a_run():
    titles = ["x ray lamp", "x ray lamp", "x ray lamp"]
    assert of(tag_texts(titles, [""] * 3), 0) == {"ray lamp"}
    assert of(tag_texts(["big sun 50 lotion"] * 3, [""] * 3), 0) == {"big sun"}


def test_parts_are_joined_with_every_pair():
    titles = title_tags(["mud mask", "soap", "comb"], np.array([0, 1, 2]))
    queries = TagTexts(("soap",), np.array([7]), np.array([0]))
    found = joined(titles, queries)
    assert found.texts == ("comb", "mud mask", "soap")
    assert list(zip(found.items.tolist(), found.tags.tolist(), strict=True)) == [(0, 1), (1, 2), (2, 0), (7, 2)]
    assert not joined().texts

import subprocess
import sys

import torch

from towers.encoders.text import MAX_WORDS, pieces, stable_hash, token_bags, token_rows, words

BUCKETS = 1 << 14


def test_a_word_gives_itself_and_its_grams():
    assert pieces("nail") == ["<nail>", "<nai", "nail", "ail>"]
    assert pieces("ab") == ["<ab>"]
    assert pieces("abc") == ["<abc>", "<abc", "abc>"]


def test_words_are_lower_case_and_bounded():
    assert words("OPI Nail-Lacquer, 0.5\x00 Oz") == ["opi", "nail", "lacquer", "0", "5", "oz"]
    assert len(words("word " * 10_000)) <= MAX_WORDS
    assert len(words("x" * 100_000)[0]) == 40


def test_rows_are_the_same_in_another_process():
    code = f"from towers.encoders.text import token_rows; print(token_rows('Bath thermometer', {BUCKETS}))"
    outside = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert outside.strip() == str(token_rows("Bath thermometer", BUCKETS))


def test_a_seed_keeps_features_apart():
    assert stable_hash("17", "user") != stable_hash("17", "item")
    assert stable_hash("\ud800", "user") >= 0  # a lone surrogate


def test_related_words_share_rows_and_others_do_not():
    polish = set(token_rows("polishing", BUCKETS))
    assert len(polish & set(token_rows("polished", BUCKETS))) >= 3
    assert not polish & set(token_rows("brush", BUCKETS))


def test_bags_select_in_order_with_empty_texts():
    texts = ["nail polish", "", "face cream", "!!"]
    bags = token_bags(texts, BUCKETS)
    picked = bags.select(torch.tensor([2, 1, 0, 2]))
    again = token_bags(["face cream", "", "nail polish", "face cream"], BUCKETS)
    assert torch.equal(picked.rows, again.rows)
    assert torch.equal(picked.offsets, again.offsets)
    assert len(bags) == 4
    assert bags.offsets.tolist()[3] == bags.offsets.tolist()[4]

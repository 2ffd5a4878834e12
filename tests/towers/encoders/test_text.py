import math
import subprocess
import sys

import numpy as np
import pytest
import torch

from towers.config import TowersError
from towers.encoders.text import (
    MAX_WORDS,
    TextEncoder,
    TokenBags,
    pieces,
    stable_hash,
    token_bags,
    token_rows,
    words,
)

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


def encoder_of(pooling, **options):
    torch.manual_seed(0)
    encoder = TextEncoder(5, 2, pooling, **options).double()
    encoder.weight.data = torch.tensor([[1.0, 0.0], [0.0, 1.0], [2.0, 2.0], [-1.0, 3.0], [5.0, 5.0]]).double()
    if encoder.query is not None:
        encoder.query.data = torch.tensor([0.5, -0.25]).double()
    return encoder


BAGS = TokenBags(torch.tensor([2, 0, 3, 3, 1]), torch.tensor([0, 2, 2, 5]))  # of three texts; the second is empty


def test_mean_pooling_by_hand():
    found = encoder_of("mean")(BAGS)
    np.testing.assert_allclose(found.detach().numpy()[:, 0], [[1.5, 1.0], [0, 0], [-2 / 3, 7 / 3]], rtol=1e-12)


def test_attention_pooling_by_hand():
    found = encoder_of("attention")(BAGS).detach().numpy()[:, 0]
    # q . e: row 0: .5, row 1: -.25, row 2: .5, row 3: -1.25
    a = math.exp(-1.25) / (2 * math.exp(-1.25) + math.exp(-0.25))  # of row 3, which stands there twice
    np.testing.assert_allclose(found, [[1.5, 1.0], [0, 0], [-2 * a, 6 * a + 1 - 2 * a]], rtol=1e-6)


def test_attention_starts_as_the_mean_and_stands_great_logits():
    fresh = TextEncoder(5, 2, "attention").double()
    fresh.weight.data = encoder_of("mean").weight.data
    torch.testing.assert_close(fresh(BAGS), encoder_of("mean")(BAGS))
    great = encoder_of("attention")
    great.query.data *= 1e5
    found = great(BAGS).detach().numpy()[:, 0]
    np.testing.assert_allclose(found, [[1.5, 1.0], [0, 0], [0, 1]], atol=1e-12)  # logits from -125,000 to 50,000


@pytest.mark.parametrize("pooling", ["mean", "attention"])
def test_sentence_vectors_are_a_second_field(pooling):
    encoder = encoder_of(pooling, vector_dim=3)
    vectors = torch.tensor([[1.0, 2.0, 3.0], [0.0, 0.0, 0.0], [-1.0, 0.5, 0.0]]).double()
    found = encoder(BAGS, vectors).detach().numpy()
    assert found.shape == (3, encoder.fields, 2) == (3, 2, 2)
    np.testing.assert_array_equal(found[:, :1], encoder_of(pooling)(BAGS).detach().numpy())
    expected = vectors.numpy() @ encoder.project.weight.detach().numpy().T + encoder.project.bias.detach().numpy()
    np.testing.assert_allclose(found[:, 1], expected, rtol=1e-12)
    with pytest.raises(TowersError, match="vector_dim"):
        encoder(BAGS)
    with pytest.raises(TowersError, match="vector_dim"):
        encoder_of(pooling)(BAGS, vectors)
    assert encoder_of(pooling).fields == 1


def test_sentence_vectors_are_centred_and_scaled_by_one_number():
    encoder = encoder_of("mean", vector_dim=2)
    vectors = torch.tensor([[1.0, 5.0], [3.0, 5.0], [5.0, 5.0], [3.0, 5.0]]).double()
    encoder.fit(vectors)
    assert encoder.centre.tolist() == [3, 5]
    assert encoder.spread.item() == pytest.approx(2**0.5)  # squared distances 4, 0, 4, 0
    encoder.fit(vectors * 3)
    assert encoder.spread.item() == pytest.approx(3 * 2**0.5)
    weight, bias = encoder.project.weight.detach().numpy(), encoder.project.bias.detach().numpy()
    bags = TokenBags(BAGS.rows, torch.tensor([0, 2, 2, 4, 5]))
    found = encoder(bags, vectors * 3).detach().numpy()[:, 1]
    expected = np.array([[-(2**0.5), 0.0], [0.0, 0.0], [2**0.5, 0.0], [0.0, 0.0]]) @ weight.T + bias
    np.testing.assert_allclose(found, expected, rtol=1e-12)
    encoder.fit(torch.ones(3, 2).double())
    assert encoder.spread == 1


@pytest.mark.parametrize("pooling", ["mean", "attention"])
def test_gradients_sparse_and_dense(pooling):
    sparse, dense = encoder_of(pooling, sparse=True), encoder_of(pooling, sparse=False)
    factors = torch.tensor([[1.0, -2.0], [7.0, 7.0], [0.5, 3.0]]).double()[:, None]
    for encoder in (sparse, dense):
        (encoder(BAGS) * factors).sum().backward()
    assert sparse.weight.grad.is_sparse
    torch.testing.assert_close(sparse.weight.grad.to_dense(), dense.weight.grad)
    assert not dense.weight.grad[4].any()
    names, values = zip(*dense.named_parameters(), strict=True)

    def outcome(*parameters):
        return torch.func.functional_call(dense, dict(zip(names, parameters, strict=True)), (BAGS,))

    assert torch.autograd.gradcheck(outcome, values)


def test_bags_seen_from_the_rows():
    rows, offsets, texts = BAGS.by_row
    assert rows.tolist() == [0, 1, 2, 3]
    assert offsets.tolist() == [0, 1, 2, 3, 5]
    assert texts.tolist() == [0, 2, 0, 2, 2]
    assert [part.tolist() for part in token_bags(["", "!"], 5).by_row] == [[], [0], []]


@pytest.mark.parametrize("sparse", [True, False])
def test_the_gradient_of_a_mean_by_hand(sparse):
    encoder = encoder_of("mean", sparse=sparse)
    (encoder(BAGS) * torch.tensor([[1.0, -2.0], [7.0, 7.0], [0.5, 3.0]]).double()[:, None]).sum().backward()
    grad = encoder.weight.grad
    assert grad.is_sparse == sparse
    if sparse:
        assert grad._indices().tolist() == [[0, 1, 2, 3]]  # each once, before anyone sums
    expected = [[0.5, -1], [0.5 / 3, 1], [0.5, -1], [1 / 3, 2], [0, 0]]  # row 3 stands in the third text twice
    np.testing.assert_allclose(grad.to_dense().numpy(), expected, rtol=1e-12)


def test_the_gradient_of_no_text():
    encoder = encoder_of("mean", sparse=False)
    encoder(token_bags(["", "!"], 5)).sum().backward()
    assert not encoder.weight.grad.any()


@pytest.mark.parametrize("pooling", ["mean", "attention"])
def test_the_order_of_pieces_and_of_texts_does_not_matter(pooling):
    encoder = encoder_of(pooling)
    turned = TokenBags(torch.tensor([3, 1, 3, 0, 2]), torch.tensor([0, 3, 3, 5]))
    torch.testing.assert_close(encoder(turned), encoder(BAGS).flip(0))


@pytest.mark.parametrize("pooling", ["mean", "attention"])
def test_no_text_at_all(pooling):
    assert encoder_of(pooling)(token_bags([], 5)).shape == (0, 1, 2)
    assert not encoder_of(pooling)(token_bags(["", "!"], 5)).any()


def test_a_pooling_that_is_not_there_is_refused():
    with pytest.raises(TowersError, match="attention"):
        TextEncoder(5, 2, "max")


def test_attention_learns_which_pieces_tell():
    """Texts of one telling piece among noise: it ends up with a greater logit than the noise."""
    torch.manual_seed(0)
    rows = torch.stack([torch.randint(0, 4, (256,)), *torch.randint(4, 200, (9, 256))], dim=1)  # (256, 10)
    bags, wanted = TokenBags(rows.flatten(), torch.arange(0, 2561, 10)), rows[:, 0]
    encoder, last = TextEncoder(200, 8, "attention", sparse=False), torch.nn.Linear(8, 4)
    optimiser = torch.optim.Adam([*encoder.parameters(), *last.parameters()], lr=0.03)
    for _ in range(60):
        loss = torch.nn.functional.cross_entropy(last(encoder(bags)[:, 0]), wanted)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    logits = encoder.weight @ encoder.query
    assert logits[:4].min() > logits[4:].mean() + 1
    assert encoder.weight.isfinite().all()


def test_rows_start_at_their_deviation():
    torch.manual_seed(0)
    assert TextEncoder(10_000, 8).weight.std().item() == pytest.approx(0.08, rel=0.05)
    assert TextEncoder(5, 2).sparse  # a large table's gradient, unless told otherwise

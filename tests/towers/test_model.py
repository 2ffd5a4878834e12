import torch

from towers.encoders.history import Window
from towers.features import item_features, text_features, user_rows
from towers.model import Body, ThreeTowers


def window(items, behaviours):
    items = torch.tensor(items)
    return Window(items, torch.tensor(behaviours), torch.zeros(items.shape))


def make(config):
    torch.manual_seed(0)
    model = ThreeTowers(config).eval()
    items = item_features(["a", "b", "c"], ["red polish", "", "blue cream"], ["x", "", "y"], config)
    return model, items


def test_outputs_are_unit_vectors_also_for_what_is_empty_or_unknown(small):
    model, items = make(small)
    vectors = model.items(items)
    nobody = window([[-1] * 4] * 2, [[0] * 4] * 2)
    users = model.users(torch.tensor([0, 1]), nobody, vectors)
    tags = model.tags(text_features(["waterproof trail shoes", ""], small))
    for out, n in ((vectors, 3), (users, 2), (tags, 2)):
        assert out.shape == (n, small.network.dim)
        assert torch.allclose(out.norm(dim=-1), torch.ones(n), atol=1e-5)


def test_empty_places_change_nothing(small):
    model, items = make(small)
    vectors = model.items(items)
    short = window([[2, 0]], [[1, 0]])
    padded = window([[2, 0, -1, -1, -1]], [[1, 0, 1, 0, 1]])
    user = torch.tensor([5])
    assert torch.allclose(model.users(user, short, vectors), model.users(user, padded, vectors), atol=1e-6)


def test_a_new_event_and_its_behaviour_change_the_user(small):
    model, items = make(small)
    vectors, user = model.items(items), torch.tensor([5])
    outs = [model.users(user, window([[a, b]], [[x, 0]]), vectors) for a, b, x in ((2, 0, 0), (2, 0, 1), (0, 2, 0))]
    for n in (1, 2):
        assert not torch.allclose(outs[0], outs[n], atol=1e-4)


def test_gradients_reach_every_parameter(small):
    model, items = make(small)
    model.train()
    vectors = model.items(items)
    read = window([[0, 2, 1]], [[0, 1, 0]])
    out = model.users(torch.tensor([3]), read, vectors)
    tags = model.tags(text_features(["red cream"], small))
    (out @ vectors.T).square().sum().add((tags @ vectors.T).square().sum()).backward()
    silent = [name for name, p in model.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
    assert not silent


def test_hidden_ids_are_hidden_in_training_only(small):
    model, _ = make(small)
    ids = torch.ones(4000, 3)
    assert torch.equal(model._hide(ids), ids)
    model.train()
    hidden = model._hide(ids)
    share = 1 - hidden.mean().item()
    assert abs(share - small.network.id_dropout) < 0.03
    assert set(hidden.sum(1).tolist()) == {0.0, 3.0}  # whole rows


def test_body_is_its_formula():
    torch.manual_seed(1)
    body = Body(3, 5, 2, dropout=0.5).eval()
    x = torch.randn(4, 3)
    h = x @ body.up.weight.T + body.up.bias
    gelu = 0.5 * h * (1 + torch.erf(h / 2**0.5))
    expected = x @ body.straight.weight.T + gelu @ body.down.weight.T + body.down.bias
    assert torch.allclose(body(x), expected, atol=1e-6)


def test_user_ids_are_read_only_where_switched_on(small):
    without, items = make(small.but(features={"user_id": False}))
    with_ids, _ = make(small)
    read = window([[0, 2], [0, 2]], [[0, 0], [0, 0]])
    for model, same in ((without, True), (with_ids, False)):
        users = model.users(user_rows(["u", "v"], model.config), read, model.items(items))
        assert torch.allclose(users[0], users[1], atol=1e-5) is same

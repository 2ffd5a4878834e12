import math
import typing
from dataclasses import replace

import numpy as np
import pytest
import torch

from towers import config as settings
from towers.data import TrainingData, prepare
from towers.encoders.history import Window
from towers.features import Items, Users, item_features, text_features, user_features
from towers.model import ThreeTowers, Tower, part_of

RICH = {
    "inputs": {"user_fields": ("city",), "item_numbers": ("price",), "user_numbers": ("age",), "vector_dim": 3},
    "features": {"category_levels": 2, "brand": True, "base": True, "numbers": True, "popularity": True},
}
NAMES = (["a", "b", "c"], ["red polish", "", "blue cream"], ["x > y", "", "x > z"])


def window(items, behaviours):
    items = torch.tensor(items)
    return Window(items, torch.tensor(behaviours), torch.zeros(items.shape))


def rich_items(config):
    vectors = np.eye(3, dtype=np.float32)
    return item_features(
        Items(*NAMES, ["p", "", "q"], np.array([[1.0], [np.nan], [9.0]]), vectors, np.array([[0, 0], [1, 1], [5, 2]])),
        config,
    )


def people(config, ids=("u", "v")):
    n = len(ids)
    return user_features(Users(list(ids), {"city": ["Rome"] * n}, np.full((n, 1), 30.0)), config)


def make(config):
    torch.manual_seed(0)
    model = ThreeTowers(config).eval()
    return model, item_features(Items(*NAMES), config)


def test_outputs_are_unit_vectors_also_for_what_is_empty_or_unknown(small):
    model, items = make(small)
    vectors = model.items(items)
    nobody = window([[-1] * 4] * 2, [[0] * 4] * 2)
    users = model.users(people(small), nobody, vectors)[:, 0]
    tags = model.tags(text_features(["waterproof trail shoes", ""], small))
    for out, n in ((vectors, 3), (users, 2), (tags, 2)):
        assert out.shape == (n, small.network.width)
        assert torch.allclose(out.norm(dim=-1), torch.ones(n), atol=1e-5)


def test_empty_places_change_nothing(small):
    model, items = make(small)
    vectors, user = model.items(items), people(small, "u")
    short = window([[2, 0]], [[1, 0]])
    padded = window([[2, 0, -1, -1, -1]], [[1, 0, 1, 0, 1]])
    assert torch.allclose(model.users(user, short, vectors), model.users(user, padded, vectors), atol=1e-6)


def test_a_new_event_and_its_behaviour_change_the_user(small):
    model, items = make(small)
    vectors, user = model.items(items), people(small, "u")
    outs = [model.users(user, window([[a, b]], [[x, 0]]), vectors) for a, b, x in ((2, 0, 0), (2, 0, 1), (0, 2, 0))]
    for n in (1, 2):
        assert not torch.allclose(outs[0], outs[n], atol=1e-4)


@pytest.mark.parametrize("rich", [False, True])
def test_gradients_reach_every_parameter(small, rich):
    config = small.but(**RICH, network={"tasks": ("view", "purchase")}) if rich else small
    model, items = make(config) if not rich else (make_rich(config))
    model.train()
    vectors = model.items(items)
    out = model.users(people(config, "u"), window([[0, 2, 1]], [[0, 1, 0]]), vectors)  # (1, T, D)
    vector = np.ones((1, 3), dtype=np.float32) if rich else None
    tags = model.tags(text_features(["red cream"], config, vector))
    (out @ vectors.T).square().sum().add((tags @ vectors.T).square().sum()).backward()
    # A number that is there says nothing of how a missing one is read, and of the users' none is missing here.
    silent = [name for name, p in model.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
    assert silent == (["user_numbers.missing"] if rich else [])


def make_rich(config):
    torch.manual_seed(0)
    return ThreeTowers(config), rich_items(config)


def test_fields_stand_in_the_order_of_ids_numbers_and_text(small):
    config = small.but(**RICH)
    model, items = make_rich(config)
    model.eval()
    seen = {}
    for name in ("item", "user", "tag"):
        getattr(model, name).register_forward_pre_hook(lambda _, inputs, name=name: seen.update({name: inputs[0]}))
    vectors = model.items(items)
    read = window([[0, 2, 1], [1, -1, -1]], [[0, 1, 0], [1, 0, 0]])
    model.users(people(config), read, vectors)
    model.tags(items.text)
    by_id = model.table(torch.cat([items.keys[:2], people(config).keys], dim=1))  # (2, F, D) of both sides
    assert torch.equal(seen["item"][:2, 0], by_id[:, 0])
    assert torch.equal(seen["item"][:2, 1], by_id[:, 1] + by_id[:, 2])  # both levels of the category
    assert torch.equal(seen["item"][:2, 2], by_id[:, 3])
    assert torch.equal(seen["item"][:, 3:5], model.item_numbers(items.numbers))
    assert torch.equal(seen["item"][:, 5:], seen["tag"])
    assert torch.equal(seen["user"][:, :2], by_id[:, 4:])
    assert torch.equal(seen["user"][:, 2:3], model.user_numbers(people(config).numbers))
    assert torch.equal(seen["user"][:, 3:], model.pools[0](read, vectors))


@pytest.mark.parametrize("rich", [False, True])
@pytest.mark.parametrize("levels", [0, 2])
@pytest.mark.parametrize("user_id", [False, True])
def test_every_field_is_read(small, rich, levels, user_id):
    """A tower that counted too few of them would leave the last ones out."""
    config = small.but(**(RICH if rich else {}), network={"pair": True}).but(
        features={"semantic_levels": levels, "pools": ("mean", "recency"), "user_id": user_id}
    )
    model, items = make_rich(config) if rich else make(config)
    model.eval()
    items = model.coded(items)
    assert model.coded(items) is items
    assert items.keys.shape[1] == len(range(*model.of_items.indices(99)))
    read = window([[0, 2], [1, -1]], [[0, 1], [1, 0]])
    fields = {
        model.item: model.item_fields(items),
        model.user: None,
        model.tag: model._texts(items.text),
    }
    model.user.register_forward_pre_hook(lambda _, inputs: fields.update({model.user: inputs[0]}))
    model.users(people(config), read, model.items(items))
    for tower, given in fields.items():
        assert tower.fields == given.shape[1]
        assert max(tower.read[1]) < given.shape[1]
    assert torch.equal(model.item_ids(items.keys), model.table(items.keys, part=model.of_items)[:, 0])


def test_hidden_ids_are_hidden_in_training_only_and_nothing_else_is(small):
    model, _ = make(small)
    keys = torch.arange(4000)[:, None].repeat(1, 2)
    plain = model._ids(keys, model.of_items)
    assert torch.equal(plain, model.table(keys, part=model.of_items))
    assert torch.equal(model._hidden(plain, True), plain)
    model.train()
    found = model._hidden(plain, True)
    hidden = (found[:, 0] == 0).all(-1)
    assert abs(hidden.float().mean().item() - small.network.id_dropout) < 0.03
    assert torch.equal(found[~hidden], plain[~hidden])
    assert torch.equal(found[:, 1], plain[:, 1])
    assert torch.equal(model._hidden(plain, False), plain)


@pytest.mark.parametrize("read", [False, True])
def test_ids_of_items_and_users_are_hidden_where_they_are_read(small, read):
    config = small.but(
        inputs={"user_fields": ("city",)},
        features={"item_id": read, "user_id": read, "base": True, "category_levels": 2},
        network={"id_dropout": 0.5},
    )
    model = ThreeTowers(config).train()
    many, seen = 200, []
    items = item_features(Items([f"i{n}" for n in range(many)], ["red"] * many, ["x > y"] * many), config)
    users = user_features(Users([f"u{n}" for n in range(many)], {"city": ["Rome"] * many}), config)
    model.user.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    model.users(users, window([[-1]] * many, [[0]] * many), torch.zeros(1, config.network.width))
    for fields in (model.item_fields(items), seen[0][:, : 1 + read]):  # of a user what is pooled is 0 anyway
        hidden = (fields == 0).all(-1)  # (200, F)
        assert hidden[:, 0].any() == read
        assert not hidden[:, 0].all()
        assert not hidden[:, 1:].any()


def test_a_tower_is_interaction_body_head_and_length_one(small):
    torch.manual_seed(0)
    fields = torch.randn(5, 3, small.network.dim)
    one = Tower(3, small.network, "cross").eval()
    (member,) = one.members
    x = member.body(member.interaction(fields))
    assert torch.allclose(one(fields)[:, 0], x / x.norm(dim=1, keepdim=True), atol=1e-6)
    several = Tower(3, replace(small.network, head="mmoe"), tasks=2).eval()
    (member,) = several.members
    y = member.head(member.body(member.interaction(fields)))
    assert torch.allclose(several(fields), y / y.norm(dim=2, keepdim=True), atol=1e-6)


def test_a_pair_is_two_halves_by_two_networks(small):
    torch.manual_seed(0)
    both = replace(small.network, pair=True)
    assert (both.members, both.width, small.network.members, small.network.width) == (2, 32, 1, 16)
    tower = Tower(3, both, plain=[0, 2]).eval()
    fields = torch.randn(5, 3, both.width)
    first, second = tower.members[0](fields[:, :, :16]), tower.members[1](fields[:, [0, 2], 16:])
    assert torch.allclose(tower(fields), torch.cat([first, second], dim=2) / 2**0.5, atol=1e-6)
    assert torch.allclose(part_of(tower(fields), 0, both), first, atol=1e-6)
    assert torch.allclose(part_of(tower(fields), 1, both), second, atol=1e-6)


@pytest.mark.parametrize("pair", [False, True])
def test_with_a_prior_a_score_is_a_cosine_and_what_the_items_counts_say(small, pair):
    config = small.but(network={"prior": True, "pair": pair}, loss={"temperature": 0.3})
    torch.manual_seed(0)
    model = ThreeTowers(config).eval()
    counts = np.array([[0, 0], [9, 3], [99, 99]])
    items = item_features(Items(*NAMES, counts=counts), config)
    read, width = window([[0, 2], [1, -1]], [[0, 1], [1, 0]]), config.network.width
    vectors, tags = model.items(items), model.tags(text_features(["red polish"], config))
    users = model.users(people(config), read, vectors)[:, 0]
    assert vectors.shape[1] == users.shape[1] == tags.shape[1] == config.network.served == width + 1
    for unit in (vectors, users, tags):
        assert torch.allclose(unit[:, :width].norm(dim=1), torch.ones(len(unit)), atol=1e-5)
    assert users[:, width].tolist() == [1, 1]
    assert tags[:, width].tolist() == [0]
    # It begins with the shares of 1 + events, and nothing is made of events a user.
    assert (vectors[:, width] / 0.3).exp().tolist() == pytest.approx([1, 10, 100], rel=1e-5)
    torch.nn.init.constant_(model.prior.weight, 0.5)
    again = model.items(items)
    assert torch.equal(again[:, :width], vectors[:, :width])
    assert again[:, width].tolist() == pytest.approx([0, 0.5 + 0.5 * math.log(3), 1.0])
    assert torch.equal(model.users(people(config), read, again)[:, 0], users)  # no part of what a history says
    for member in range(config.network.members):
        of_user, of_item = part_of(users, member, config.network), part_of(again, member, config.network)
        assert torch.equal(of_item[:, -1], again[:, -1])
        assert torch.allclose(of_user[:, :-1].norm(dim=1), torch.ones(2), atol=1e-5)


def test_the_second_of_a_pair_reads_ids_category_and_words_alone(small):
    config = small.but(**RICH, network={"pair": True}).but(features={"semantic_levels": 0})
    model, items = make_rich(config)
    model.eval()
    keys = items.keys.clone()
    keys[:, 3] += 1  # brands
    others = replace(items, keys=keys, numbers=items.numbers + 1, text=replace(items.text, vectors=torch.ones(3, 3)))
    before, after = model.items(items), model.items(others)
    assert not torch.allclose(before[:, :16], after[:, :16], atol=1e-3)
    assert torch.equal(before[:, 16:], after[:, 16:])
    for column in (0, 1, 2):  # the id, and each level of the category
        keys = items.keys.clone()
        keys[:, column] += 1
        assert not torch.allclose(model.items(replace(items, keys=keys))[:, 16:], before[:, 16:], atol=1e-4)
    tags = [model.tags(replace(items.text, vectors=torch.full((3, 3), value))) for value in (0.0, 1.0)]
    assert torch.equal(tags[0][:, 16:], tags[1][:, 16:])
    assert not torch.allclose(tags[0][:, :16], tags[1][:, :16], atol=1e-3)
    read = window([[0, 2], [1, -1]], [[0, 1], [1, 0]])
    users = model.users(people(config), read, before)[:, 0]
    elsewhere = model.users(people(config, ("x", "y")), read, torch.cat([-before[:, :16], before[:, 16:]], dim=1))[:, 0]
    assert torch.equal(users[:, 16:], elsewhere[:, 16:])
    assert not torch.allclose(users[:, :16], elsewhere[:, :16], atol=1e-3)
    # Pools read vectors whose halves have length 1, as with one member.
    given = []
    model.pools[0].register_forward_pre_hook(lambda _, said: given.append(said[1]))
    model.users(people(config), read, before)
    assert torch.allclose(given[0].view(3, 2, 16).norm(dim=2), torch.ones(3, 2), atol=1e-5)


def test_tables_are_those_of_ids_and_of_words(small):
    model = ThreeTowers(small)
    assert [id(one) for one in model.id_tables()] == [id(model.table.weight)]
    assert [id(one) for one in model.tables()] == [id(model.table.weight), id(model.text.weight)]
    nameless = ThreeTowers(small.but(features={"item_id": False, "user_id": False, "category_levels": 0}))
    assert nameless.id_tables() == []
    assert [id(one) for one in nameless.tables()] == [id(nameless.text.weight)]


def test_sentence_vectors_are_measured_before_training_and_not_after(small):
    config = small.but(inputs={"vector_dim": 3})
    vectors = np.array([[1.0, 0, 0], [3.0, 0, 0], [5.0, 0, 6.0]], dtype=np.float32)
    data = TrainingData(
        *NAMES, ["u"], np.zeros(3, int), np.arange(3), np.zeros(3, int), np.arange(3), item_vectors=vectors
    )
    ready = prepare(data, config)
    model = ThreeTowers(config)
    model.observe(ready, measure=False)
    assert model.text.spread == 1
    model.observe(ready, measure=True)
    assert model.text.centre.tolist() == [3, 0, 2]


KINDS = [
    (part, name, choice)
    for part, kind in (("features", settings.FeatureSettings), ("network", settings.NetworkSettings))
    for name, hint in typing.get_type_hints(kind).items()
    for choice in typing.get_args(typing.get_args(hint)[0] if typing.get_origin(hint) is tuple else hint)
    if typing.get_origin(typing.get_args(hint)[0] if typing.get_origin(hint) is tuple else hint) is typing.Literal
]


@pytest.mark.parametrize(("part", "name", "choice"), KINDS)
def test_every_choice_of_a_block_makes_towers_that_can_learn(small, part, name, choice):
    value = (choice,) if name == "pools" else choice
    config = small.but(**RICH, network={"tasks": ("view", "purchase")}).but(**{part: {name: value}})
    model, items = make_rich(config)
    vectors = model.items(items)
    out = model.users(people(config), window([[0, 2], [1, -1]], [[0, 1], [1, 0]]), vectors)
    assert out.shape == (2, 2, config.network.width)
    (out @ vectors.T).square().sum().backward()
    assert model.table.weight.grad is not None


def test_user_ids_are_read_only_where_switched_on(small):
    read = window([[0, 2], [0, 2]], [[0, 0], [0, 0]])
    for config, same in ((small.but(features={"user_id": False}), True), (small, False)):
        model, items = make(config)
        users = model.users(people(config), read, model.items(items))
        assert torch.allclose(users[0], users[1], atol=1e-5) is same


def test_before_training_items_are_coded_and_not_again(small):
    config = small.but(features={"semantic_levels": 2, "semantic_codes": 2})
    data = TrainingData(
        *NAMES, ["u", "v"], np.array([0, 0, 0, 1]), np.array([0, 2, 0, 1]), np.zeros(4, int), np.arange(4)
    )
    model = ThreeTowers(config)
    ready = model.observe(prepare(data, config), measure=True)
    assert model.codes.codes.shape == (3, 2)
    assert ready.features.keys.shape[1] == prepare(data, config).features.keys.shape[1] + 2
    before = model.codes.codes
    model.observe(prepare(data, config), measure=False)
    assert model.codes.codes is before


def test_before_training_ids_are_counted_and_numbers_measured(small):
    config = small.but(
        inputs={"item_numbers": ("price",), "user_numbers": ("age",)}, features={"numbers": True, "rare": 2.0}
    )
    data = TrainingData(
        *NAMES, ["u", "v"], np.array([0, 0, 0, 1]), np.array([0, 2, 0, 1]), np.zeros(4, int), np.arange(4),
        held_out=np.array([False, False, False, True]),
        item_numbers=np.array([[1.0], [1000.0], [9.0]]), user_numbers=np.array([[30.0], [70.0]]),
    )  # fmt: skip
    ready = prepare(data, config)
    model = ThreeTowers(config)
    model.observe(ready, measure=True)
    counts = model.table.counts(ready.features.keys, part=model.of_items)
    assert counts[:, 0].tolist() == [2, 0, 1]
    assert model.table.counts(ready.people.keys, part=model.of_users)[:, 0].tolist() == [3, 0]
    assert (model.item_numbers.edges[0, 0], model.item_numbers.edges[0, -1]) == (1, 9)  # of what was learnt from
    assert model.user_numbers.edges.unique().tolist() == [30]
    model.observe(ready, measure=False)
    assert model.table.counts(ready.features.keys, part=model.of_items)[0, 0] == 4

"""The gates of explanations, on lines about products that no shop sells: good ones pass, bad ones name their gate."""

import pytest

from recgpt.engine import embedded
from recgpt.stages.answers import Refused
from recgpt.stages.explanations.brands import Brands
from recgpt.stages.explanations.gates import GATES, About, Rules, passed, rouge_l
from recgpt.stages.explanations.vocabulary import Vocabulary, common_words
from recgpt.vectors import Encoder

ORDINARY = frozenset(("summit", "line", "camp", "good", "night", "field", "light"))
BRANDS = ("Norvik", "Summit", "Camp", "Field Light", "Ostrava Optik", "Brewhaus", "Tallow & Twine", "3K", "42")
RULES = Rules(
    sensitive=("pregnancy", "religion", "cancer", "debt"),
    occasions=("Lantern Week",),
    brands=Brands(BRANDS, ORDINARY),
)
PRODUCTS = {
    "shoes": ("trail running", "Norvik Waterproof Trail Running Shoes, Grey, 42", "Sports > Trail running", "Norvik"),
    "vest": ("trail running", "Kestrel Running Vest with Two Soft Flasks, 5 L", "Sports > Trail running", "Kestrel"),
    "tent": ("camping", "Halden 2-Person Tent, 1.9 kg", "Outdoor > Tents", "Halden"),
    "stove": ("camping", "Vulkan Gas Stove with Igniter", "Outdoor > Cooking", "Vulkan"),
    "grinder": ("coffee making", "Brewhaus Hand Coffee Grinder, Burr Mill", "Kitchen > Coffee", "Brewhaus"),
    "tamper": ("coffee making", "Calibrated Espresso Tamper 58 mm", "Kitchen > Coffee", ""),
    "needles": ("knitting", "Tallow & Twine Circular Knitting Needles", "Crafts > Knitting", "Tallow & Twine"),
    "yarn": ("knitting", "Merino Sock Yarn, Hand-Dyed, 100 g", "Crafts > Knitting", "Fennel Fold"),
    "plane": ("woodworking", "Low-Angle Block Plane", "Tools > Hand planes", "Harrow"),
    "saw": ("woodworking", "Japanese Pull Saw, Double Edge", "Tools > Saws", "Harrow"),
    "oil": ("skin care", "Rosehip Essential Oil Blend", "Beauty > Face", "Mirabel"),
    "balm": ("skin care", "Mirabel Tinted Lip Balm", "Beauty > Lips", "Mirabel"),
    "teapot": ("tea", "Glass Teapot with Infuser", "Kitchen > Tea", "Lindal"),
    "tea": ("tea", "First Flush Darjeeling Black Tea", "Kitchen > Tea", "Lindal"),
    "scope": ("stargazing", "Ostrava Optik Refractor Telescope 70 mm", "Hobby > Astronomy", "Ostrava Optik"),
    "torch": ("stargazing", "Red Light Torch", "Hobby > Astronomy", ""),
    "post": ("cat care", "Cat Scratching Post", "Pets > Cats", ""),
    "food": ("dog care", "Puppy Dry Food with Lamb", "Pets > Dogs", "Barkley"),
    "brush": ("painting miniatures", "Detail Brush Set, Size 000", "Crafts > Painting", "Quill"),
    "paper": ("watercolour painting", "Cold Pressed Watercolour Paper Block", "Crafts > Painting", "Quill"),
    "helmet": ("cycling", "Mountain Bike Helmet with Visor", "Sports > Cycling", "Ridge"),
    "light": ("cycling", "Rechargeable Bike Light", "Sports > Cycling", "Ridge"),
    "game": ("board games", "Harvest of Skye Board Game", "Toys > Board games", "Skye"),
    "guitar": ("guitar playing", "Clip-On Guitar Tuner", "Music > Guitar", "Tono"),
    "compost": ("gardening", "Wooden Compost Bin", "Garden > Soil", ""),
    "skis": ("winter skiing", "Padded Ski Gloves", "Sports > Skiing", "Norvik"),
    "lure": ("fishing", "Soft Fishing Lures", "Sports > Fishing", ""),
    "racket": ("tennis", "Racket Overgrips, 3 Pack", "Sports > Tennis", ""),
}


def about(product: str, opening: str = "") -> About:
    interest, title, category, brand = PRODUCTS[product]
    record = " | ".join(part for part in (title, category, brand) if part)
    return About(interest, title, record, opening)


GOOD = [
    ("shoes", "Keeps your feet dry when the path turns to mud or a stream cuts across it."),
    ("shoes", "Waterproof, so a wet forest loop is no reason to stay at home."),
    ("shoes", "Made for rough paths: the grip holds on loose stones and roots where road soles slip."),
    ("shoes", "These Norvik shoes take wet grass and puddles without soaking through."),
    ("shoes", "Lets you reach the summit with dry socks."),
    ("vest", "Carries water close to the body, so that you can drink on long runs without stopping."),
    ("vest", "Two soft flasks sit high on the chest and shrink as you empty them."),
    ("tent", "Shelter for two on an overnight walk, light enough to share between packs."),
    ("tent", "At 1.9 kg it leaves room in the pack for food and a stove."),
    ("tent", "Pitch it beside the lake and wake up where the walk begins."),
    ("stove", "Boils water for breakfast before the camp has woken up."),
    ("stove", "The igniter lights it when your matches have gone damp."),
    ("grinder", "Grinding just before you brew keeps the aroma in the cup instead of the bag."),
    ("grinder", "A hand mill is quiet enough for early mornings and needs no socket."),
    ("grinder", "Find out which grind suits best your beans, from French press to espresso."),
    ("tamper", "Presses the grounds level with the same force each time, so the shot runs evenly."),
    ("tamper", "Helps you perfect your morning shot by taking guesswork out of tamping."),
    ("needles", "Holds a whole sweater in the round and lets wool glide over the join."),
    ("needles", "Lets wool yarn slide from tip to tip without catching."),
    ("yarn", "Merino keeps its spring, so hand-knit socks stay up and last through the wash."),
    ("yarn", "Hand-dyed shades turn a plain sock pattern into stripes of their own."),
    ("plane", "Takes thin shavings off end grain, where a longer plane would tear it."),
    ("plane", "Trims an oak joint flush with one hand while the other holds the board."),
    ("saw", "Cuts on the pull, which keeps the line straight in dovetails and small joints."),
    ("saw", "One edge rips along the grain and the other crosses it."),
    ("oil", "A few drops of essential oil before bed leave dry cheeks soft by morning."),
    ("balm", "Gives lips a little colour on days when you want nothing heavier."),
    ("teapot", "You can watch the leaves open in the glass and pour when the colour is right."),
    ("teapot", "The infuser lifts out, so the second cup is no stronger than the first."),
    ("tea", "Picked early in the year, it tastes lighter and more floral than later harvests."),
    ("tea", "Try it without milk to taste the muscatel note that people look for in this region."),
    ("scope", "Shows the rings of Saturn and the craters along the edge of the moon."),
    ("scope", "Helps you discover double stars that the eye alone runs together."),
    ("torch", "Lets you read the chart without losing the eyes' adaptation to the dark."),
    ("post", "Gives your cat somewhere to sharpen its claws that is not the sofa."),
    ("food", "Small pieces that a growing dog can chew, with lamb for pups that turn up their nose at chicken."),
    ("brush", "Paints eyes, buttons and lettering that a larger brush would flood."),
    ("brush", "Fine enough for the highlights on armour and the pattern on a cloak."),
    ("paper", "Its slight tooth holds a wash long enough to work wet into wet."),
    ("paper", "Glued on all sides, so sheets stay flat under heavy washes."),
    ("helmet", "The visor keeps low sun and twigs out of your eyes on forest descents."),
    ("light", "Recharge it at your desk and ride home seen by the traffic behind."),
    ("game", "Plays well with the whole family: rules in minutes, hard choices each round."),
    ("game", "Building the village together gives quieter players as much to do as loud ones."),
    ("guitar", "Reads the vibration of the headstock, so you can tune in a noisy rehearsal room."),
    ("compost", "Turns kitchen scraps and other organic matter into soil for the beds."),
    ("skis", "Padding over the knuckles for the days when you catch an edge."),
    ("skis", "Keeps winter out of your fingers on the chair lift."),
    ("lure", "Moves like a small fish in slow water, where pike lie in wait."),
    ("racket", "A fresh grip stops the handle from turning in a damp hand."),
    ("racket", "A pack of 3 means there is a spare in the bag when one wears thin."),
]

BAD = [
    ("shoes", "Good shoes", "length"),
    ("shoes", "Runs and runs " * 15, "length"),
    ("shoes", "Keeps feet dry, see www.norvik.example for the sizes.", "form"),
    ("shoes", "**Dry feet** on every muddy path in the hills.", "form"),
    ("vest", "Carries water close to the body so that you can drink from your", "unfinished"),
    ("vest", "Carries water close to the body for runners who never want to build ain'.", "unfinished"),
    ("tent", "A shelter for weekends away, kind on a family in debt.", "sensitive"),
    ("balm", "A soft colour that is safe throughout pregnancy.", "sensitive"),
    ("oil", "Soothes tired cheeks and brings relief from eczema.", "health_claim"),
    ("oil", "Smooths fine lines around the eyes overnight.", "health_claim"),
    ("food", "A healthy and balanced meal for a growing dog.", "health_claim"),
    ("skis", "Gloves that let you ski all day without any pain.", "health_claim"),
    ("yarn", "Goes with the needles that you bought a while ago.", "personal"),
    ("yarn", "Because you like bright colours, this skein will suit the next pair.", "personal"),
    ("game", "Customers also choose it for long evenings at the table.", "personal"),
    ("scope", "Shows the craters of the moon at an affordable price.", "price"),
    ("scope", "Shows the craters of the moon for less than $200.", "price"),
    ("light", "Seen from 300 metres on unlit country roads.", "number"),
    ("light", "Shines for ten hours before it needs a socket.", "number"),
    ("paper", "Takes fifty per cent more water before it buckles.", "number"),
    ("tent", "Shelter for 4 on an overnight walk in the hills.", "number"),
    ("grinder", "Grinds as evenly as an Ostrava Optik mill would.", "brand"),
    ("saw", "Fits the norvik mitre box that many workshops have.", "brand"),
    ("torch", "Pairs well with a Summit headband on long nights.", "brand"),
    ("shoes", "A leather shoe for long runs on rough ground.", "invented"),
    ("shoes", "Cushions long runs with insulated soles for cold mornings.", "invented"),
    ("helmet", "A carbon shell takes the knock before your head does.", "invented"),
    ("plane", "The bronze body adds weight, so it bites into knots.", "invented"),
    ("post", "Wrapped around a core made of solid oak, it does not tip over.", "invented"),
    ("lure", "Lures that are made of feathers and swim in slow water.", "invented"),
    ("racket", "Moisture is drawn off by its vegan and breathable weave.", "invented"),
    ("balm", "Fragrance-free colour for lips that dry out on windy walks.", "invented"),
    ("game", "Handmade pieces that small fingers can move around the board.", "invented"),
    ("tent", "Wake up beside the lake this weekend!", "slogan"),
    ("tent", "A must-have for anybody who sleeps under the stars.", "slogan"),
    ("grinder", "Elevate your mornings with freshly milled beans.", "slogan"),
    ("scope", "The ultimate way to see craters and rings.", "exaggeration"),
    ("tea", "The best leaves that the gardens of the north grow.", "exaggeration"),
    ("guitar", "Perfect for rehearsal rooms where nobody hears themselves.", "exaggeration"),
    ("compost", "High-quality boards that turn kitchen scraps into soil.", "generic"),
    ("stove", "A great choice for hikers who cook outdoors.", "generic"),
    ("paper", "Suits your needs in the studio and can serve many purposes.", "generic"),
    ("shoes", "Dry feet on slushy winter paths through the woods.", "dated"),
    ("stove", "Boils water quickly on cold mornings this autumn.", "dated"),
    ("teapot", "Fill it for guests during Lantern Week and watch the leaves open.", "dated"),
    ("shoes", "Norvik grey trail running shoes, waterproof", "title_again"),
    ("scope", "A refractor telescope of Ostrava Optik with 70 mm, a refractor.", "title_again"),
    ("post", "A scratching post that a cat can scratch.", "title_again"),
    ("brush", "Painting brush for painting miniatures, crafts and details.", "says_nothing"),
]  # fmt: skip


@pytest.mark.parametrize(("product", "line"), GOOD)
def test_a_plain_line_passes_unchanged(product: str, line: str) -> None:
    assert passed(line, about(product), RULES) == line


@pytest.mark.parametrize(("product", "line", "gate"), BAD)
def test_a_bad_line_is_refused_by_the_gate_that_it_breaks(product: str, line: str, gate: str) -> None:
    with pytest.raises(Refused) as caught:
        passed(line, about(product), RULES)
    assert (caught.value.gate, caught.value.text) == (gate, line.strip())
    assert caught.value.detail


def test_every_gate_has_a_bad_line() -> None:
    only_small_models = {"stutter", "non_word"}
    assert {gate for _, _, gate in BAD} | only_small_models == set(GATES)


def test_a_line_is_trimmed_of_quotes_and_white_space() -> None:
    assert passed('  "Dry feet when  the path turns to mud." ', about("shoes"), RULES) == (
        "Dry feet when the path turns to mud."
    )


def test_the_bounds_of_the_length_are_the_settings_own() -> None:
    line = "Dry feet when the path turns to mud."
    exact = Rules(shortest=len(line), longest=len(line))
    assert passed(line, about("shoes"), exact) == line
    for bounds in (Rules(shortest=len(line) + 1), Rules(longest=len(line) - 1)):
        with pytest.raises(Refused, match="length"):
            passed(line, about("shoes"), bounds)


def test_the_record_of_one_product_does_not_excuse_another() -> None:
    line = "The glass shows when the colour is right to pour, and its glass walls stay clear."
    assert passed(line, about("teapot"), RULES)
    with pytest.raises(Refused, match="invented"):
        passed("Its glass walls show when the drink is right to pour.", about("grinder"), RULES)


OPENING = "For trail running: waterproof trail running shoes that"


def go_on(rest: str, rules: Rules = RULES) -> str:
    return passed(f"{OPENING} {rest}", about("shoes", OPENING), rules)


def test_what_a_small_model_wrote_on_passes_if_it_says_something() -> None:
    assert go_on("keep your feet dry on wet ground.").endswith("wet ground.")


@pytest.mark.parametrize(
    ("rest", "gate"),
    [
        ("keep the keeper's feet dry, keeping dry.", "stutter"),
        ("keep your feet dry without", "unfinished"),
        ("", "unfinished"),
        ("are running shoes for the trail.", "title_again"),
        ("are sports shoes.", "says_nothing"),
        ("can be used for a variety of purposes.", "generic"),
    ],
)
def test_what_a_small_model_wrote_on_is_refused_by_the_gate_that_it_breaks(rest: str, gate: str) -> None:
    with pytest.raises(Refused) as caught:
        go_on(rest)
    assert caught.value.gate == gate


@pytest.fixture(scope="module")
def common(tmp_path_factory: pytest.TempPathFactory) -> frozenset[str]:
    encoder = Encoder("packaged", tmp_path_factory.mktemp("vectors"))
    return common_words(encoder.folder / "tokenizer.json", embedded.prepare().tokenizer)


def test_common_words_come_from_both_packaged_models(common: frozenset[str]) -> None:
    assert {"aquarium", "sharpen", "hydration"} <= common
    assert not {"ofakis", "##ing", "waders"} & common


@pytest.mark.parametrize("word", ["ofakis", "aana", "the'stameness", "stambleringly"])
def test_a_word_that_is_none_is_refused(common: frozenset[str], word: str) -> None:
    with pytest.raises(Refused) as caught:
        go_on(f"help you choose the right {word}.", Rules(vocabulary=Vocabulary(common)))
    assert caught.value.gate == "non_word"


def test_the_good_lines_are_made_of_words(common: frozenset[str]) -> None:
    known = Vocabulary(common)
    odd = {word for product, line in GOOD if (word := known.unknown(line, about(product).known))}
    assert odd <= {"muscatel", "espresso"}


def test_a_rare_word_is_one_where_the_catalogue_has_it(common: frozenset[str]) -> None:
    class Catalogue:
        titles, categories = ("Zwickel Tap",), ("Brewing",)

    line = "draws a sample through the zwickel."
    assert Vocabulary(common).unknown(line, "") == "zwickel"
    assert Vocabulary(common, Catalogue()).unknown(line, "") is None  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [("a b c d", "a b c d", 1.0), ("a b", "c d", 0.0), ("a x b y", "a b", 2 * 2 / 6), ("", "", 0.0)],
)
def test_rouge_l_is_the_formula(one: str, other: str, expected: float) -> None:
    assert rouge_l(one, other) == pytest.approx(expected)


def test_a_brand_that_is_an_ordinary_word_counts_only_as_a_name() -> None:
    brands = Brands(BRANDS, ORDINARY)
    assert brands.named("We camp at the summit.") is None
    assert brands.named("Camp at the top.") is None
    assert brands.named("Better than a Camp tent.") == "camp"
    assert brands.named("Good night in the field light.") is None
    assert brands.named("Goes under a Field Light lamp.") == "field light"


def test_many_brands_of_one_beginning_are_told_apart() -> None:
    brands = Brands((f"Maker {number}" for number in range(20_000)), ORDINARY)
    assert brands.named("like one of maker 19999 is") == "maker 19999"
    assert brands.named("like one of a maker") is None
    assert brands.named("Maker 20000 is none") is None


def test_any_other_brand_counts_however_it_is_spelt() -> None:
    brands = Brands(BRANDS, ORDINARY)
    assert brands.named("like norvik ones") == "norvik"
    assert brands.named("norvikish ones") is None
    assert brands.named("like OSTRAVA optik ones") == "ostrava optik"
    assert brands.named("an optik by ostrava") is None
    assert brands.named("like norvik ones", known="Norvik Trail Shoes") is None
    assert brands.named("3k of rope, and 42 of it") == "3k"


def test_without_a_word_list_a_brand_must_be_spelt_as_a_name() -> None:
    brands = Brands(("Zanthe", "N/A", "", "--"))
    assert brands.named("like a zanthe one") is None
    assert brands.named("like a Zanthe one") == "zanthe"

"""The words that gold rows are made of, each list in two halves: what a judge is tuned on, and what it is tested on.

A judge that learnt its training's phrases by heart finds none of them in the test: categories, names, vague words,
inventions and slogans are all others there. Data only; `gold.py` makes rows of it.
"""

from typing import Final

LEARNT, UNSEEN = 0, 1  # the halves
Halves = tuple[tuple[str, ...], tuple[str, ...]]

# Of each leaf of the demo shop: another name for it, and two moments of somebody who has that interest.
CATEGORIES: Final[dict[str, tuple[str, str, str]]] = {
    "Trail running": ("running on hill paths", "for long runs on muddy hill paths", "for a steep loop in the woods"),
    "Cycling": ("riding bikes", "for the long tour on Sunday", "for rough city roads and country lanes"),
    "Yoga": ("yoga and stretching", "for a calm half hour before the day begins", "for slow stretches at home"),
    "Camping": ("sleeping in tents", "for nights in the open", "for a weekend by the lake"),
    "Fishing": ("angling", "for quiet mornings on the river bank", "for a patient day out on the boat"),
    "Coffee making": ("home barista coffee", "for a better first cup in the morning", "for a strong cup after dinner"),
    "Baking": ("home baking", "for Sunday cakes and fresh bread", "for a crust that turns out even every time"),
    "Tea": ("tea drinking", "for a quiet pot in the afternoon", "for slow leaves and a clear cup"),
    "Baby care": ("caring for a baby", "for calmer evenings with a newborn", "for a bath without a fuss"),
    "Wooden toys": ("classic toys for children", "for small hands that build", "for an hour on the playroom floor"),
    "Watercolour painting": ("painting with water colours", "for loose washes and fine lines", "for sketches outdoors"),
    "Knitting": ("knitting jumpers and scarves", "for a jumper that grows row by row", "for evenings with needles"),
    "Model railways": ("model trains", "for a line like the real country", "for another corner of the layout"),
    "Photography": ("taking photographs", "for sharper pictures on the next walk", "for portraits in evening light"),
    "Vegetable growing": ("growing vegetables", "for beans from your own bed", "for seedlings with a strong start"),
    "Bird feeding": ("feeding garden birds", "for finches at the window", "for birds that come back"),
    "Board games": ("tabletop games with friends", "for evenings around the table", "for one more round after dinner"),
    "Video gaming": ("playing video games", "for long sessions and quick reactions", "for a late match online"),
    "Lighting": ("home lighting", "for a warm corner to read in", "for soft light over the dining table"),
    "Home office": ("working from home", "for days full of calls", "for working days without a stiff neck"),
    "Guitar playing": ("playing the guitar", "for practising chords at night", "for a song at a small gig"),
    "Dog care": ("looking after a dog", "for muddy paws after a walk", "for a calm dog at night"),
    "Aquariums": ("fish keeping", "for clear water and healthy fish", "for plants that thrive in the tank"),
    "Skin care": ("skin care routines", "for a calm routine before bed", "for skin that feels fresh in the morning"),
    "Woodworking": ("working with wood", "for clean joints at the bench", "for a shelf that fits the first time"),
}  # fmt: skip

VAGUE_NAMES: Final[Halves] = (
    ("shopping", "useful products", "things for the home", "sports and things", "lifestyle", "everyday items",
     "good quality products", "various interests", "stuff to buy", "all kinds of goods"),
    ("general purchases", "nice things to have", "leisure and more", "products for daily life", "online deals",
     "different things", "what people like", "bits and pieces"),
)  # fmt: skip
REACHES: Final[Halves] = (
    ("becoming a professional in {}", "opening a shop for {}", "moving abroad for {}", "teaching {} at a university",
     "a career in {}", "leaving the job for {}"),
    ("making a living from {}", "winning a world title in {}", "writing a history of {}", "founding a company for {}"),
)  # fmt: skip
VAGUE_TAGS: Final[Halves] = (
    ("nice {} gear", "useful things", "good quality products", "great {} items", "everyday stuff", "modern {} goods",
     "helpful little things", "new {} products"),
    ("cool {} accessories", "practical articles", "best value goods", "handy {} bits", "popular choices"),
)  # fmt: skip
ABSURD: Final[Halves] = (
    ("edible", "carbonated", "inflatable glass", "liquid", "wireless paper", "frozen", "boiled", "loose leaf"),
    ("drinkable", "flammable woollen", "invisible", "melted", "scented steel", "peeled"),
)
# What an interest is like: the interest, a tag that agrees, one that contradicts it.
LEVELS: Final[tuple[tuple[tuple[str, str, str], ...], tuple[tuple[str, str, str], ...]]] = (
    (
        ("{} for beginners", "simple starter {}", "professional competition {}"),
        ("{} with small children", "child safe {}", "adults only {}"),
        ("{} on a tight budget", "low cost {}", "luxury gold plated {}"),
        ("{} when travelling", "foldable travel {}", "heavy stationary {}"),
    ),
    (
        ("{} in a tiny flat", "compact space saving {}", "giant oversized {}"),
        ("{} for older people", "easy grip {}", "toddler {}"),
        ("{} for professionals", "heavy duty pro {}", "first steps toy {}"),
    ),
)
SEASONED: Final[tuple[dict[str, str], dict[str, str]]] = (
    {"winter": "christmas {}", "spring": "easter {}", "summer": "summer heat {}", "autumn": "autumn {}"},
    {"winter": "snow season {}", "spring": "springtime {}", "summer": "beach holiday {}", "autumn": "halloween {}"},
)
INVENTED: Final[Halves] = (
    ("made of Italian titanium", "with a lifetime warranty", "that doubles your strength in a week",
     "used by three Olympic champions", "coated with real silver", "that saves 50 % of your time"),
    ("woven from Japanese carbon silk", "tested by NASA engineers", "that cuts your costs by 40 %",
     "with a built-in camera"),
)  # fmt: skip
EMPTY: Final[Halves] = (
    ("that is a {}", "that you will like", "that is a good product", "that can be used", "which is what it is"),
    ("which is a kind of {}", "that many people buy", "that is nice to have"),
)
SLOGANS: Final[Halves] = (
    ("Buy now! The ultimate {}, a must-have!", "The best {} in the world, order today!", "Wow! A {} like no other!",
     "Hurry, this {} is the number one!"),
    ("Don't miss out! Everyone needs this {}!", "Unbeatable! Grab your {} before it is gone!",
     "A dream {}, simply perfect!!!"),
)  # fmt: skip
HURTFUL: Final[Halves] = (
    ("for people who, like you, have gained weight", "that even somebody with your debts can afford",
     "so that nobody sees how old you look", "since your flat must look awful by now"),
    ("now that your illness gets worse", "for lonely people without a partner", "because others laugh at your body"),
)  # fmt: skip
OCCASIONS: Final[tuple[dict[str, str], dict[str, str]]] = (
    {
        "winter": "to put under the Christmas tree",
        "spring": "for the Easter weekend",
        "summer": "for the hottest days of summer",
        "autumn": "for the first days of autumn",
    },
    {
        "winter": "for New Year's Eve in the snow",
        "spring": "for the first blossoms of spring",
        "summer": "for the midsummer holidays",
        "autumn": "for Halloween night",
    },
)

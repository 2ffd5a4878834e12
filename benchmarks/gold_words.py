"""The words that gold rows are made of, each list in two halves: what a judge is tuned on, and what it is tested on.

A judge that learnt its training's phrases by heart finds none of them in the test: categories, names, vague words,
inventions and slogans are all others there. The half that is learnt from is the longer one: of a dozen phrases a judge
learns the phrases, of many what they have in common. Data only; `gold.py` makes rows of it.
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
     "good quality products", "various interests", "stuff to buy", "all kinds of goods", "spare time",
     "new arrivals", "hobby articles", "a bit of everything", "modern living", "personal favourites",
     "special offers", "miscellaneous", "accessories and more", "consumer goods", "browsing the shop",
     "small presents", "practical helpers", "daily needs", "popular brands", "outdoor and indoor things",
     "fun for everyone", "family matters", "trends of the year", "quality time", "mixed purchases", "other"),
    ("general purchases", "nice things to have", "leisure and more", "products for daily life", "online deals",
     "different things", "what people like", "bits and pieces"),
)  # fmt: skip
REACHES: Final[Halves] = (
    ("becoming a professional in {}", "opening a shop for {}", "moving abroad for {}", "teaching {} at a university",
     "a career in {}", "leaving the job for {}", "a doctorate in {}", "breaking the national record in {}",
     "inheriting a fortune from {}", "a television programme about {}", "founding a museum of {}",
     "{} to overcome a divorce", "being famous for {}", "secretly hating {}", "a lifelong rivalry over {}",
     "building a factory for {}", "recovering from an accident through {}", "{} as the meaning of life"),
    ("making a living from {}", "winning a world title in {}", "writing a history of {}", "founding a company for {}"),
)  # fmt: skip
VAGUE_TAGS: Final[Halves] = (
    ("nice {} gear", "useful things", "good quality products", "great {} items", "everyday stuff", "modern {} goods",
     "helpful little things", "new {} products", "all kinds of {} things", "lovely presents", "premium quality items",
     "various {} supplies", "recommended products", "stylish must haves", "basic {} equipment", "interesting finds",
     "affordable {} stuff", "top rated things", "other {} articles", "special offers", "beautiful objects",
     "fine {} essentials", "trendy new goods", "solid all round items", "more {} products", "clever solutions"),
    ("cool {} accessories", "practical articles", "best value goods", "handy {} bits", "popular choices"),
)  # fmt: skip
ABSURD: Final[Halves] = (
    (
        "carbonated",
        "inflatable glass",
        "wireless paper",
        "boiled",
        "gaseous",
        "deep fried",
        "knitted concrete",
        "seedless iron",
        "battery powered soup",
        "transparent lead",
        "pasteurised granite",
        "edible titanium",
        "dehydrated fire",
        "magnetic butter",
        "square round",
        "foldable liquid",
        "rusty silk",
        "radioactive lace",
        "chewable marble",
        "singing gravel",
        "underwater snow",
        "microwaved denim",
        "woven milk",
        "paper thin anvil",
        "bottled shadow",
        "solar powered candlelight",
        "hatching",
        "unbaked brick",
        "inflatable stone",
        "time travelling",
        "half digested",
        "weightless iron",
        "evaporated wool",
        "crunchy velvet",
        "moonlight flavoured",
        "self eating",
    ),
    ("fermented copper", "flammable woollen", "invisible", "melted", "scented steel", "peeled", "drinkable wooden"),
)
# What an interest is like: the interest, a tag that agrees, one that contradicts it.
LEVELS: Final[tuple[tuple[tuple[str, str, str], ...], tuple[tuple[str, str, str], ...]]] = (
    (
        ("{} for beginners", "simple starter {}", "professional competition {}"),
        ("{} with small children", "child safe {}", "adults only {}"),
        ("{} on a tight budget", "low cost {}", "luxury gold plated {}"),
        ("{} when travelling", "foldable travel {}", "heavy stationary {}"),
        ("{} for left handed people", "left handed {}", "right hand only {}"),
        ("{} in wet weather", "waterproof {}", "dry room only {}"),
        ("{} as a quiet pastime", "silent {}", "extra loud {}"),
        ("{} on a large scale", "bulk size {}", "single use mini {}"),
        ("sustainable {}", "recycled {}", "disposable plastic {}"),
        ("luxurious {}", "high end designer {}", "cheapest budget {}"),
        ("{} in the dark", "glow in the dark {}", "daylight only {}"),
        ("{} for tall people", "extra long {}", "extra short {}"),
        ("traditional {}", "classic handmade {}", "futuristic smart {}"),
        ("high tech {}", "app controlled {}", "old fashioned manual {}"),
    ),
    (
        ("{} in a tiny flat", "compact space saving {}", "giant oversized {}"),
        ("{} for older people", "easy grip {}", "toddler {}"),
        ("{} for professionals", "heavy duty pro {}", "first steps toy {}"),
    ),
)
Seasons = dict[str, tuple[str, ...]]
SEASONED: Final[tuple[Seasons, Seasons]] = (
    {
        "winter": ("christmas {}", "january {}", "frosty {}", "icy weather {}", "new year {}", "december {}"),
        "spring": ("easter {}", "april {}", "tulip season {}", "may day {}", "lamb season {}", "march {}"),
        "summer": ("summer heat {}", "july {}", "hot weather {}", "high summer {}", "august sun {}", "june {}"),
        "autumn": ("autumn {}", "october {}", "harvest season {}", "falling leaves {}", "november {}",
                   "autumn storm {}"),
    },
    {
        "winter": ("snow season {}",),
        "spring": ("springtime {}",),
        "summer": ("beach holiday {}",),
        "autumn": ("halloween {}",),
    },
)  # fmt: skip
INVENTED: Final[Halves] = (
    ("made of Italian titanium", "with a lifetime warranty", "that doubles your strength in a week",
     "used by three Olympic champions", "coated with real silver", "that saves 50 % of your time",
     "with a ten year guarantee", "filled with Icelandic feathers", "recommended by nine out of ten doctors",
     "made by hand in Tuscany", "with free delivery", "that never breaks", "awarded a gold medal in Paris",
     "with Bluetooth and GPS", "from 100 % recycled ocean plastic", "that weighs only 12 grams",
     "with a secret royal recipe", "half the price of any other"),
    ("woven from Japanese carbon silk", "tested by NASA engineers", "that cuts your costs by 40 %",
     "with a built-in camera"),
)  # fmt: skip
EMPTY: Final[Halves] = (
    (
        "that is a {}",
        "that you will like",
        "that is a good product",
        "that can be used",
        "which is what it is",
        "that is a thing",
        "which you can buy here",
        "that has its uses",
        "that is in the shop",
        "which is fine",
        "that fits you",
        "that is suitable",
        "which is available",
        "that is really a {}",
    ),
    ("which is a kind of {}", "that many people buy", "that is nice to have"),
)
SLOGANS: Final[Halves] = (
    ("Buy now! The ultimate {}, a must-have!", "The best {} in the world, order today!", "Wow! A {} like no other!",
     "Hurry, this {} is the number one!", "Amazing! You need this {} today!", "Nothing beats this {}, ever!",
     "Simply the greatest {} of all time!", "Grab it fast! A {} to die for!", "Your life will never be the same: {}!",
     "Only today! The incredible {}!", "100 % happiness with this {}!", "The {} that everybody talks about!!!",
     "Stop searching! This {} is perfection!"),
    ("Don't miss out! Everyone needs this {}!", "Unbeatable! Grab your {} before it is gone!",
     "A dream {}, simply perfect!!!"),
)  # fmt: skip
HURTFUL: Final[Halves] = (
    ("for people who, like you, have gained weight", "that even somebody with your debts can afford",
     "so that nobody sees how old you look", "since your flat must look awful by now",
     "because you are too lazy for anything else", "now that your marriage has failed", "for someone as clumsy as you",
     "given how little you earn", "to hide your ugly hands", "since your doctor gave you bad news",
     "so your boss stops calling you useless", "for people who have no friends like you",
     "because your religion demands it", "since you can't lose weight anyway"),
    ("now that your illness gets worse", "for lonely people without a partner", "because others laugh at your body"),
)  # fmt: skip
OCCASIONS: Final[tuple[Seasons, Seasons]] = (
    {
        "winter": ("to put under the Christmas tree", "for icy January mornings", "for the long nights of December",
                   "for frosty weekends"),
        "spring": ("for the Easter weekend", "for mild April days", "for the first warm days of March",
                   "for a fresh start in May"),
        "summer": ("for the hottest days of summer", "for July by the sea", "for long warm evenings in June",
                   "for the August heat"),
        "autumn": ("for the first days of autumn", "for foggy November days", "for golden October walks",
                   "for harvest time in September"),
    },
    {
        "winter": ("for New Year's Eve in the snow",),
        "spring": ("for the first blossoms of spring",),
        "summer": ("for the midsummer holidays",),
        "autumn": ("for Halloween night",),
    },
)  # fmt: skip

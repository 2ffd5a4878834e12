"""Starting a project: the commented `recgpt.toml`, and the demo shop with its whole night."""

from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Final

from recgpt.config import FILE_NAME, Config, load
from recgpt.errors import ConfigError
from recgpt.sources.demo import make_shop

DEMO_NIGHT: Final = date(2026, 10, 31)

TEMPLATE: Final = """\
# recgpt.toml: every setting, at its default where it is commented out. Paths are relative to this file.
# Unknown keys are refused. Secrets never go in here: api_key_env names the environment variable that holds one.

[data]                                # a file, a folder or a glob of .parquet, .csv or .jsonl (the last two also .gz)
users = "data/users.parquet"
items = "data/items.parquet"
events = "data/events.parquet"
# base_features = []                  # columns of users that may reach a prompt; no other column does
# max_reject_share = 0.05             # of a table's rows; with more bad rows than that the run stops
# earliest = 1995-01-01               # an older timestamp is a clock that was never set

# [data.columns.users]                # left: our name; right: yours
# user_id = "user_id"
# [data.columns.items]
# item_id = "item_id"
# title = "title"
# category = "category"               # a path "A > B > C", or a list of its parts
# brand = "brand"
# price = "price"
# stock = "stock"                     # how many there are: an item with 0 is not recommended
# [data.columns.events]
# user_id = "user_id"
# timestamp = "timestamp"
# behaviour = "behaviour"
# item_id = "item_id"
# query = "query"
# value = "value"

# [behaviours.purchase]               # known: purchase, add_to_cart, rating, favourite, search, review_read, view,
# reliable = true                     # click, impression; add your own, or change one of these
# weight = 4.0
# word = "bought"

[store]
url = "sqlite:///work/recgpt.sqlite"  # any SQLAlchemy URL

[engine]
kind = "embedded"                     # the packaged small model; "server" is vLLM or any OpenAI-compatible server
# base_url = "http://127.0.0.1:8000/v1"
# model = ""                          # server: the name it serves
# revision = ""                       # server: what the weights are; answers are replayed by model and revision
# tokenizer = ""                      # server: folder of its tokenizer, to count a budget exactly
# api_key_env = ""
# in_flight = 64
# retries = 4
# timeout_s = 120.0
# threads = 0

[encoder]
path = "packaged"                     # or the folder of a sentence-transformers BERT model

# [rendering]
# max_tokens = 8000                   # of a profile text
# title_words = 12

# [environment]                       # what surrounds every user; prompts are told the season and the events
# hemisphere = "north"
# region = ""
# lead_days = 21                      # so long before it begins an event is spoken of
# events = []                         # {name = "Christmas", begin = "12-24", end = "12-26"}, or dates: 2026-11-27

[interests]
strategy = "grouped"                  # code groups, the model names; "read" gives a real model the whole profile text
# min_items = 3
# min_days = 3
# min_span_days = 28
# short_term_days = 30
# similarity = 0.5
# max_interests = 12
# reread_days = 60                    # later nights read what is new; after so many days all is read again
# drift = 0.8                         # and so it is where what a user does has moved further than this (0 to 1)

[tags]
strategy = "each"                     # a short question per interest; "single" asks a real model for all at once, and
# personas = 3                        # "experts" a planner, an expert for each of so many personas, and an arbiter
# per_interest = 4
# temperature = 0.0
# seed = 0
# retrievable = 0.45                  # how near (cosine) some item must be to a tag
# duplicate = 0.92                    # from this likeness two tags of a user say the same
# same_as_done = 0.75                 # from this likeness a tag only names what was done
# fresh_days = 30                     # before the user's last event: what was done in them is not proposed again
# fresh_behaviours = ["purchase"]     # what counts as done
# banned = ["smart", "modular", "set", "premium", "quality", "best", "new", "product", "item", "stuff"]

# [tags.season_words]                 # a tag with one of them fits that season and the one before it
# winter = ["winter", "snow", "ski", "skiing", "sledge", "sled", "toboggan"]
# spring = ["springtime"]             # not "spring": sofas have springs
# summer = ["summer", "beach", "sunbathing", "paddling pool"]
# autumn = ["autumn"]

# [towers]                            # docs/towers.md says what the network is
# retrain_days = 7
# teacher = ""                        # for loss.distillation: the folder of larger towers, trained before on these logs
# tags_from = ["words"]               # and "titles", "searches": what stands for tags to learn the tag tower from

# [towers.features]                   # what is read of items, users and events
# item_id = true
# category_levels = 5                 # prefixes of an item's path that are summed, the last the whole; 0: none
# brand = true
# semantic_levels = 0                 # of codes by residual k-means of what the items are like; 0: none
# semantic_codes = 64                 # in a level
# user_id = false                     # off: a user is what they did, nothing else
# base = false                        # data.base_features, where there are some
# numbers = false                     # price
# popularity = false                  # how often an item was in an event
# numeric = "quantiles"               # or "log", "sigmoids", "distribution", "periodic", "piecewise"
# table_rows = 65536                  # of the one table of all ids
# hashes = 1                          # rows of the table that make one id's vector
# rare = 0.0                          # events at which an id's own vector counts as much as a default; 0: all its own
# text_rows = 65536                   # of the table of word pieces
# text_pooling = "mean"               # or "attention"
# history = 20                        # a user's last events that are read
# pools = ["recency"]                 # and "mean", "aged", "sequence": what makes a few vectors of them

# [towers.network]
# dim = 64                            # of a member's vectors
# pair = true                         # two members side by side; what is served is twice as wide
# hidden = 128
# interaction = "none"                # or "fm", "dots", "cross", "cross_low_rank", "autoint", "hiformer"
# interaction_layers = 2
# body = "mlp"                        # or "resnet", "densenet"
# depth = 1
# head = "shared"                     # or "moe", "mmoe"
# experts = 4
# tasks = []                          # behaviours with a user vector of their own; the first is served
# prior = false                       # scores begin from how often an item is taken: where all buy the same few
# repeats = false                     # where people buy the same things again: what a user had before is scored by
                                      # its counts and ages, and only what is new to them by vectors
# dropout = 0.2
# id_dropout = 0.1                    # share of ids hidden in training, so that text alone carries a new item

# [towers.loss]                       # the terms, each with its weight; 0 leaves a term out
# user_item = "auto"                  # full up to full_items, else mixed; or "in_batch", "mixed", "full", "gbce"
# full_items = 20000                  # the largest catalogue that is encoded whole at each step
# negatives = 1024                    # mixed, gbce: drawn evenly from the catalogue for a batch
# calibration = 0.75                  # gbce
# temperature = 0.07
# learn_temperature = false           # it then only begins there
# tag = 0.5
# category = 0.0
# corruption = 0.0                    # two views of an item with fields masked must find each other
# corruption_share = 0.4
# chain = 0.0                         # P(task) = P(task | next) P(next), next being the one after it in tasks
# distillation = 0.0

# [towers.training]
# batch_size = 2048                   # at most; a hundredth of the events where these are few
# max_epochs = 10
# patience = 3
# learning_rate = 0.003
# final_rate = 0.02                   # share of it at max_epochs: it falls in a line after the warm-up; 1: it stays
# weight_decay = 0.01
# warmup_steps = 100                  # at most; a tenth of all steps where these are few
# clip_norm = 0.0                     # of all gradients together; 0: not clipped
# ema = 0.0                           # decay a step of averaged weights, which are then the ones kept; 0: none
# tables = "adamw"                    # or "row_wise_adam", "row_wise_adagrad": the optimiser of ids and word pieces
# ids_after_epoch = "go_on"           # or "freeze", "reset"
# pretrain_epochs = 3                 # of a contrastive stage that gives the ids their first vectors
# refit = false                       # then train anew on all events, for as many epochs as were best
# half_life = 0.0                     # days: an event older by so many than the newest counts half; 0: all alike
# horizon = 0.0                       # days that are asked for together, from their beginning; 0: each event by itself
# validation_share = 0.1              # of events, the latest ones
# validation_events = 16384
# shuffle_ties = true                 # events of a user at one moment stand in a new order each epoch
# repeats = false                     # in validation, an item that the user had before counts too
# precision = "fp32"                  # or "bf16", on a GPU
# seed = 0

# [score]
# top_k = 20
# per_tag = 6
# per_category = 0                    # of the list; 0: no limit
# per_brand = 0
# pool = 100                          # a tag's best items, from which quotas and diversity choose
# diversity = 0.0                     # above 0: less of what is like an item chosen before
# beta = 0.5                          # weight of user.item beside tag.item; 'recgpt towers beta' measures others
# categories = []                     # if any: only items of these paths ("A > B") and below
# without_categories = []             # no item of these paths and below
# leave_out = ["purchase"]
# leave_out_days = 3650

[explain]
strategy = "short"                    # for a small model; "full" for a real one
# top = 5                             # of a user's recommendations get one
# tries = 2
# min_chars = 15                      # of a line
# max_chars = 160

[judge]
form = "said"                         # for a small model; "verdict" asks yes or no, "examples" after examples
# share = 0.25                        # of what the stages made
# seed = 0
# votes = 5                           # answers to a question where the engine gives no token probabilities
# temperature = 0.7                   # of those votes
# panel = []                          # several judges: {form = "said"}, {model = "m", revision = "r", base_url = "..."}
# panel_rule = "majority"             # what they say together; or "mean", of P(yes)
# min_kappa = 0.4                     # of its passport; below it nothing is tuned on a judge's labels
# min_specificity = 0.6
# [judge.criteria]                    # absent: all that have the form
#   for example: interests = ["grounded"]

# [tuning]                            # docs/tuning.md
# seed = 0
# held_out = 0.2                      # share of users, by a hash, that nothing is learnt from and gates measure on
# shared = "drop"                     # a question that a held-out user was asked in the same words; or "keep" it
# base = ""                           # server: folder of the served weights (safetensors); packaged weights are known
# general = ""                        # JSON Lines of general instructions to mix in
# general_share = 0.3
# max_tokens = 4096                   # of an example with its answer; longer ones are left out
# balance = 3.0                       # the most that a category may have of the median one's examples; 0: all of them
# [tuning.gate]                       # docs/promotion.md
# margin = 0.03                       # share of rows that a criterion may fall by when another one rises
# [tuning.gate.margins]               # of single criteria
#   for example: explanations = {factual = 0.0}
# [tuning.prompts]                    # docs/promotion.md
# train = 40                          # users whose failures are reflected on
# validation = 40                     # users by whom prompts are chosen
# minibatch = 4                       # users of one reflection
# rounds = 20                         # reflections at most
# tries = 3                           # to write one that keeps to the format
# shown = 12000                       # characters of what was asked and answered that one reflection is shown
# temperature = 0.7                   # of reflections
# [tuning.prompts.reflection]         # the model that reflects, where it is not [engine]'s
#   for example: base_url = "http://127.0.0.1:8001/v1", model = "m", revision = "r"
# [tuning.lora]
# rank = 16
# alpha = 32
# dropout = 0.05
# [tuning.sft]
# epochs = 2
# learning_rate = 0.0002
# batch_size = 16
# micro_batch = 4                     # of a batch computed at once; what memory allows
# checkpoint_steps = 50               # a killed training goes on from the last one
# [tuning.dpo]                        # and epochs, batch_size, micro_batch, checkpoint_steps, in the next two as well
# learning_rate = 0.00002
# beta = 0.1
# margin = 0.1                        # by how much the better answer's mean P(yes) is higher
# alike = 0.9                         # from this likeness of their words two answers are no pair
# sft = 0.1                           # weight of the better answer's own likelihood, so that it does not fall
# [tuning.grpo]
# epochs = 1
# learning_rate = 0.00001
# beta = 0.02
# answers = 8                         # to each question
# temperature = 1.0
# [tuning.judge]
# epochs = 3
# learning_rate = 0.0002
# minority = 0.5                      # share that the rarer verdict of a criterion is brought to
# half_life_days = 90.0               # a label so old is kept half as often as a new one

# [nightly]
# min_coverage = 0.95
"""


def init(folder: Path) -> Path:
    """Write the commented config into a folder, which is made if need be.

    Raises:
        ConfigError: the folder has one already.
    """
    file = folder / FILE_NAME
    if file.exists():
        raise ConfigError(f"{file} is there already; it is left as it is")
    folder.mkdir(parents=True, exist_ok=True)
    file.write_text(TEMPLATE, encoding="utf-8")
    return file


def demo_settings() -> str:
    """The demo's recgpt.toml: base features, and towers for a few hundred items instead of many thousands."""
    changes = {
        "# base_features = []      ": 'base_features = ["age", "gender", "city"]',
        "# [towers.features] ": "[towers.features] ",
        "# table_rows = 65536 ": "table_rows = 8192 ",
        "# text_rows = 65536 ": "text_rows = 8192 ",
        "# [towers.loss] ": "[towers.loss] ",
        "# temperature = 0.07\n": "temperature = 0.15\n",
        "# tag = 0.5\n": "tag = 1.0\n",
    }
    text = TEMPLATE
    for default, chosen in changes.items():
        text = text.replace(default, chosen)
    return text


@dataclass(frozen=True)
class Demo:
    config: Config
    made: bool  # False where the folder held this very shop already


def demo(folder: Path, *, users: int, seed: int) -> Demo:
    """Make the demo shop and its config in a folder, unless they are there.

    Raises:
        ConfigError: the folder holds something else.
    """
    stamp, label = folder / "demo.txt", f"users={users} seed={seed} until={DEMO_NIGHT}\n"
    if stamp.exists() and stamp.read_text(encoding="utf-8") == label:
        return Demo(load(folder), made=False)
    if folder.exists() and any(folder.iterdir()):
        raise ConfigError(f"{folder} is not empty and is not this shop: name another with --dir, or remove it")
    make_shop(folder, users=users, seed=seed, until=DEMO_NIGHT)
    (folder / FILE_NAME).write_text(demo_settings(), encoding="utf-8")
    stamp.write_text(label, encoding="utf-8")
    return Demo(load(folder), made=True)

"""Judges: one yes/no question a criterion, in a file of its own. Text in, verdicts out; nothing here asks a model."""

from judges.criterion import Case, Criterion, CriterionError, Form, load_criteria
from judges.pair import pair_messages, read_pair, settle, turned
from judges.reviewer import REVIEWER, confidence, grade
from judges.threshold import Threshold, fit, kappa
from judges.verdict import NoVerdict, Verdict, contrast, is_quoted, read_said, read_verdict
from judges.votes import count_votes

__all__ = [
    "REVIEWER",
    "Case",
    "Criterion",
    "CriterionError",
    "Form",
    "NoVerdict",
    "Threshold",
    "Verdict",
    "confidence",
    "contrast",
    "count_votes",
    "fit",
    "grade",
    "is_quoted",
    "kappa",
    "load_criteria",
    "pair_messages",
    "read_pair",
    "read_said",
    "read_verdict",
    "settle",
    "turned",
]

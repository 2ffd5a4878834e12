"""Judges: one yes/no question a criterion, in a file of its own. Text in, verdicts out; nothing here asks a model."""

from judges.criterion import Case, Criterion, CriterionError, Form, load_criteria
from judges.threshold import Threshold, fit, kappa
from judges.verdict import NoVerdict, Verdict, read_said, read_verdict

__all__ = [
    "Case",
    "Criterion",
    "CriterionError",
    "Form",
    "NoVerdict",
    "Threshold",
    "Verdict",
    "fit",
    "kappa",
    "load_criteria",
    "read_said",
    "read_verdict",
]

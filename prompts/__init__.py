"""Prompts as plain files, one Markdown file a task, and the loader. Text and schemas only; nothing asks a model."""

from prompts.choices import begins, one_of
from prompts.loader import Prompt, PromptError, load, parse
from prompts.phrases import deal, opening, phrase

__all__ = ["Prompt", "PromptError", "begins", "deal", "load", "one_of", "opening", "parse", "phrase"]

"""Tuning: prompts and models made better by labels, and promoted only where held-out users are better off."""

"""The night: from behaviour logs to explained recommendations by way of a language model."""

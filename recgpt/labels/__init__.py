"""What judges said, kept and compared: labels of models, people and panels, pairs, and files of them."""

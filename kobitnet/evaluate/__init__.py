"""Evaluation through either backend: held-out text, Korean tasks, size, speed and energy, and the two backends against each other."""

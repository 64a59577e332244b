"""Evaluation through either backend: perplexity and bits per byte, and the two backends against each other."""

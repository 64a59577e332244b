"""`kodata synth`: made data. Arithmetic needs no model; the other kinds ask an OpenAI-compatible endpoint."""

"""Quality scores beside a corpus, and how they are validated."""

"""Reports: a run's ``stats.json`` shown as one self-contained HTML page or as Markdown; used by all three tools."""

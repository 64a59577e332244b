"""Quality scores as versioned sidecars beside a corpus."""

"""All that lives in Redis. Scripts are files in `lua/`, each beside its only caller's name."""

"""Ours beside what else one would run: the same work, the same Valkey, the same upstream, in turn, in one run."""

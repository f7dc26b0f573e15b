"""The fault table for real: real processes, real signals, and an oracle that knows nothing but HTTP."""

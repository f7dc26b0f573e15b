"""Who may ask, and how often: accounts, instances, tokens and their limits, with their records and scripts in Redis."""

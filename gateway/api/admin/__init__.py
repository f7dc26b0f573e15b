"""The operator's HTTP API under `/admin/`: the same as the commands, and for a tenant the part that is theirs."""

"""Who asks: the public API, the operator's API (`admin`) and its page (`console`)."""

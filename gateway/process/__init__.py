"""What each of our processes is made of: a listener, its envelope, its children, and word to whoever started it."""

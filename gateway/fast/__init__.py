"""What leans on a library's insides for speed, each beside the plain way that it replaces."""

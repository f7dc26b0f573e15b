"""The promises of design section 4 in virtual time: the real scripts and the real domain code in a simulated world."""

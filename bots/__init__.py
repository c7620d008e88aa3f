"""The bots: what to do about what happens."""

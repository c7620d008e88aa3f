"""The tests; `world.py` holds the people and rooms they play with."""

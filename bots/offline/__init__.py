"""What a bot can answer without a model, one subject a module; `bots/providers/offline.py` asks them in turn."""

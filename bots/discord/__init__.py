"""The Discord front: everything that knows discord.py."""

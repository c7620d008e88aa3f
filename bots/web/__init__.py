"""The console and the API of one bot, in the browser."""

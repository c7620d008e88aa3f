"""What happened: a leaf that never imports the bots, reads config or asks what time it is."""

"""Two dates compared: what changed beyond what season, light and noise explain."""

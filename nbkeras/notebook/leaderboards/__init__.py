"""Leaderboards: models side by side, as they look and as files."""

"""Reports: how they look, where they are kept."""

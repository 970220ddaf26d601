"""The magics: what is typed behind them, and what it does."""

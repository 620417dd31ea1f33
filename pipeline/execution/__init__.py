"""Where and how work runs: the engine, its two implementations, locks, signals, the display."""

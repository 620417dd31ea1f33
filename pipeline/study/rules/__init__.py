"""Rules that tie parameters together: each function yields what breaks one rule."""

"""The study: prepared data, a sweep, confirmation with seeds, a report."""

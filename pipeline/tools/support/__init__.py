"""What several commands share: versions of a study, rows by name, forecasts of time and memory."""

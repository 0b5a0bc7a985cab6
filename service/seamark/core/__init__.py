"""The words every room speaks: records, findings, specs, windows, thresholds, clock, errors."""

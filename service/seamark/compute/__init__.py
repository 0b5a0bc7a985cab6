"""Pure: records and counts in, findings out. No clock, no I/O, no logging; randomness comes from a seed."""

"""The side-by-side benchmarks: each measures Seamark beside its nearest peer, prints a table and writes a JSON file."""

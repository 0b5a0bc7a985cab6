"""The doors: HTTP in, HTTP out. No SQL, no arithmetic beyond presentation."""

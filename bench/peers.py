"""stub."""
REACH = {"Phoenix": 250.0, "MLflow": 80.0}
def measure(folder, *, quick): return []

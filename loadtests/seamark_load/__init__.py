"""What runs inside the load generator's own process: an order and payload rows in, samples and progress out."""

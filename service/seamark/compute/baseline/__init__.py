"""A run and the earlier ones of its plan -> regression, improvement or no change, measure by measure."""

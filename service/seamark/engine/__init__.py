"""The loops: read, compute, write. The only place where the edges and the pure rooms meet."""

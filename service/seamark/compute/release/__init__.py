"""Rows of two versions, by blocks of time -> what is worse, with effect, interval and p-value, and one verdict."""

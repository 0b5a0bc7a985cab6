"""Bytes and text from outside become rows and specs, with a reason for everything that cannot be taken. Pure."""

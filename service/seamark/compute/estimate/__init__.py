"""A labelled reference and a window without labels -> how right the model probably is in that window."""

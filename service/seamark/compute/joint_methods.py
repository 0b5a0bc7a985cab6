"""What looks at many values of a row at once is judged by several drift methods, named here by the kind of feature.

Texts and whole rows move in ways that no single method finds. The p-value of several is the smallest one times their
number (C. Bonferroni, 1936), whatever depends on what (docs/decisions/0016).
"""

from __future__ import annotations

JOINT_METHODS = {
    "text": ("text_length", "unseen_words", "word_classifier"),
    "vector": ("mean_distance", "domain_classifier"),
    "multivariate": ("domain_classifier", "correlation"),
}

"""The profiles of two text columns become one matrix of texts x words, over the words of both."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from scipy.sparse import csr_array, vstack

from seamark.compute.text_profile import Texts


def joined(reference: Texts, current: Texts) -> csr_array:
    """Return how often each word stands in each text: the reference's texts first, then the window's.

    Words come by how many texts have them, most first, so that the order in which rows were read tells nowhere.
    """
    places = pc.index_in(current.words, value_set=reference.words)
    known = np.asarray(places.is_valid())
    codes = np.empty(len(current.words), dtype=np.int64)
    codes[known] = np.asarray(places.drop_null())
    fresh = int((~known).sum())
    codes[~known] = len(reference.words) + np.arange(fresh)
    width = len(reference.words) + fresh
    before = csr_array(
        (reference.counts.data, reference.counts.indices, reference.counts.indptr), (reference.counts.shape[0], width)
    )
    own = current.counts
    after = csr_array((own.data, codes[own.indices], own.indptr), (own.shape[0], width))
    both = vstack([before, after], format="csr")
    names = pa.concat_arrays([reference.words, current.words.filter(pa.array(~known))])
    texts = np.bincount(both.indices, minlength=width)
    by_name = np.asarray(pc.rank(names, sort_keys="ascending", tiebreaker="first"), dtype=np.int64)
    return both[:, np.lexsort((by_name, -texts))]

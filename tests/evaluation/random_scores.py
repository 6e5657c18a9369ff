"""Random labels and scores, for hypothesis."""

import hypothesis.extra.numpy as hnp
import hypothesis.strategies as st
import numpy as np

# Few distinct scores: most of them tie.
tied = st.sampled_from([0.0, 0.1, 0.25, 0.5, 0.5000001, 0.75, 1.0])
smooth = st.floats(0, 1, width=32)


@st.composite
def scored(draw):
    """label, score and valid of one observer: both classes occur, some rows are padding."""
    num = draw(st.integers(2, 40))
    label = draw(hnp.arrays(np.int32, num, elements=st.integers(0, 1)))
    label[:2] = [0, 1]
    score = draw(hnp.arrays(np.float32, num, elements=draw(st.sampled_from([tied, smooth])).map(np.float32)))
    padding = draw(st.integers(0, 5))
    order = np.random.default_rng(draw(st.integers(0, 99))).permutation(num + padding)
    valid = np.arange(num + padding) < num
    label = np.concatenate([label, np.ones(padding, np.int32)])
    score = np.concatenate([score, np.full(padding, np.nan, np.float32)])  # padding may hold anything
    return label[order], score[order], valid[order]

"""Which cutouts are shown."""

import numpy as np

from clusterjax.evaluation.examples import select_binary_examples, select_multiclass_examples


def test_binary_groups_hold_the_right_rows():
    label = np.array([1, 1, 1, 1, 1, 0, 0, 0, 0])
    score = np.array([0.9, 0.6, 0.99, 0.1, 0.3, 0.95, 0.7, 0.01, 0.2])
    valid = np.ones(9, bool)
    groups = select_binary_examples(label, score, num=2, valid=valid)
    assert groups["true_positive"].tolist() == [2, 1]  # the surest and the least sure of three
    assert groups["false_negative"].tolist() == [3, 4]  # worst first
    assert groups["false_positive"].tolist() == [5, 6]
    assert groups["true_negative"].tolist() == [7, 8]
    valid[3] = False
    assert select_binary_examples(label, score, valid=valid)["false_negative"].tolist() == [4]


def test_perfect_and_empty():
    perfect = select_binary_examples(np.array([1, 0]), np.array([0.8, 0.2]))
    assert [len(perfect[name]) for name in perfect] == [1, 0, 0, 1]
    empty = select_binary_examples(np.zeros(0, int), np.zeros(0))
    assert all(len(rows) == 0 for rows in empty.values())


def test_multiclass_groups():
    label = np.array([0, 0, 1, 1])
    probabilities = np.array([[0.9, 0.1], [0.2, 0.8], [0.3, 0.7], [0.95, 0.05]])
    groups = select_multiclass_examples(label, probabilities, ("a", "b"))
    assert groups["right: a"].tolist() == [0]
    assert groups["right: b"].tolist() == [2]
    assert groups["wrong"].tolist() == [3, 1]  # most confident first

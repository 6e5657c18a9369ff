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
    assert groups["uncertain"].tolist() == [1, 6]  # nearest to 0.5, right or wrong
    assert select_binary_examples(label, score, num=2, threshold=0.96)["uncertain"].tolist() == [5, 2]
    valid[3] = False
    assert select_binary_examples(label, score, valid=valid)["false_negative"].tolist() == [4]
    valid[1] = False
    assert select_binary_examples(label, score, num=2, valid=valid)["uncertain"].tolist() == [6, 4]


def test_perfect_and_empty():
    perfect = select_binary_examples(np.array([1, 0]), np.array([0.8, 0.2]))
    assert [len(perfect[name]) for name in perfect] == [1, 0, 0, 1, 2]
    empty = select_binary_examples(np.zeros(0, int), np.zeros(0))
    assert all(len(rows) == 0 for rows in empty.values())


def test_multiclass_groups():
    label = np.array([0, 0, 1, 1])
    probabilities = np.array([[0.9, 0.1], [0.2, 0.8], [0.3, 0.7], [0.95, 0.05]])
    groups = select_multiclass_examples(label, probabilities, ("a", "b"))
    assert groups["right: a"].tolist() == [0]
    assert groups["right: b"].tolist() == [2]
    assert groups["wrong"].tolist() == [3, 1]  # most confident first
    assert groups["uncertain"].tolist() == [2, 1, 0, 3]  # the two likeliest closest to each other first
    three = np.array([[0.5, 0.49, 0.01], [0.4, 0.3, 0.3]])
    assert select_multiclass_examples(np.array([0, 1]), three, "abc", num=1)["uncertain"].tolist() == [0]

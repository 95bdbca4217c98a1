"""The checker: every implementation of a lesson, and the learner's own, held against the oracle."""

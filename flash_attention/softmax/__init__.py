"""Softmax over rows in three passes, two, and one, with its log-sum-exp. (Lesson 7.)"""

"""Audit tasks: drawn at random, their suggestion withheld, so that what is measured on them holds for all tasks.

They teach. Labels are dear: 5 % of them kept back would be paid for and never learned from, and nothing is gained by
it, because each audit task is judged by models that were chosen and fitted without its label (`model.training`, out of
fold). Such a model has learned from four fifths of the labels, so what is measured is rather too low than too high.
"""

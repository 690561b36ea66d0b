"""What is compared by DVC experiments: ranks, data, methods, bases, strengths, and a search. No stage imports it.

It knows no trainer: it changes params, DVC runs the stages that these touch, and it reads their metrics and answers, or scores answers as they do.
"""

"""Prints the side-by-side tables: every row is measured here and now, beside what it is compared with.

Each figure is the median of several repetitions, taken in turns, so that a machine whose speed drifts does so for all.
"""

from benchmarks import jobs, serving, training

if __name__ == "__main__":
    training.main()
    serving.main()
    jobs.main()

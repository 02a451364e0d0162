"""Prints all side-by-side tables. Every row is measured in the same run as what it is compared with.

Each figure is the median of several repetitions. The rows take turns, so that a drift of the machine's speed
affects all.
"""

from benchmarks import accuracy, jobs, registry, serving, training

if __name__ == "__main__":
    training.main()
    serving.main()
    jobs.main()
    registry.main()
    accuracy.main()

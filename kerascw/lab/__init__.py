"""A study is a set of experiments and a way to look at them: plan, run, tabulate, judge."""

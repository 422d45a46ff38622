"""Makes statistics.json: sets of values, and what SciPy and NumPy say of them.

The unit tests of src/measure hold our own statistics against it. Made anew with

    python3 -m venv /tmp/vectors && /tmp/vectors/bin/pip install scipy==1.17.1 numpy==2.4.6
    /tmp/vectors/bin/python tests/vectors/statistics.py > tests/vectors/statistics.json
"""

import json
import sys

import numpy
import scipy.stats

RANDOM = numpy.random.RandomState(20261123)

# A bootstrap of 2000 resamples finds the end of a 95 % interval between these shares of all
# resamples: 2.5 %, and three and a half standard errors of that share to either side.
SHARES = [0.0125, 0.0375]
RESAMPLES = 40_000


def rounded(values):
    return [float(f"{value:.5g}") for value in values]


def shapes(n):
    yield "normal", RANDOM.normal(10, 1, n)
    yield "long tail", RANDOM.lognormal(-3, 1, n)
    yield "ties", RANDOM.poisson(4, n) + 1
    yield "two modes", numpy.where(RANDOM.uniform(size=n) < 0.5, 0.01, 0.5) * RANDOM.uniform(0.9, 1.1, n)
    far = RANDOM.normal(10, 0.2, n)
    far[0] *= 4
    yield "one far out", far
    yield "all the same", numpy.full(n, 0.25)


def medians(values):
    drawn = RANDOM.choice(values, (RESAMPLES, len(values)))
    return numpy.median(drawn, axis=1)


def ends(resampled):
    low = numpy.percentile(resampled, [100 * share for share in SHARES])
    high = numpy.percentile(resampled, [100 * (1 - share) for share in reversed(SHARES)])
    return {"low": list(low), "high": list(high)}


def outliers(values):
    """Modified z-scores (Iglewicz and Hoaglin) above 3.5; of no matter below 5 % of the median."""
    distance = numpy.abs(values - numpy.median(values))
    deviation = scipy.stats.median_abs_deviation(values)
    if deviation > 0:
        score = 0.6745 * distance / deviation
    else:
        score = 0.7979 * distance / (numpy.mean(distance) or 1)
    return int(numpy.sum((score > 3.5) & (distance > 0.05 * abs(numpy.median(values)))))


def one(name, values):
    values = numpy.array(rounded(values))
    return {
        "name": f"{len(values)} {name}",
        "values": list(values),
        "mean": numpy.mean(values),
        "median": numpy.median(values),
        "standard_deviation": numpy.std(values, ddof=1),
        "median_absolute_deviation": scipy.stats.median_abs_deviation(values),
        "p90": numpy.percentile(values, 90),
        "p95": numpy.percentile(values, 95),
        "p99": numpy.percentile(values, 99),
        "interval": ends(medians(values)),
        "outliers": outliers(values),
    }


def pair(name, baseline, candidate):
    baseline, candidate = numpy.array(rounded(baseline)), numpy.array(rounded(candidate))
    test = scipy.stats.mannwhitneyu(
        candidate, baseline, alternative="two-sided", method="asymptotic", use_continuity=True
    )
    return {
        "name": f"{len(baseline)} and {len(candidate)} {name}",
        "baseline": list(baseline),
        "candidate": list(candidate),
        "p_value": test.pvalue,
        "effect_size": 2 * test.statistic / (len(candidate) * len(baseline)) - 1,
        "interval": ends(medians(candidate) / medians(baseline)),
    }


def pairs():
    for n, m in [(5, 5), (8, 13), (40, 40), (64, 200)]:
        for (name, baseline), (_, candidate) in zip(shapes(n), shapes(m)):
            yield pair(name, baseline, candidate)
            yield pair(f"{name}, a tenth more", baseline, 1.1 * candidate)
            if n == m:
                yield pair(f"{name}, the same twice", baseline, baseline)


json.dump(
    {
        "sets": [one(name, values) for n in [5, 6, 31, 130, 700] for name, values in shapes(n)],
        "pairs": list(pairs()),
    },
    fp=sys.stdout,
    separators=(",", ":"),
)
print()

"""T-04: do answers take times that tell which they are?

A round is samples of each kind, taken in an order of chance, so that whatever else the machine does
meets all of them alike. Each two kinds are compared twice: by rank (Mann-Whitney: how often is one
slower than the other?) and by shape (Kolmogorov-Smirnov: how far apart are the distributions?).
Two kinds can be told apart when, beyond what chance explains (ALPHA, shared by all comparisons of a
round), one is slower in more than 56 of 100 comparisons or the distributions are more than a tenth
apart, and their medians differ by at least `floor`. What is suspicious is looked at in two more
rounds; what stays so each time is a leak. A disturbance is not the same three times.

Power, with 2,000 of each kind: a difference by which one is slower in 65 of 100 comparisons (half a
standard deviation) stays below the limit of a round by six standard errors, so it is caught with
more than 0.999; no difference is called one with less than ALPHA a round, its cube for all three.
tests/flow/test_token_timing.py shows both on samples whose answer is known."""
import bisect
import itertools
import math
import statistics

ALPHA = 0.001
RANK_EFFECT = 0.06
SHAPE_EFFECT = 0.10
ROUNDS = 3


def slower(a, b):
    """How often one of a is slower than one of b; half for a tie."""
    b = sorted(b)
    return sum(bisect.bisect_left(b, x) + bisect.bisect_right(b, x) for x in a) / (2 * len(a) * len(b))


def apart(a, b):
    """The largest distance of the two empirical distributions."""
    a, b = sorted(a), sorted(b)
    return max(abs(bisect.bisect_right(a, x) / len(a) - bisect.bisect_right(b, x) / len(b))
               for x in itertools.chain(a, b))


def suspicious(samples, floor):
    """{(kind, kind, "rank" or "shape", which is slower): why}, of one round."""
    pairs = list(itertools.combinations(sorted(samples), 2))
    alpha = ALPHA / (2 * len(pairs))
    z = statistics.NormalDist().inv_cdf(1 - alpha / 2)
    found = {}
    for one, other in pairs:
        a, b = samples[one], samples[other]
        n, m = len(a), len(b)
        shift = statistics.median(a) - statistics.median(b)
        if abs(shift) < floor:
            continue
        rank = slower(a, b) - 0.5
        if abs(rank) > RANK_EFFECT + z * math.sqrt((n + m + 1) / (12 * n * m)):
            found[one, other, "rank", rank > 0] = f"{one} is slower than {other} in {rank + 0.5:.0%}"
        shape = apart(a, b)
        if shape > SHAPE_EFFECT + math.sqrt(-math.log(alpha / 2) / 2 * (n + m) / (n * m)):
            found[one, other, "shape", shift > 0] = f"{one} and {other} are {shape:.0%} apart"
    return found


def leaks(take, floor):
    """What can be told apart, each time; [] when nothing can. take(): {kind: times} of a round.
    floor: the least difference of medians, in their unit, that anybody could use."""
    last = suspicious(take(), floor)
    for _ in range(ROUNDS - 1):
        if not last:
            break
        again = suspicious(take(), floor)
        last = {k: why for k, why in again.items() if k in last}
    return sorted(last.values())

"""When does a number of every day ring? Statistics of drift, each an array over days.

    psi(expected, found)         how far shares have moved: population stability index
    ks(expected, found)          the largest gap of two distributions (Kolmogorov–Smirnov)
    cusum(values, slack)         deviations added up, never below 0 (Page 1954)
    page_hinkley(values, slack)  the same against the mean so far (Hinkley 1971)
    threshold_at(maxima, rate)   the height that healthy streams pass in a share `rate` of cases
    first_over(values, height)   the first day above it

All take a whole batch: the last axis is days, what stands before it are streams. Which of them
watches what is `monitoring`'s. Notebook 15.
"""

import math

import numpy as np

from ..core.errors import UserError, is_number

FLOOR = 0.5  # requests that an empty bin counts for, so that a logarithm exists
NEVER = -1


def psi(expected: np.ndarray, found: np.ndarray) -> np.ndarray:
    """The population stability index of counts: Σ (f − e) · ln(f / e) over the bins.

    expected, found: counts (…, bins); e and f are their shares, an empty bin counting as half a
    request. It is KL(f ‖ e) + KL(e ‖ f): 0 where the shares are alike. People call 0.1 a little
    and 0.25 a lot (Siddiqi 2006), whatever the number of requests.
    """
    e, f = shares(np.asarray(expected, float)), shares(np.asarray(found, float))
    return ((f - e) * np.log(f / e)).sum(-1)


def shares(counts: np.ndarray) -> np.ndarray:
    """Counts as shares, none of them 0."""
    filled = np.maximum(counts, FLOOR)
    return filled / filled.sum(-1, keepdims=True)


def count_bins(values: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """How many of the last axis lie in each bin: (…, len(edges) + 1).

    edges: ascending; a bin holds what is above its lower edge and at most its upper one.
    """
    *before, n = values.shape
    bins, rows = len(edges) + 1, math.prod(before)
    places = np.searchsorted(edges, values, side="left").reshape(rows, n)
    places += bins * np.arange(rows)[:, None]
    return np.bincount(places.ravel(), minlength=rows * bins).reshape(*before, bins)


def bin_edges(reference: np.ndarray, bins: int = 10) -> np.ndarray:
    """Edges between the quantiles of a reference, each once: few values give few bins."""
    inner = np.quantile(reference, np.arange(1, bins) / bins, method="inverted_cdf")
    return np.unique(np.append(inner, reference.max()))


def ks(expected: np.ndarray, found: np.ndarray) -> np.ndarray:
    """The largest gap between two distribution functions (Kolmogorov 1933; Smirnov 1948).

    expected, found: counts (…, bins) of values in ascending bins; with a bin for every value that
    there is, it is the statistic of the test itself.
    """
    functions = [np.cumsum(np.asarray(c, float), -1) for c in (expected, found)]
    first, second = (each / np.maximum(each[..., -1:], 1) for each in functions)
    return np.abs(first - second).max(-1)


def quantile_of(counts: np.ndarray, edges: np.ndarray, share: float) -> np.ndarray:
    """The upper edge of the bin in which a share of the values is reached, (…).

    counts: (…, len(edges) + 1) as `count_bins` gives them; beyond the last edge it is that edge.
    """
    reached = np.cumsum(counts, -1) >= share * counts.sum(-1, keepdims=True)
    return np.append(edges, edges[-1])[reached.argmax(-1)]


def cusum(values: np.ndarray, slack: float = 0.5) -> np.ndarray:
    """S_t = max(0, S_{t−1} + x_t − slack), from S = 0: upward deviations, added up (Page 1954).

    values: (…, days), in standard deviations above the healthy mean. slack: half of the shift that
    is to be found, in the same unit; a healthy stream so loses it every day and stays near 0.
    """
    sums = np.zeros_like(values, float)
    level = np.zeros(values.shape[:-1])
    for day in range(values.shape[-1]):
        level = np.maximum(0, level + values[..., day] - slack)
        sums[..., day] = level
    return sums


def page_hinkley(values: np.ndarray, slack: float = 0.5) -> np.ndarray:
    """m_t − min m, with m_t = Σ (x_i − mean of x_1 … x_i − slack) (Page 1954; Hinkley 1971).

    It needs no healthy mean: the mean so far takes its place, so that a shift on the first days is
    learned as healthy.
    """
    days = np.arange(1, values.shape[-1] + 1)
    means = np.cumsum(values, -1) / days
    sums = np.cumsum(values - means - slack, -1)
    return sums - np.minimum.accumulate(np.minimum(sums, 0), -1)


def last_days(counts: np.ndarray, window: int) -> np.ndarray:
    """Sums over each day and the window − 1 days before it; days is axis 1.

    The first days have fewer before them.
    """
    sums = np.cumsum(counts, 1, dtype=np.int32)
    sums[:, window:] -= sums[:, :-window].copy()
    return sums


def threshold_at(maxima: np.ndarray, rate: float) -> float:
    """The height that a new healthy stream passes with a probability of `rate` at most.

    maxima: the largest value of each of n healthy streams. It is their ⌈(n + 1)(1 − rate)⌉-th
    smallest, which holds for any distribution, on average over calibrations (Vovk et al. 2005).
    Raises UserError for a rate that n streams cannot give.
    """
    n = len(maxima)
    if not is_number(rate) or not 0 < rate < 1:
        raise UserError(f"rate is {rate!r}; give a share of healthy streams above 0 and below 1.")
    place = math.ceil((n + 1) * (1 - rate))
    if place > n:
        raise UserError(
            f"rate is {rate:g}, and {n} streams cannot show less than 1 in {n + 1}; draw "
            f"{math.ceil(1 / rate) - 1} streams at least."
        )
    return float(np.sort(maxima)[place - 1])


def first_over(values: np.ndarray, height: float) -> np.ndarray:
    """The first day on which each stream is above the height; NEVER (−1) where none is."""
    over = values > height
    return np.where(over.any(-1), over.argmax(-1), NEVER)

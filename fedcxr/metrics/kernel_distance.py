"""How unlike two sets of feature vectors are, without bias where they are few.

Source: Bińkowski et al. 2018, "Demystifying MMD GANs", §4 (KID): squared maximum mean discrepancy
with a kernel of degree 3. Their features are Inception's; of other features it is another number.
"""

import numpy as np
from numpy.typing import NDArray


def kernel_distance(first: NDArray[np.float32], second: NDArray[np.float32]) -> float:
    """Return the unbiased squared MMD of (N, D) and (M, D); about 0 for two draws of one kind.

    Two rows at least of each.

    >>> same = np.float32([[1, 0], [0, 1], [1, 1]])
    >>> kernel_distance(same, same) < 0 < kernel_distance(same, same + 5)
    True
    """
    within = [_mean_of_pairs(_kernel(rows, rows)) for rows in (first, second)]
    return float(sum(within) - 2 * _kernel(first, second).mean())


def _kernel(first: NDArray[np.float32], second: NDArray[np.float32]) -> NDArray[np.float64]:
    product: NDArray[np.float64] = first.astype(np.float64) @ second.T.astype(np.float64)
    cubes: NDArray[np.float64] = (product / first.shape[1] + 1) ** 3
    return cubes


def _mean_of_pairs(kernel: NDArray[np.float64]) -> float:
    """Return the mean of what is beside the diagonal."""
    number = len(kernel)
    return float((kernel.sum() - np.trace(kernel)) / (number * (number - 1)))

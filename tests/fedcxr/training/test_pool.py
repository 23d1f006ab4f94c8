import numpy as np
import pytest

from fedcxr.training.pool import ImagePool, ImageSource


def source(num, first, *, size=4, labels=2, is_real=True):
    """Return `num` images whose pixels all are their number from `first`, stored backwards."""
    numbers = np.arange(first, first + num, dtype=np.uint8)
    images = np.broadcast_to(numbers[::-1, None, None], (num, size, size)).copy()
    target = np.repeat(np.float32(numbers)[:, None], labels, axis=1)
    return ImageSource(images, np.arange(num)[::-1].copy(), target, is_real)


def test_one_index_runs_over_all_sources_one_after_another():
    pool = ImagePool((source(3, 0), source(2, 3, is_real=False), source(4, 5)))
    assert (len(pool), pool.num_real) == (9, 7)
    np.testing.assert_array_equal(pool.target[:, 0], np.arange(9))
    pixels, target = pool.gather(np.array([8, 0, 3, 3, 5]))
    assert pixels[:, 0, 0].tolist() == [8, 0, 3, 3, 5]
    assert target[:, 1].tolist() == [8.0, 0.0, 3.0, 3.0, 5.0]
    assert pixels.shape == (5, 4, 4)


def test_a_batch_of_one_source_is_found_among_several():
    pool = ImagePool((source(3, 0), source(2, 3)))
    assert pool.gather(np.array([4, 3]))[0][:, 0, 0].tolist() == [4, 3]


def test_what_is_gathered_is_a_copy():
    only = source(3, 0)
    pool = ImagePool.of(only.images, only.rows, only.target)
    pixels, target = pool.gather(np.array([1]))
    pixels.zero_()
    target.zero_()
    assert pool.gather(np.array([1]))[0][0, 0, 0] == 1
    assert pool.gather(np.array([1]))[1][0, 0] == 1.0


def test_one_sources_targets_are_its_own_array():
    only = source(3, 0)
    assert ImagePool((only,)).target is only.target


def test_an_empty_source_adds_nothing():
    pool = ImagePool((source(0, 0), source(2, 0)))
    assert len(pool) == 2
    assert pool.gather(np.array([1, 0]))[0][:, 0, 0].tolist() == [1, 0]


@pytest.mark.parametrize("other", [{"size": 8}, {"labels": 3}])
def test_sources_of_different_shapes_make_no_pool(other):
    with pytest.raises(ValueError, match="needs sources of one shape"):
        ImagePool((source(3, 0), source(3, 0, **other)))


def test_no_source_makes_no_pool_and_rows_have_one_target_each():
    with pytest.raises(ValueError, match="needs sources of one shape"):
        ImagePool(())
    only = source(3, 0)
    with pytest.raises(ValueError, match="2 rows have 3 targets"):
        ImagePool.of(only.images, only.rows[:2], only.target)


def test_real_images_that_sit_a_round_out_count_all_the_same():
    made = ImageSource(
        np.zeros((3, 4, 4), np.uint8), np.arange(3), np.zeros((3, 1), np.float32), is_real=False
    )
    pool = ImagePool((made,), idle=7)
    assert (len(pool), pool.num_real) == (3, 7)

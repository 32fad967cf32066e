import threading
import time

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from models.loading import epoch_steps, load_batch, rank_part, read_ahead, shard_steps

LENGTHS = st.integers(1, 60)


@given(LENGTHS, st.integers(1, 12), st.integers(0, 5), st.integers(0, 5))
def test_an_epoch_is_one_permutation_cut_into_full_steps(length, batch, seed, epoch):
    steps = epoch_steps(length, batch, seed, epoch)
    assert steps.shape == (-(-length // batch), batch)
    order = steps.ravel()
    assert sorted(order[:length]) == list(range(length))
    np.testing.assert_array_equal(order, np.resize(order[:length], order.size))
    np.testing.assert_array_equal(steps, epoch_steps(length, batch, seed, epoch))


def test_epochs_and_seeds_differ():
    orders = {tuple(epoch_steps(50, 5, seed, epoch).ravel()) for seed in range(3) for epoch in range(3)}
    assert len(orders) == 9


@given(LENGTHS, st.sampled_from([1, 2, 3, 6]), st.integers(1, 3))
def test_workers_read_the_same_step_as_one_worker(length, world_size, each):
    steps = epoch_steps(length, world_size * each, seed=1, epoch=2)
    parts = [rank_part(steps, rank, world_size) for rank in range(world_size)]
    np.testing.assert_array_equal(np.concatenate(parts, axis=1), steps)
    assert all(part.shape == (len(steps), each) for part in parts)


@given(st.integers(0, 60), st.integers(1, 7), st.integers(1, 5))
def test_validation_reads_every_sample_once(length, batch, world_size):
    read = [shard_steps(length, batch, rank, world_size) for rank in range(world_size)]
    samples = [int(i) for steps in read for step in steps for i in step]
    assert sorted(samples) == list(range(length))
    assert all(1 <= len(step) <= batch for steps in read for step in steps)


def test_read_ahead_keeps_the_order_and_is_bounded():
    started, lock = [], threading.Lock()

    def load(key):
        with lock:
            started.append(key)
        time.sleep(0.002 * (key % 3))
        return key * key

    values = read_ahead(load, range(40), threads=3)
    assert [next(values) for _ in range(4)] == [0, 1, 4, 9]
    time.sleep(0.05)
    assert len(started) <= 4 + 2 * 3  # no further than the bound, however long the consumer takes
    assert list(values) == [key * key for key in range(4, 40)]


def test_read_ahead_reads_while_the_consumer_works():
    begun = threading.Event()

    def load(key):
        if key == 1:
            begun.set()
        return key

    values = read_ahead(load, range(10), threads=1)
    next(values)
    assert begun.wait(5)  # before anybody asked for it


def test_an_error_is_raised_in_its_place_and_the_threads_end():
    def load(key):
        if key == 3:
            raise OSError("tile 3 is gone")
        return key

    values = read_ahead(load, range(100), threads=2)
    assert [next(values) for _ in range(3)] == [0, 1, 2]
    with pytest.raises(OSError, match="tile 3 is gone"):
        next(values)
    abandoned = read_ahead(lambda key: key, range(100), threads=2)
    next(abandoned)
    abandoned.close()
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("read-ahead")]


class Pictures:
    def __init__(self, samples):
        self.samples = samples

    def __len__(self):
        return len(self.samples)

    def __getitem__(self, index):
        return self.samples[index]

    def set_epoch(self, epoch):
        pass


def picture(value, shape=(2, 3, 5), label=0):
    return np.full(shape, value, np.float32), np.full(shape[1:], label, np.uint8)


def test_a_batch_stacks_its_samples():
    reader = Pictures([picture(i, label=label) for i, label in enumerate([0, 1, 255, 0])])
    images, labels = load_batch(reader, np.array([2, 0, 1]))
    assert images.dtype == torch.float32
    assert labels.dtype == torch.uint8
    assert images.shape == (3, 2, 3, 5)
    assert images[:, 0, 0, 0].tolist() == [2, 0, 1]
    assert labels[:, 0, 0].tolist() == [255, 0, 1]
    assert images.is_contiguous(memory_format=torch.channels_last)


@given(st.integers(1, 4), st.integers(1, 6), st.integers(1, 5), st.integers(1, 7), st.booleans())
def test_a_batch_is_the_stack_of_its_samples_whatever_their_memory(count, channels, height, width, turned):
    rng = np.random.default_rng(count)
    samples = [
        (rng.integers(0, 9_000, (channels, height, width)).astype(np.uint16), rng.integers(0, 2, (height, width)))
        for _ in range(count)
    ]
    if turned:
        samples = [(image[:, ::-1].swapaxes(1, 2), label[::-1].T) for image, label in samples]
    images, labels = load_batch(Pictures(samples), np.arange(count))
    np.testing.assert_array_equal(images.numpy(), np.stack([image for image, _ in samples]).astype(np.float32))
    np.testing.assert_array_equal(labels.numpy(), np.stack([label for _, label in samples]))
    assert (images.dtype, labels.dtype) == (torch.float32, torch.uint8)


def test_unlike_shapes_and_unknown_labels_are_refused():
    reader = Pictures([picture(0), picture(0, (2, 3, 6)), picture(0, label=7)])
    with pytest.raises(ValueError, match=r"Samples \[0, 1\] have image and label shapes"):
        load_batch(reader, np.array([0, 1]))
    with pytest.raises(ValueError, match=r"Samples \[2\] hold the labels \[7\]"):
        load_batch(reader, np.array([2]))
    image, label = picture(0)
    with pytest.raises(ValueError, match="one image shape"):
        load_batch(Pictures([(image, label[:2])]), np.array([0]))

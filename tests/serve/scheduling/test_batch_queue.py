"""How batches form: what shares one, what waits, what is refused. By the queue alone, without an engine."""

import asyncio
import threading
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dashdeploy.errors import InputError
from dashdeploy.serve.scheduling.batch_queue import BatchQueue, Pending, QueueFullError
from dashdeploy.serve.settings import BatchPolicy


def in_a_loop(function):
    """Pending requests belong to an event loop; these tests need no more of it than that it runs."""

    async def run():
        return function()

    return asyncio.run(run())


def requests(*rows, signature=("a",)):
    return [Pending({}, count, signature) for count in rows]


def filled(policy, pending):
    queue = BatchQueue(policy)
    for each in pending:
        queue.put(each)
    return queue


def taken(queue):
    """Every batch until the queue is empty."""
    queue.close()
    batches = []
    while (batch := queue.take()) is not None:
        batches.append(batch)
    return batches


@settings(deadline=None)
@given(
    st.lists(st.integers(1, 5), max_size=25),
    st.integers(2, 12),
    st.sets(st.integers(2, 12)),
    st.sets(st.integers(2, 12), max_size=2),
)
def test_only_useful_batches_form_and_everybody_runs(rows, max_rows, useful, preferred):
    useful = frozenset({1, *useful} & set(range(1, max_rows + 1)))

    def check():
        policy = BatchPolicy(max_rows=max_rows, preferred=tuple(sorted(preferred & set(range(max_rows + 1)))))
        pending = requests(*rows)
        queue = BatchQueue(policy, useful=useful)
        for each in pending:
            queue.put(each)
        batches = taken(queue)
        assert [each for batch in batches for each in batch] == pending
        left = list(pending)
        for batch in batches:
            total = sum(each.rows for each in batch)
            assert len(batch) == 1 or total in useful
            totals = [sum(each.rows for each in left[:count]) for count in range(1, len(left) + 1)]
            best = [count for count, each in enumerate(totals, 1) if count > 1 and each in useful]
            if not preferred and left[0].rows < max(useful):
                assert len(batch) == max(best, default=1), "the largest useful batch is formed"
            del left[: len(batch)]

    in_a_loop(check)


def test_a_delay_is_not_waited_out_for_company_that_is_of_no_use():
    def check():
        queue = BatchQueue(BatchPolicy(max_rows=8, delay=10), useful=frozenset({1, 2}))
        for each in requests(1, 1, 1):
            queue.put(each)
        assert len(queue.take()) == 2
        alone = BatchQueue(BatchPolicy(max_rows=8, delay=10), useful=frozenset({1}))
        alone.put(*requests(1))
        assert len(alone.take()) == 1

    in_a_loop(check)


@settings(deadline=None)
@given(
    st.lists(st.tuples(st.integers(1, 9), st.sampled_from(["a", "b", None])), max_size=30),
    st.integers(2, 12),
)
def test_every_request_is_taken_once_in_order_and_within_the_bounds(asked, max_rows):
    def check():
        pending = [Pending({}, rows, None if kind is None else (kind,)) for rows, kind in asked]
        batches = taken(filled(BatchPolicy(max_rows=max_rows), pending))
        assert sorted(id(each) for batch in batches for each in batch) == sorted(map(id, pending))
        for kind in ("a", "b"):
            order = [each for batch in batches for each in batch if each.signature == (kind,)]
            assert order == [each for each in pending if each.signature == (kind,)]
        left = list(pending)
        for batch in batches:
            assert batch[0] is left[0], "a batch is led by the oldest request"
            assert len({each.signature for each in batch}) == 1
            assert len(batch) == 1 or sum(each.rows for each in batch) <= max_rows
            assert len(batch) == 1 or batch[0].signature is not None
            left = [each for each in left if each not in batch]

    in_a_loop(check)


def test_a_full_queue_refuses_and_takes_again_when_there_is_room():
    def check():
        pending = requests(1, 1, 1)
        queue = filled(BatchPolicy(queue_size=2), pending[:2])
        assert queue.is_full
        with pytest.raises(QueueFullError):
            queue.put(pending[2])
        assert queue.discard(pending[0])
        assert not queue.discard(pending[0])
        queue.put(pending[2])
        assert taken(queue) == [pending[1:]]

    in_a_loop(check)


def test_a_batch_under_way_takes_one_place():
    def check():
        pending = requests(1, 1, 1, 1)
        queue = filled(BatchPolicy(queue_size=3, max_rows=2), pending[:2])
        assert len(queue.take()) == 2
        assert not queue.is_full
        queue.put(pending[2])
        queue.put(pending[3])
        assert queue.is_full and len(queue) == 2
        queue.done()
        assert not queue.is_full

    in_a_loop(check)


def test_preferred_sizes_are_sent_at_once_and_the_rest_after():
    def check():
        pending = requests(1, 1, 1, 1, 1, 1, 1)
        batches = taken(filled(BatchPolicy(max_rows=16, preferred=(2, 4)), pending))
        assert [len(batch) for batch in batches] == [4, 2, 1]

    in_a_loop(check)


def test_the_oldest_waits_for_company_but_no_longer_than_the_delay():
    async def check():
        queue = BatchQueue(BatchPolicy(max_rows=8, delay=0.3))
        queue.put(requests(1)[0])
        start = time.monotonic()
        threading.Timer(0.1, asyncio.get_running_loop().call_soon_threadsafe, [put_one, queue]).start()
        batch = await asyncio.to_thread(queue.take)
        assert len(batch) == 2
        assert 0.25 < time.monotonic() - start < 5

    def put_one(queue):
        queue.put(requests(1)[0])

    asyncio.run(check())


def test_a_full_batch_does_not_wait_for_the_delay():
    def check():
        queue = filled(BatchPolicy(max_rows=3, delay=10), requests(1, 1, 1, 1))
        start = time.monotonic()
        assert len(queue.take()) == 3
        assert time.monotonic() - start < 5

    in_a_loop(check)


@pytest.mark.parametrize(
    "wrong, message",
    [
        ({"max_rows": 0}, "`max_rows=0`"),
        ({"queue_size": 0}, "`queue_size=0`"),
        ({"delay": -1}, "`delay=-1`"),
        ({"preferred": (4, 64)}, "`preferred=4,64`"),
    ],
)
def test_policies_that_make_no_sense(wrong, message):
    with pytest.raises(InputError, match=message):
        BatchPolicy(**wrong)

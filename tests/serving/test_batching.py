import asyncio

import pytest

from serving.batching import Batcher


def test_calls_made_together_share_one_call_and_get_their_own_results():
    async def go():
        batches = []

        async def double(items):
            batches.append(items)
            return [2 * item for item in items]

        batcher = Batcher(double, max_size=4, wait_s=0.01)
        results = await asyncio.gather(*(batcher(i) for i in range(10)))
        return batches, results, await batcher(21)

    batches, results, later = asyncio.run(go())
    assert results == [2 * i for i in range(10)]
    assert batches == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9], [21]]
    assert later == 42


def test_an_error_reaches_every_caller_and_the_next_call_works():
    async def go():
        async def fail_on_zero(items):
            return [1 // item for item in items]

        batcher = Batcher(fail_on_zero, max_size=8)
        failed = await asyncio.gather(batcher(0), batcher(1), return_exceptions=True)
        return failed, await batcher(1)

    failed, after = asyncio.run(go())
    assert [type(each) for each in failed] == [ZeroDivisionError] * 2
    assert after == 1


def test_a_caller_that_gives_up_does_not_disturb_the_others():
    async def go():
        async def slow(items):
            await asyncio.sleep(0.05)
            return items

        batcher = Batcher(slow, max_size=8)
        other = asyncio.create_task(batcher("kept"))
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(batcher("dropped"), 0.01)
        return await other

    assert asyncio.run(go()) == "kept"

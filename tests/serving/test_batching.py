import asyncio

import pytest

from serving.batching import Batcher


def test_calls_made_while_another_runs_share_the_next_and_get_their_own_results():
    async def go():
        batches = []

        async def double(items):
            batches.append(items)
            await asyncio.sleep(0.01)
            return [2 * item for item in items]

        batcher = Batcher(double, max_size=4)
        first = asyncio.create_task(batcher(21))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        results = await asyncio.gather(*(batcher(i) for i in range(10)))
        return batches, results, await first

    batches, results, first = asyncio.run(go())
    assert (first, results) == (42, [2 * i for i in range(10)])
    assert batches == [[21], [0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]


def test_calls_made_together_are_one_at_once():
    async def go():
        batches = []

        async def keep(items):
            batches.append(items)
            return items

        batcher = Batcher(keep, max_size=8)
        await asyncio.gather(*(batcher(i) for i in range(3)))
        return batches

    assert asyncio.run(go()) == [[0, 1, 2]]


def test_nobody_waits_longer_than_told_for_a_call_that_does_not_end():
    async def go():
        stuck = asyncio.Event()

        async def call(items):
            if "stuck" in items:
                await stuck.wait()
            return items

        batcher = Batcher(call, max_size=2, wait_s=0.01)
        asyncio.create_task(batcher("stuck")).add_done_callback(lambda _: None)
        await asyncio.sleep(0.005)
        answers = [await asyncio.wait_for(batcher("waits"), 5)]
        answers += await asyncio.wait_for(asyncio.gather(batcher("two"), batcher("fill it")), 5)
        stuck.set()
        return answers

    assert asyncio.run(go()) == ["waits", "two", "fill it"]


def test_what_was_given_up_is_not_asked_for():
    async def go():
        asked = []

        async def call(items):
            asked.extend(items)
            await asyncio.sleep(0.02)
            return items

        batcher = Batcher(call, max_size=8)
        first = asyncio.create_task(batcher("first"))
        await asyncio.sleep(0.005)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(batcher("given up"), 0.005)
        await asyncio.gather(first, batcher("last"))
        return asked

    assert asyncio.run(go()) == ["first", "last"]


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

import multiprocessing
import threading

import pytest

from corpus.store import Store
from corpus.store_lock import lock_store


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path)


def test_one_holder_at_a_time(store):
    first = lock_store(store, 0)
    with pytest.raises(ValueError, match="another process writes into this store"):
        lock_store(store, 0)
    first.release()
    lock_store(store, 0).release()


def test_a_thread_that_ends_does_not_let_go(store):
    held = []
    thread = threading.Thread(target=lambda: held.append(lock_store(store, 0)))
    thread.start()
    thread.join()
    with pytest.raises(ValueError, match="another process writes into this store"):
        lock_store(store, 0)
    held[0].release()
    lock_store(store, 0).release()


def hold_and_die(folder):
    lock_store(Store(folder), 0)


def test_a_process_that_dies_lets_go(store):
    process = multiprocessing.get_context("spawn").Process(target=hold_and_die, args=(store.folder,))
    process.start()
    process.join()
    lock_store(store, 0).release()

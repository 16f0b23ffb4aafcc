"""Who asks a guarded service and writes into it without pause, and judges every answer."""

import threading
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx

from serving.access.keys import create_key
from serving.audit.writer import AuditSettings

CANARY = "zanzibarload"
"""In queries, notes, ids of patients and a key that nobody has."""
ASKED = {"query": f"follow up in clinic {CANARY}", "k": 1000}
WARD = [f"patient-{number:02}" for number in range(1, 9)]
"""Patients of `make_notes` to whom one of those who search is restricted."""


@dataclass
class Keys:
    """Of somebody who may see every patient and write, and of somebody who may read the ward's."""

    everyone: str
    ward: str


def write_access(folder):
    """An access folder with both."""
    (folder / "cohorts").mkdir(parents=True)
    (folder / "cohorts/ward.txt").write_text("\n".join(WARD))
    (folder / "policies.yaml").write_text("everyone: {patients: all}\nward: {cohort: ward}\n")
    expires = datetime.now(UTC) + timedelta(days=1)
    everyone = create_key(folder, ["read", "write"], "everyone", expires)
    return Keys(everyone, create_key(folder, ["read"], "ward", expires))


def bearer(key):
    return {"Authorization": f"Bearer {key}"}


@dataclass
class Guarded:
    """Where it answers, with which keys, and where its access folder and its audit log are."""

    url: str
    keys: Keys
    access: Path
    audit: AuditSettings

    def client(self, key=None):
        return httpx.Client(base_url=self.url, timeout=120, headers=bearer(key or self.keys.everyone))


class Load:
    """Two who search, one of them the ward alone, and one who writes; each repeats what got no answer, and judges
    every answer."""

    def __init__(self, service):
        self._service = service
        self._done = threading.Event()
        with service.client() as client:
            hits = client.post("/v1/search", json=ASKED).json()["hits"]
        self.expected = {hit["chunk_id"] for hit in hits}
        self.of_ward = {hit["chunk_id"] for hit in hits if hit["patient_id"] in WARD}
        self.acknowledged = {}
        """Store version of each chunk whose note was acknowledged."""
        self.wrong = []
        """Answers that leave out what they must hold."""
        self.failed = []
        """Reasons of requests without an answer."""
        self._answered = []
        keys = service.keys
        asking = [(self._read, keys.everyone), (self._read_ward, keys.ward), (self._write, keys.everyone)]
        self._threads = [threading.Thread(target=self._loop, args=each) for each in asking]

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self._done.set()
        for thread in self._threads:
            thread.join()

    def recovery(self, since):
        """Seconds from then until reads and writes that were sent later were answered; None before they are."""
        of = {ask: [end for asked, sent, end in self._answered if asked == ask and sent >= since] for ask in ("r", "w")}
        return max(map(min, of.values())) - since if all(of.values()) else None

    def _loop(self, ask, key):
        client, number = self._service.client(key), 0
        while not self._done.is_set():
            sent = time.monotonic()
            try:
                reason = ask(client, number)
            except httpx.TransportError as error:
                reason = type(error).__name__
                client.close()
                client = self._service.client(key)
            if reason is None:
                number += 1
                self._answered.append(("w" if ask == self._write else "r", sent, time.monotonic()))
            else:
                self.failed.append(reason)
                time.sleep(0.1)

    def _read(self, client, number):
        must_hold = self.expected | self.acknowledged.keys()
        return self._judge(client, number, lambda found: must_hold <= found)

    def _read_ward(self, client, number):
        return self._judge(client, number, lambda found: found == self.of_ward, lambda found: found <= self.of_ward)

    def _judge(self, client, number, is_whole, is_right=lambda found: True):
        may_be_partial = number % 3 == 0
        version = max(self.acknowledged.copy().values(), default=0)
        answer = client.post("/v1/search", json={**ASKED, "min_version": version, "allow_partial": may_be_partial})
        if answer.status_code != 200:
            return answer.status_code
        body = answer.json()
        found = {hit["chunk_id"] for hit in body["hits"]}
        says_so = body["partial"] == bool(body["shards"]["missing"])
        if not (says_so and is_right(found) and (is_whole(found) or (body["partial"] and may_be_partial))):
            self.wrong.append(body["shards"])
        return None

    def _write(self, client, number):
        note = {"note_id": f"n{number}", "patient_id": f"{CANARY}-{number % 7}", "text": f"Follow up, {CANARY}."}
        answer = client.post("/v1/notes", json={"notes": [note]})
        if answer.status_code != 200:
            return answer.status_code
        self.acknowledged[f"n{number}_0"] = answer.json()["store_version"]
        time.sleep(0.2)
        return None

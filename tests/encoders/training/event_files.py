"""What a run wrote for TensorBoard."""

import struct
from collections import defaultdict

from tensorboardX.proto.event_pb2 import Event, SessionLog


def read_events(file):
    """By tag, the (step, value) of each scalar in their order."""
    scalars = defaultdict(list)
    for event in _events(file):
        for value in event.summary.value:
            scalars[value.tag].append((event.step, value.simple_value))
    return dict(scalars)


def dropped_from(file):
    """The step from which on TensorBoard drops what files before this one say."""
    (step,) = [event.step for event in _events(file) if event.session_log.status == SessionLog.START]
    return step


def _events(file):
    left = memoryview(file.read_bytes())
    while left:
        # A record is its length, a checksum of that, the event, and a checksum of the event.
        (length,) = struct.unpack("<Q", left[:8])
        yield Event.FromString(bytes(left[12 : 12 + length]))
        left = left[16 + length :]


def event_files(folder):
    """One for each time that training began or went on, in their order."""
    return sorted(folder.iterdir())  # the second it was begun in is part of the name

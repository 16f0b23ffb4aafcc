"""What a run wrote for TensorBoard."""

import struct
from collections import defaultdict

from tensorboardX.proto.event_pb2 import Event


def read_events(file):
    """By tag, the (step, value) of each scalar in their order."""
    scalars, left = defaultdict(list), memoryview(file.read_bytes())
    while left:
        # A record is its length, a checksum of that, the event, and a checksum of the event.
        (length,) = struct.unpack("<Q", left[:8])
        event = Event.FromString(bytes(left[12 : 12 + length]))
        for value in event.summary.value:
            scalars[value.tag].append((event.step, value.simple_value))
        left = left[16 + length :]
    return dict(scalars)


def event_files(folder):
    """One for each time that training began or went on, in their order."""
    return sorted(folder.iterdir())  # the second it was begun in is part of the name

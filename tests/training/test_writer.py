"""What TensorBoard reads: its files decoded by their published layout."""

import itertools
import pathlib
import struct

import pytest
from tensorboardX.proto.event_pb2 import Event, SessionLog

from clusterjax.errors import InputError
from clusterjax.training.writer import MetricWriter


def crc32c(data: bytes) -> int:
    """Castagnoli's, bit by bit, as TFRecord masks it."""
    value = 0xFFFFFFFF
    for byte in data:
        value ^= byte
        for _ in range(8):
            value = value >> 1 ^ (0x82F63B78 if value & 1 else 0)
    value ^= 0xFFFFFFFF
    return ((value >> 15 | value << 17) + 0xA282EAD8) & 0xFFFFFFFF


def read_events(path: pathlib.Path) -> list[Event]:
    content, events = path.read_bytes(), []
    while content:
        length, of_length = struct.unpack("<QI", content[:12])
        data = content[12 : 12 + length]
        assert of_length == crc32c(content[:8])
        assert struct.unpack("<I", content[12 + length : 16 + length])[0] == crc32c(data)
        events.append(Event.FromString(data))
        content = content[16 + length :]
    return events


def test_scalars_and_where_a_run_goes_on(tmp_path):
    with MetricWriter(tmp_path) as writer:
        writer.write(10, "train", loss=0.5, accuracy=0.75)
        writer.write(10, "validation", loss=0.25)
    with MetricWriter(tmp_path, first_step=7) as writer:
        writer.write(8, "train", loss=0.125)
    first, again = sorted((tmp_path / "tensorboard").iterdir())  # the order in which they are read
    version, *rows = read_events(first)
    assert version.file_version == "brain.Event:2"
    values = [(row.step, {value.tag: value.simple_value for value in row.summary.value}) for row in rows]
    assert values == [(10, {"train/loss": 0.5, "train/accuracy": 0.75}), (10, {"validation/loss": 0.25})]
    _, start, row = read_events(again)
    assert (start.step, start.session_log.status) == (8, SessionLog.START)  # hides steps 8 to 10 of the first
    assert (row.step, row.summary.value[0].simple_value) == (8, 0.125)


def test_times_are_the_clocks(tmp_path, monkeypatch):
    ticks = itertools.count(1e9, -1e7)  # it runs backwards
    monkeypatch.setattr("time.time", lambda: next(ticks))
    with MetricWriter(tmp_path) as writer:
        for step in range(40):  # more than any queue holds
            writer.write(step, "train", loss=1.0)
    (path,) = (tmp_path / "tensorboard").iterdir()
    times = [event.wall_time for event in read_events(path)]
    assert times == [1e9 - 1e7 * i for i in range(41)]


@pytest.mark.parametrize("name", ["metrics.jsonl", "tensorboard"])
def test_a_full_disk_is_told(name, tmp_path):
    """/dev/full takes nothing: in the place of either file, one clear error names it."""
    writer = MetricWriter(tmp_path)
    if name == "tensorboard":
        writer._board._records._writer.close()
        writer._board._records._writer = open("/dev/full", "ab")  # noqa: SIM115
    else:
        writer._file.close()
        writer._file = open("/dev/full", "a")  # noqa: SIM115
    with pytest.raises(InputError, match=f"{tmp_path / name} cannot be written: No space left on device"):
        writer.write(1, "validation", loss=1.0)
    writer.close()

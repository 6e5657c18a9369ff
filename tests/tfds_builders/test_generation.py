"""Parallel generation: order, errors, interruption, and no worker left behind."""

import functools
import os
import pathlib
import signal
import subprocess
import sys
import time

import pytest

from tfds_builders import generation
from tfds_builders.generation import generate_in_parallel


def square(number, *, poison=None):
    if number == poison:
        raise ArithmeticError(f"cannot square {number}")
    return number, number**2, os.getpid()


@pytest.fixture
def eager_workers(monkeypatch):
    """Start processes for however little work."""
    monkeypatch.setattr(generation, "_WORTH_STARTING_SECONDS", -1.0)


@functools.cache  # once a process
def wait_for_company(folder):
    (folder / str(os.getpid())).touch()
    deadline = time.monotonic() + 60
    while len(list(folder.iterdir())) < 2 and time.monotonic() < deadline:
        time.sleep(0.01)


def square_in_company(number, folder, parent):
    """As :func:`square`; a worker waits until there is another, or one might do all before the other had started."""
    if os.getpid() != parent:
        wait_for_company(folder)
    return square(number)


@pytest.mark.usefixtures("eager_workers")
def test_results_come_in_order_from_several_processes(tmp_path):
    function = functools.partial(square_in_company, folder=tmp_path, parent=os.getpid())
    results = list(generate_in_parallel(function, range(500), num_processes=2, chunk_size=10))
    assert [result[:2] for result in results] == [(i, i**2) for i in range(500)]
    assert len({pid for *_, pid in results} - {os.getpid()}) == 2


def test_little_work_stays_in_this_process():
    results = list(generate_in_parallel(square, range(500), num_processes=2, chunk_size=10))
    assert {pid for *_, pid in results} == {os.getpid()}


@pytest.mark.parametrize("tasks", [[], [3]])
def test_little_or_nothing_to_do(tasks):
    assert [result[0] for result in generate_in_parallel(square, tasks)] == tasks


@pytest.mark.usefixtures("eager_workers")
@pytest.mark.parametrize("num_processes", [1, 2])
def test_a_workers_error_is_raised_here(num_processes):
    results = generate_in_parallel(
        functools.partial(square, poison=77), range(10_000), num_processes=num_processes, chunk_size=10
    )
    with pytest.raises(ArithmeticError, match="cannot square 77"):
        list(results)


def test_progress_shows_count_rate_and_time_left(capsys):
    list(generate_in_parallel(square, range(40), description="Squaring", unit="number", chunk_size=10))
    shown = capsys.readouterr().err
    assert "Squaring: 100%" in shown
    assert "40/40" in shown
    assert "numbers/s" in shown


FOREVER = """
import os, sys, time
from tfds_builders import generation
generation._WORTH_STARTING_SECONDS = -1.0
print("main is run", flush=True)
for _ in generation.generate_in_parallel(os.getpgid, [0] * 10**6, num_processes=2, chunk_size=1):
    time.sleep(0.01)
"""


def children_of(pid):
    folder = pathlib.Path(f"/proc/{pid}/task/{pid}/children")
    commands = {int(child): pathlib.Path(f"/proc/{child}/cmdline").read_text() for child in folder.read_text().split()}
    return [child for child, command in commands.items() if "spawn_main" in command]


def wait_until(condition, seconds=30.0):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)


@pytest.mark.skipif(not pathlib.Path("/proc/self/task").is_dir(), reason="looks for processes in /proc")
@pytest.mark.parametrize("seconds", [0.0, 0.5], ids=["starting", "later"])
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_no_worker_outlives_the_program(tmp_path, how, seconds):
    """Neither after Ctrl-C nor after kill -9, even while workers start.

    And the workers never run the program's main module (it has no guard).
    """
    script = tmp_path / "forever.py"
    script.write_text(FOREVER)
    environment = {**os.environ, "PYTHONPATH": str(pathlib.Path(generation.__file__).parents[1])}
    with subprocess.Popen(
        [sys.executable, script],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as program:
        wait_until(lambda: len(children_of(program.pid)) == 2)
        workers = children_of(program.pid)
        time.sleep(seconds)
        if how == signal.SIGINT:  # a terminal sends Ctrl-C to the program and its workers
            os.killpg(program.pid, how)
        else:
            program.kill()
        try:
            out, err = program.communicate(timeout=120)
        finally:
            program.kill()
    assert out == "main is run\n"
    assert program.returncode != 0
    assert ("KeyboardInterrupt" in err) == (how == signal.SIGINT)
    # The workers keep quiet; but one that is still being told what it is, before any code of ours runs in it, says that
    # the pipe broke: it has no more than multiprocessing's own spawn_main in its traceback.
    said = err.count("Traceback") - (err.count("in spawn_main") if how == signal.SIGKILL and not seconds else 0)
    assert said == (how == signal.SIGINT)
    assert "generation.py" not in err or how == signal.SIGINT
    wait_until(lambda: not any(pathlib.Path(f"/proc/{worker}/cmdline").exists() for worker in workers))


def test_interrupt_is_never_swallowed():
    """Ctrl-C while a destructor runs, where Python prints and forgets it, ends the work all the same."""

    class Unlucky:
        def __del__(self):
            signal.raise_signal(signal.SIGINT)

    before = signal.getsignal(signal.SIGINT)
    done = []

    def work():
        for number in generate_in_parallel(square, range(40), num_processes=1, chunk_size=10):
            done.append(number)
            if len(done) == 15:
                Unlucky()

    with pytest.raises(KeyboardInterrupt):
        work()
    assert len(done) == 20
    assert signal.getsignal(signal.SIGINT) is before

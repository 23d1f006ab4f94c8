"""Decodes many images on all cores: little work in threads of this process, much in processes.

Measured on radiographs of 390 × 320: two threads decode 1.6 times as fast as one, because Pillow
holds the interpreter lock for part of its work, two processes 2.0 times. A process takes a tenth
of a second to start, so the first images are decoded in threads and tell how much work is left.
"""

import itertools
import json
import os
import selectors
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import IO

from fedcxr.data.cache.rows import Decoded, decode_rows
from fedcxr.errors import RunError
from fedcxr.own_packages import own_search_path

CHUNK = 64
"""Rows in one order: 0.03 s of work at CheXpert-small's size, 2 s at full resolution."""
PROCESSES_PAY_S = 3.0
"""Seconds of work left, in threads, from which processes are sooner done."""
STALL_S = 600.0
"""Longest wait for the next answer of any decoding process."""
STOP_S = 2.0
"""Longest wait for idle processes to end by themselves."""
AHEAD = 2
"""Orders that a process has at once, so that it never waits for the next one."""


@dataclass(frozen=True, slots=True)
class DecodeJob:
    """What is decoded to where."""

    images: Path
    """The file `images.u8`, as large as it will be."""
    size_px: int
    png_bits: int
    """By which 16-bit PNG files are scaled."""
    paths: Callable[[range], list[str]]
    """The image files of some rows."""


def decode_all(
    job: DecodeJob, todo: Sequence[range], workers: int
) -> Generator[Decoded, None, None]:
    """Yield what was decoded, a chunk at a time and in any order; close it to stop.

    Args:
        job: what is decoded.
        todo: the rows to decode.
        workers: threads or processes.

    Raises:
        OSError: the disk is full or broken.
        RunError: a process died, or none answers any more.
    """
    left = sum(len(rows) for rows in todo)
    chunks = _chunks(todo, max(1, min(CHUNK, left // (4 * workers))))
    trial = list(itertools.islice(chunks, workers))
    begun = time.monotonic()
    yield from in_threads(job, iter(trial), workers)
    tried = sum(len(rows) for rows in trial)
    seconds_left = (time.monotonic() - begun) / max(tried, 1) * (left - tried)
    if workers > 1 and seconds_left > PROCESSES_PAY_S:
        yield from in_processes(job, chunks, workers)
    else:
        yield from in_threads(job, chunks, workers)


def _chunks(todo: Sequence[range], size: int) -> Iterator[range]:
    for rows in todo:
        for start in range(rows.start, rows.stop, size):
            yield range(start, min(start + size, rows.stop))


def in_threads(
    job: DecodeJob, chunks: Iterator[range], workers: int
) -> Generator[Decoded, None, None]:
    """Yield what threads of this process decode."""
    stop = threading.Event()
    images = os.open(job.images, os.O_WRONLY)
    pool = ThreadPoolExecutor(max_workers=workers)
    pending: deque[Future[Decoded]] = deque()
    try:
        for rows in chunks:
            order = partial(
                decode_rows,
                images,
                rows.start,
                job.paths(rows),
                size_px=job.size_px,
                png_bits=job.png_bits,
                stopped=stop.is_set,
            )
            pending.append(pool.submit(order))
            if len(pending) >= AHEAD * workers:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
    finally:
        stop.set()
        pool.shutdown(wait=True, cancel_futures=True)
        os.close(images)


def in_processes(
    job: DecodeJob, chunks: Iterator[range], workers: int
) -> Generator[Decoded, None, None]:
    """Yield what `workers` processes decode."""
    crew: list[_Worker] = []
    try:
        for _ in range(workers):
            crew.append(_start(job))
        with selectors.DefaultSelector() as ready:
            for worker in crew:
                ready.register(worker.pipe, selectors.EVENT_READ, worker)
            for rows in itertools.islice(chunks, AHEAD * workers):
                _order(min(crew, key=lambda worker: len(worker.busy)), job, rows)
            while any(worker.busy for worker in crew):
                found = ready.select(timeout=STALL_S)
                if not found:
                    raise _stalled([worker for worker in crew if worker.busy], job)
                for key, _ in found:
                    for decoded in _answers(key.data, job):
                        for rows in itertools.islice(chunks, 1):
                            _order(key.data, job, rows)
                        yield decoded
    finally:
        _stop(crew)


@dataclass(slots=True, eq=False)
class _Worker:
    process: subprocess.Popen[bytes]
    pipe: socket.socket
    complaints: IO[bytes]
    """Its standard error."""
    busy: deque[range] = field(default_factory=deque)
    received: bytes = b""


def _start(job: DecodeJob) -> _Worker:
    try:
        complaints = tempfile.TemporaryFile()  # noqa: SIM115 (open as long as the process)
    except OSError as err:
        raise RunError(
            f"A decoding process cannot have a temporary file ({err.strerror}). Make room in the "
            f"folder for temporary files, or set TMPDIR to another."
        ) from err
    ours, theirs = socket.socketpair()
    ours.settimeout(STALL_S)
    command = [sys.executable, "-P", "-m", "fedcxr.data.cache.decoding_process"]
    command += [str(job.images), str(job.size_px), str(job.png_bits)]
    # One thread each: a pool of numpy's would be started for nothing in every process.
    environment = {
        **os.environ,
        "OPENBLAS_NUM_THREADS": "1",
        "PYTHONPATH": os.pathsep.join(own_search_path()),
    }
    try:
        with theirs:
            process = subprocess.Popen(
                command,
                env=environment,
                stdin=theirs.fileno(),
                stdout=theirs.fileno(),
                stderr=complaints,
                process_group=0,  # Ctrl-C is for this process, which then ends its workers
            )
    except OSError as err:
        ours.close()
        complaints.close()
        raise RunError(
            f"A decoding process cannot be started ({err.strerror}). Use fewer workers."
        ) from err
    return _Worker(process, ours, complaints)


def _order(worker: _Worker, job: DecodeJob, rows: range) -> None:
    order = json.dumps({"start": rows.start, "paths": job.paths(rows)})
    worker.busy.append(rows)
    try:
        worker.pipe.sendall(order.encode() + b"\n")
    except OSError as err:  # a timeout is one too
        raise _lost(worker, job) from err


def _answers(worker: _Worker, job: DecodeJob) -> Iterator[Decoded]:
    """Yield the answers that have come; the last one may be torn and waits for its end."""
    try:
        received = worker.pipe.recv(1 << 18)
    except OSError as err:
        raise _lost(worker, job) from err
    if not received:
        raise _lost(worker, job)
    *lines, worker.received = (worker.received + received).split(b"\n")
    for line in lines:
        answer = json.loads(line)
        if "why" in answer:
            raise _failed(answer)
        worker.busy.popleft()
        yield Decoded.from_json(answer)


def _failed(answer: dict[str, object]) -> Exception:
    number, why = answer["errno"], str(answer["why"])
    return OSError(number, why) if isinstance(number, int) else RunError(why)


def _lost(worker: _Worker, job: DecodeJob) -> RunError:
    """Return what is known of a process that went away."""
    worker.process.kill()
    code = worker.process.wait(STOP_S)
    how = f"killed by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
    worker.complaints.seek(0)
    last = worker.complaints.read().decode(errors="replace").strip().rpartition("\n")[2]
    said = f" ({last[:200]})" if last else ""
    return RunError(
        f"Decoding process {worker.process.pid} was {how}{said}, {_place(worker, job)}. If the "
        f"memory was full, use fewer workers; start it again, and it goes on where it stopped."
    )


def _stalled(workers: Sequence[_Worker], job: DecodeJob) -> RunError:
    places = "; ".join(f"process {w.process.pid}, {_place(w, job)}" for w in workers[:10])
    return RunError(
        f"No decoding process answered for {STALL_S:g} s: {places}. Look whether the disk with the "
        f"images answers, and start again: it goes on where it stopped."
    )


def _place(worker: _Worker, job: DecodeJob) -> str:
    if not worker.busy:
        return "without an order"
    rows = worker.busy[0]
    return f"in rows {rows.start} to {rows.stop - 1}, the first of them {job.paths(rows)[0]}"


def _stop(crew: Sequence[_Worker]) -> None:
    """End the processes: idle ones go by themselves, the others are killed."""
    end = time.monotonic() + STOP_S
    for worker in crew:
        worker.pipe.close()
        if worker.busy:
            worker.process.kill()
    for worker in crew:
        try:
            worker.process.wait(max(0.0, end - time.monotonic()))
        except subprocess.TimeoutExpired:
            worker.process.kill()
            worker.process.wait(STOP_S)
        worker.complaints.close()

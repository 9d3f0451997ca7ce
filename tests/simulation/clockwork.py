"""Virtual time, and an event loop for every process that lives in it.

There is one `Clockwork` a world. It runs one thing at a time: a callback of some process's event loop, a message that arrives,
a timer. Which process goes on when several could is drawn from the seed; within a process things go in asyncio's own order.
So the same seed gives the same run, and a process can be stopped for good between any two of its awaits.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import heapq
import random
from collections import deque
from collections.abc import Callable, Coroutine
from hashlib import blake2b
from typing import Any

START_MS = 1_767_225_600_000
"""2026-01-01T00:00:00Z."""


class Crashed(BaseException):
    """The process ends here and now. No `except Exception` may hold it up."""


class Timer:
    """Something to be done at a time."""

    __slots__ = ("cancelled", "do", "owner")

    def __init__(self, do: Callable[[], None], owner: ProcessLoop | None) -> None:
        self.do = do
        self.owner = owner
        self.cancelled = False

    def cancel(self) -> None:
        self.cancelled = True


class Clockwork:
    """Time, order and chance of one world."""

    def __init__(self, seed: str) -> None:
        self.now_ms = 0.0
        """Since the world began."""
        self.steps = 0
        self._chance = random.Random(f"{seed} order")
        self._heap: list[tuple[float, int, Timer]] = []
        self._order = 0
        self._busy: list[ProcessLoop] = []
        """Those that could go on now."""
        self._trace = blake2b(digest_size=16)
        self.story: list[str] | None = None
        """If asked for: every step in words."""

    @property
    def trace(self) -> str:
        """A hash of everything that has happened so far."""
        return self._trace.hexdigest()

    def note(self, *what: object) -> None:
        """Make something a part of the trace."""
        line = f"{self.now_ms:.3f} {' '.join(map(str, what))}"
        self._trace.update(line.encode())
        if self.story is not None:
            self.story.append(line)

    def at(self, ms: float, do: Callable[[], None], owner: ProcessLoop | None = None) -> Timer:
        """Do something at a time; what belongs to a process is not done once that is dead."""
        timer = Timer(do, owner)
        self._order += 1
        heapq.heappush(self._heap, (max(ms, self.now_ms), self._order, timer))
        return timer

    def after(self, ms: float, do: Callable[[], None], owner: ProcessLoop | None = None) -> Timer:
        return self.at(self.now_ms + ms, do, owner)

    def awaken(self, process: ProcessLoop) -> None:
        """A process has something to go on with."""
        if not process.listed:
            process.listed = True
            self._busy.append(process)

    def step(self, until_ms: float) -> bool:
        """Do the next thing. False: there is none before `until_ms`, which it is now."""
        busy = self._busy
        if busy:
            at = self._chance.randrange(len(busy)) if len(busy) > 1 else 0
            process = busy[at]
            if not process.run_one():
                process.listed = False
                busy[at] = busy[-1]
                busy.pop()
            self.steps += 1
            return True
        while self._heap:
            when = self._heap[0][0]
            if when > until_ms:
                break
            timer = heapq.heappop(self._heap)[2]
            if timer.cancelled or (timer.owner is not None and not timer.owner.alive):
                continue
            self.now_ms = when
            timer.do()
            self.steps += 1
            return True
        self.now_ms = max(self.now_ms, until_ms)
        return False

    def run_until(self, until_ms: float) -> None:
        while self.step(until_ms):
            pass

    def run_while(self, going_on: Callable[[], bool], *, ms_max: float, steps_max: int) -> bool:
        """Run as long as something goes on. False: it did not end within the bounds."""
        until_ms, last = self.now_ms + ms_max, self.steps + steps_max
        while going_on():
            if self.steps >= last or not self.step(until_ms):
                return not going_on()
        return True


class _Alarm(asyncio.TimerHandle):
    """A timer of a process's event loop."""

    timer: Timer


class ProcessLoop(asyncio.AbstractEventLoop):
    """The event loop of one process, as far as asyncio's tasks, timeouts and queues need one."""

    def __init__(self, clockwork: Clockwork, name: str, *, failed: Callable[[str, BaseException | None], None]) -> None:
        self.clockwork = clockwork
        self.name = name
        self.alive = True
        self.listed = False
        """Whether the clockwork knows that it could go on."""
        self._failed = failed
        self._ready: deque[asyncio.Handle] = deque()
        self._tasks: dict[asyncio.Task[Any], None] = {}

    def run_one(self) -> bool:
        """Run the next callback. False: nothing is left to do now."""
        if not self.alive or not self._ready:
            self._ready.clear()
            return False
        handle = self._ready.popleft()
        if not handle.cancelled():
            self.clockwork.note(self.name)
            with self.running():
                handle._run()
            if not self.alive:
                self.bury()
        return bool(self._ready)

    @contextlib.contextmanager
    def running(self) -> Any:
        """Inside, this is the running loop."""
        before = asyncio._get_running_loop()
        asyncio._set_running_loop(self)
        try:
            yield
        finally:
            asyncio._set_running_loop(before)

    def bury(self) -> None:
        """Let go of what the dead process was about to do. Whatever its `finally` clauses do now reaches nobody."""
        self.alive = False
        self._ready.clear()
        tasks, self._tasks = self._tasks, {}
        for task in tasks:
            with contextlib.suppress(BaseException), self.running():
                task.get_coro().close()
        self._ready.clear()

    @property
    def idle(self) -> bool:
        return not self._tasks and not self._ready

    # What asyncio asks of a loop

    def call_soon(  # type: ignore[override]
        self, callback: Any, *args: Any, context: contextvars.Context | None = None
    ) -> asyncio.Handle:
        handle = asyncio.Handle(callback, args, self, context)
        if self.alive:
            self._ready.append(handle)
            self.clockwork.awaken(self)
        return handle

    call_soon_threadsafe = call_soon  # type: ignore[assignment]

    def call_later(  # type: ignore[override]
        self, delay: float, callback: Any, *args: Any, context: contextvars.Context | None = None
    ) -> asyncio.TimerHandle:
        return self.call_at(self.time() + delay, callback, *args, context=context)

    def call_at(  # type: ignore[override]
        self, when: float, callback: Any, *args: Any, context: contextvars.Context | None = None
    ) -> asyncio.TimerHandle:
        handle = _Alarm(when, callback, args, self, context)

        def ring() -> None:
            if not handle.cancelled():
                self.call_soon(handle._run)

        handle.timer = self.clockwork.at(when * 1000, ring, self)
        return handle

    def _timer_handle_cancelled(self, handle: asyncio.TimerHandle) -> None:
        if isinstance(handle, _Alarm):
            handle.timer.cancel()

    def time(self) -> float:
        return self.clockwork.now_ms / 1000

    def create_future(self) -> asyncio.Future[Any]:
        return asyncio.Future(loop=self)

    def create_task(self, coro: Coroutine[Any, Any, Any], **how: Any) -> asyncio.Task[Any]:  # type: ignore[override]
        task: asyncio.Task[Any] = asyncio.Task(coro, loop=self, **how)
        task._log_destroy_pending = False  # type: ignore[attr-defined]
        if not self.alive:
            coro.close()  # begun by a `finally` of what died: it never runs
        self._tasks[task] = None
        task.add_done_callback(lambda done: self._tasks.pop(done, None))
        return task

    def run_in_executor(self, executor: Any, func: Any, *args: Any) -> asyncio.Future[Any]:  # type: ignore[override]
        """A thread of the pool takes its time, and comes back as any other thing does."""
        future = self.create_future()

        def work() -> None:
            if future.done():
                return
            try:
                result = func(*args)
            except Exception as error:
                future.set_exception(error)
            else:
                future.set_result(result)

        # The order of threads is chance: it is drawn from how far the world is.
        self.clockwork.after(0.1 + (self.clockwork.steps * 7919 % 16) / 10, lambda: self._inside(work), self)
        return future

    def _inside(self, work: Callable[[], None]) -> None:
        with self.running(), contextlib.suppress(Crashed):
            work()
        if not self.alive:
            self.bury()

    def get_debug(self) -> bool:
        return False

    def is_running(self) -> bool:
        return True

    def is_closed(self) -> bool:
        return False

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        error = context.get("exception")
        if self.alive and not isinstance(error, Crashed):
            self._failed(str(context.get("message")), error)


def begin_process(clockwork: Clockwork, name: str, *, failed: Callable[[str, BaseException | None], None]) -> ProcessLoop:
    """A new process's loop; sockets, signals and children are not for it."""
    return ProcessLoop(clockwork, name, failed=failed)  # type: ignore[abstract]

"""The actors of a run on Ray: asked for, told apart by what they do, replaced when lost.

An actor that Ray has no room for yet simply waits, and takes part from when it is ready.
"""

import logging
import re
import time
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ray
from flwr.app import Message
from ray.exceptions import RayError

from fedcxr.engines.app_ref import AppRef
from fedcxr.engines.ray_client import RayClient
from fedcxr.engines.ray_cluster import Share
from fedcxr.errors import NetworkError

log = logging.getLogger(__name__)

ROOM_S = 60.0
"""Longest wait for an actor when none is ready, as when the cluster shrank to nothing."""
PAUSE_S = 5.0
"""Wait before the next actor is asked for when one was lost before it was ready: Ray may have sent
it to a machine that is gone, which it notices seconds later."""


@dataclass(slots=True, eq=False)
class Actor:
    """One actor, and what is due from it."""

    handle: Any
    due: ray.ObjectRef[Any] | None
    """Its word that it is ready; later the reply to the order that it is busy with."""
    first: bool
    """Of those that the run began with: what is wrong with its machine ends the run."""
    pulse: Path
    """Where it notes its processor time."""
    ready: bool = False
    busy_with: Message | None = None

    def give(self, message: Message, *parts: object) -> None:
        """Let it work on an order, whose parts cross."""
        self.busy_with = message
        self.due = self.handle.answer.remote(*parts)


class Actors:
    """As many actors as the cluster has room for, up to a number."""

    def __init__(
        self,
        app: AppRef,
        share: Share,
        *,
        environment: Mapping[str, str],
        must_see: Sequence[str],
        pulses: Path,
    ) -> None:
        self._class = ray.remote(RayClient).options(
            num_cpus=share.cpus,
            num_gpus=share.gpus,
            scheduling_strategy="SPREAD",
            runtime_env={"env_vars": dict(environment)} if environment else {},
        )
        self._args = (app.to_text(), logging.getLogger().getEffectiveLevel())
        self._must_see = tuple(must_see)
        self._pulses = pulses
        self._wanted = share.clients
        self._all: list[Actor] = []
        self._why = "none found room"
        self._not_before = 0.0
        self._ever_ready = False
        self._last_ready = time.monotonic()

    def start(self) -> None:
        """Ask for all actors."""
        self._last_ready = time.monotonic()
        self._all = [self._spawn(first=True) for _ in range(self._wanted)]

    def close(self) -> None:
        """End all actors."""
        for actor in self._all:
            ray.kill(actor.handle)
        self._all = []

    @property
    def due(self) -> dict[ray.ObjectRef[Any], Actor]:
        """What is waited for, and from whom."""
        return {actor.due: actor for actor in self._all if actor.due is not None}

    @property
    def free(self) -> list[Actor]:
        """The actors that are ready for an order."""
        return [actor for actor in self._all if actor.ready and actor.busy_with is None]

    @property
    def busy(self) -> list[Actor]:
        """The actors that work on an order."""
        return [actor for actor in self._all if actor.busy_with is not None]

    def busy_with(self, message_id: str) -> Actor | None:
        """Return the actor that works on an order, if there is one."""
        for actor in self.busy:
            message = actor.busy_with
            if message is not None and message.metadata.message_id == message_id:
                return actor
        return None

    def mark_ready(self, actor: Actor, problem: str) -> None:
        """Take an actor into service, unless its machine has a problem."""
        if not problem:
            actor.ready = self._ever_ready = True
        elif actor.first:
            raise NetworkError(
                f"A machine of the Ray cluster cannot simulate sites: {problem}. All of them need "
                "fedcxr, and the run folder (--runs-dir) and FEDCXR_HOME by the same path."
            )
        else:
            self.replace(actor, problem)

    def lost(self, actor: Actor, err: RayError) -> None:
        """Replace an actor of which Ray says that it, its machine or its reply is lost."""
        text = str(err).strip()
        why = text.rsplit("\n", 1)[-1]
        if getattr(err, "actor_init_failed", False):  # its machine has no fedcxr, or another one
            machine = re.search(r"\bip=([\w.:]+)", text)
            self.mark_ready(actor, f"{machine[1]}: {why}" if machine else why)
        else:
            self.replace(actor, why)

    def replace(self, actor: Actor, why: str) -> None:
        """End an actor; another takes its place."""
        log.warning("a client's process was lost: %s", why)
        if not actor.ready:
            self._why, self._not_before = why, time.monotonic() + PAUSE_S
        self._end(actor)

    def retire(self, actor: Actor) -> bool:
        """End an actor for good, unless it is the last one."""
        if len(self._all) == 1:
            return False
        self._wanted = len(self._all) - 1
        self._end(actor)
        return True

    def refill(self) -> bool:
        """Ask for actors in place of lost ones; return False where none is left and none comes.

        Raises:
            NetworkError: no actor was ever ready, and none comes.
        """
        now = time.monotonic()
        if now >= self._not_before:
            missing = self._wanted - len(self._all)
            self._all += [self._spawn(first=False) for _ in range(missing)]
        if any(actor.ready for actor in self._all):
            self._last_ready = now
            return True
        if now - self._last_ready <= ROOM_S:
            return True
        if self._ever_ready:
            return False
        raise NetworkError(
            f"No client was ready on the Ray cluster within {ROOM_S:g} s: {self._why}. "
            "See `ray status` for what is free, or start a cluster for this run alone."
        )

    def _spawn(self, *, first: bool) -> Actor:
        handle: Any = self._class.remote(*self._args)
        pulse = self._pulses / uuid.uuid4().hex
        return Actor(handle, handle.open.remote(self._must_see, str(pulse)), first, pulse)

    def _end(self, actor: Actor) -> None:
        ray.kill(actor.handle)
        self._all.remove(actor)

"""The grid of a simulation in which some of the sites are hostile: their replies are changed here.

It stands between the server and the simulated sites, in the server's process. So the checks of the
intake see what is sent as they would see it from a real site, and no site's client has code to be
hostile. Honest replies pass untouched.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np
from flwr.app import ArrayRecord, Message, MessageType, RecordDict
from flwr.serverapp import Grid
from flwr.supercore.run import Run

from fedcxr.chain import UPDATE
from fedcxr.engines.local import LocalGrid
from fedcxr.experiments.byzantine.attacks import Attack, Floats, Knowledge
from fedcxr.packing import pack_array, unpack_array
from fedcxr.wire import OK, VECTORS, unpack_receipt


@dataclass(slots=True)
class _Round:
    """The orders of a round that were sent, and what of them has come."""

    honest_left: set[str] = field(default_factory=set)
    honest: dict[int, Floats] = field(default_factory=dict)
    """(T,) by node."""
    held: dict[str, Message] = field(default_factory=dict)
    """Replies of the hostile, by their order, until all honest ones are there."""


class HostileGrid(Grid):
    """Passes everything on, but for the updates of the hostile nodes."""

    def __init__(
        self,
        inner: LocalGrid,
        attack: Attack,
        hostile: Iterable[int],
        *,
        trained: int,
        deviations: float,
    ) -> None:
        """Stand before a grid.

        Args:
            inner: of the simulated sites.
            attack: what the hostile do.
            hostile: their nodes.
            trained: T, how many numbers of an update are trained values; they come first.
            deviations: of ALIE.
        """
        self._inner, self._attack, self._hostile = inner, attack, frozenset(hostile)
        self._trained, self._deviations = trained, deviations
        self._nodes: dict[str, int] = {}
        """Of the orders to train that wait for their reply."""
        self._round_of: dict[str, _Round] = {}
        self._rounds: dict[str, _Round] = {}

    @property
    def run(self) -> Run:
        """The run; there is only one here."""
        return self._inner.run

    def set_run(self, run: Run) -> None:
        """Set the run."""
        self._inner.set_run(run)

    def get_node_ids(self) -> Iterable[int]:
        """Return the ids of the simulated nodes."""
        return self._inner.get_node_ids()

    def create_message(
        self,
        content: RecordDict,
        message_type: str,
        dst_node_id: int,
        group_id: str,
        ttl: float | None = None,
    ) -> Message:
        """Return a message to a node."""
        return self._inner.create_message(content, message_type, dst_node_id, group_id, ttl)

    def push_messages(self, messages: Iterable[Message]) -> Iterable[str]:
        """Queue messages and return their ids."""
        listed = list(messages)
        ids = list(self._inner.push_messages(listed))
        for message_id, message in zip(ids, listed, strict=True):
            if message.metadata.message_type != MessageType.TRAIN:
                continue
            node = message.metadata.dst_node_id
            group = message.metadata.group_id
            if group not in self._rounds:
                self._rounds = {group: _Round()}  # what honest sites sent before is not needed
            round_ = self._rounds[group]
            self._nodes[message_id], self._round_of[message_id] = node, round_
            if node not in self._hostile:
                round_.honest_left.add(message_id)
        return ids

    def pull_messages(self, message_ids: Iterable[str]) -> Iterable[Message]:
        """Return the replies that are there, those of the hostile once they may be made."""
        wanted = list(message_ids)
        found = []
        for reply in self._inner.pull_messages(wanted):
            message_id = reply.metadata.reply_to_message_id
            if message_id not in self._nodes:
                found.append(reply)
            elif self._nodes[message_id] in self._hostile:
                self._round_of[message_id].held[message_id] = reply
            else:
                self._take_honest(message_id, reply)
                found.append(reply)
        return [*found, *self._released(wanted)]

    def send_and_receive(
        self, messages: Iterable[Message], *, timeout: float | None = None
    ) -> Iterable[Message]:
        """Not offered: the server pushes and pulls."""
        raise NotImplementedError

    def cancel(self, message_id: str) -> None:
        """Forget an order; nobody waits for its reply any more."""
        self._inner.cancel(message_id)
        self._nodes.pop(message_id, None)
        round_ = self._round_of.pop(message_id, None)
        if round_ is not None:
            round_.honest_left.discard(message_id)
            round_.held.pop(message_id, None)

    def begun_at(self, message_id: str) -> float | None:
        """Return `time.monotonic()` of when a client began an order; None while it waits."""
        return self._inner.begun_at(message_id)

    def _take_honest(self, message_id: str, reply: Message) -> None:
        round_, node = self._round_of.pop(message_id), self._nodes.pop(message_id)
        round_.honest_left.discard(message_id)
        if self._attack.sees_honest and _is_update(reply):
            round_.honest[node] = _update_in(reply)[: self._trained].copy()

    def _released(self, wanted: Iterable[str]) -> list[Message]:
        """Return the replies of the hostile that are asked for and can be made by now."""
        found = []
        for message_id in wanted:
            round_ = self._round_of.get(message_id)
            if round_ is None or message_id not in round_.held:
                continue
            if self._attack.sees_honest and round_.honest_left:
                continue
            del self._round_of[message_id], self._nodes[message_id]
            found.append(self._altered(round_.held.pop(message_id), round_.honest))
        return found

    def _altered(self, reply: Message, honest: Mapping[int, Floats]) -> Message:
        """Return the reply with the attack's values; as it is where there is nothing to alter."""
        alter = self._attack.alter
        if alter is None or not _is_update(reply) or (self._attack.sees_honest and not honest):
            return reply
        update = _update_in(reply).copy()
        # By node, so that it does not matter who answered first.
        others = [honest[node] for node in sorted(honest)]
        known = Knowledge(
            update[: self._trained],
            np.stack(others) if others else np.empty((0, self._trained), np.float32),
            self._deviations,
        )
        update[: self._trained] = alter(known)
        record = reply.content.array_records[VECTORS]
        arrays = {**record, UPDATE: pack_array(update)}
        changed = ArrayRecord()
        for name, array in arrays.items():
            changed[name] = array
        reply.content[VECTORS] = changed
        return reply


def _is_update(reply: Message) -> bool:
    return reply.has_content() and unpack_receipt(reply.content).code == OK


def _update_in(reply: Message) -> Floats:
    vector = unpack_array(reply.content.array_records[VECTORS][UPDATE], "<f4")
    return vector.astype(np.float32, copy=False)

"""What a run's events say of its speed and of the time left."""

from dataclasses import dataclass
from typing import Any

_FEW_SITES = 20


@dataclass(slots=True)
class _Pace:
    """How far rounds of one kind have come, and in which time."""

    rounds: float = 0.0
    images: int = 0
    seconds: float = 0.0


class Clock:
    """What is known of speed and time left, from the events so far.

    Rounds in which sites make their VAEs take much longer than the others, so they are counted by
    themselves.
    """

    def __init__(self) -> None:
        self.rounds = 0
        self.may_stop = False
        self.sites_done = 0
        self.cohort = 0
        self.round_num = 0
        self._vae_rounds: frozenset[int] = frozenset()
        self._ended = {False: _Pace(), True: _Pace()}
        """Of the rounds before this one, by whether VAEs were made in them."""
        self._images = 0
        self._began: float | None = None
        self._now = 0.0

    def take(self, event: dict[str, Any]) -> None:
        """Account for an event."""
        kind, self._now = event["event"], event["time"]
        if kind == "run_started":
            self.rounds, self.may_stop = event["rounds"], event.get("may_stop", False)
            self._vae_rounds = frozenset(event.get("vae_rounds", ()))
        elif kind == "stopped_early":
            self.rounds, self.may_stop = event["round"], False
        elif kind == "round_started":
            if self._began is not None:
                self._ended[self.makes_vaes] = self._pace(self.makes_vaes, of_round=1.0)
            self.round_num, self.cohort, self.sites_done = event["round"], len(event["cohort"]), 0
            self._began, self._images = self._now, 0
        elif kind == "site_done":
            self.sites_done += 1
            self._images += event["images"]

    @property
    def makes_vaes(self) -> bool:
        """Whether the sites make their VAEs in this round."""
        return self.round_num in self._vae_rounds

    @property
    def tells_sites(self) -> bool:
        """Whether every site of this round is worth a line: it takes minutes, and they are few."""
        return self.makes_vaes and self.cohort <= _FEW_SITES

    @property
    def images_per_second(self) -> float:
        """Training images a second with evaluation's time; of rounds without VAEs if possible."""
        paces = [self._pace(kind) for kind in (False, True)]
        pace = next((pace for pace in paces if pace.images and pace.seconds > 0), None)
        return pace.images / pace.seconds if pace else 0.0

    @property
    def of_rounds(self) -> str:
        """How many rounds there are, or can be at most."""
        return f"≤{self.rounds}" if self.may_stop else str(self.rounds)

    @property
    def left(self) -> str:
        """Time left of the rounds, as m:ss; empty while unknown, or if the run may end any time."""
        if self._began is None or self.may_stop:
            return ""
        seconds = 0.0
        for kind in (False, True):
            later = range(self.round_num + 1, self.rounds + 1)
            rounds = float(sum((number in self._vae_rounds) == kind for number in later))
            if kind == self.makes_vaes:
                rounds += 1 - self._of_round
            pace = self._pace(kind)
            if rounds and not pace.rounds:
                return ""
            seconds += rounds * pace.seconds / pace.rounds if rounds else 0.0
        return f"{int(seconds // 60)}:{int(seconds % 60):02d}"

    @property
    def _of_round(self) -> float:
        return self.sites_done / max(self.cohort, 1)

    def _pace(self, kind: bool, of_round: float | None = None) -> _Pace:
        """Return the pace of a kind of rounds, with what is done of this one."""
        ended = self._ended[kind]
        if kind != self.makes_vaes or self._began is None:
            return ended
        done = self._of_round if of_round is None else of_round
        seconds = ended.seconds + self._now - self._began
        return _Pace(ended.rounds + done, ended.images + self._images, seconds)

import threading

import pytest
from fake_run import change, write_run

from fedcxr.cli import progress
from fedcxr.cli.clock import Clock
from fedcxr.cli.outcome import print_outcome, print_scores, progress_for
from fedcxr.cli.progress import Follower, LiveDisplay, PlainDisplay
from fedcxr.runs.folder import RunFolder

COHORT = ["site-00", "site-01", "site-02", "site-03"]


def clock_after(*events):
    clock = Clock()
    for event in events:
        clock.take(event)
    return clock


def started(time=0.0, rounds=10):
    return {"event": "run_started", "time": time, "rounds": rounds, "sites": 4, "images": 400}


def round_started(number, time):
    return {"event": "round_started", "time": time, "round": number, "cohort": COHORT}


def site_done(time, images=100, outcome="done", site_id="site-00"):
    return {
        "event": "site_done",
        "time": time,
        "site_id": site_id,
        "outcome": outcome,
        "images": images,
    }


def round_done(number, time, loss=0.5, auroc=0.75):
    return {
        "event": "round_done",
        "time": time,
        "round": number,
        "train_loss": loss,
        "val_macro_auroc": auroc,
        "seconds": 1.0,
        "images": 400,
    }


def test_speed_is_images_since_the_first_round():
    clock = clock_after(started(0), round_started(1, 100.0), site_done(101.0), site_done(104.0))
    # 200 images in 4 s; the 100 s of preparation do not count
    assert clock.images_per_second == 50.0


def test_nothing_is_known_before_the_first_round():
    clock = clock_after(started(0))
    assert clock.images_per_second == 0.0
    assert clock.left == ""
    assert clock_after(started(0), round_started(1, 5.0)).left == ""


def test_time_left_is_what_a_round_took_times_the_rounds_left():
    # half of round 1 of 10 took 30 s: a round takes 60 s, 9.5 are left: 570 s
    clock = clock_after(started(0), round_started(1, 0.0), site_done(15.0), site_done(30.0))
    assert clock.left == "9:30"


def test_time_left_counts_from_the_round_that_was_resumed():
    # rounds 7 and half of 8 took 90 s; of 10 rounds 2.5 are left, each 60 s
    clock = clock_after(
        started(0),
        round_started(7, 0.0),
        *[site_done(60.0)] * 4,
        round_started(8, 60.0),
        *[site_done(90.0)] * 2,
    )
    assert clock.left == "2:30"


def test_the_end_leaves_no_time():
    clock = clock_after(started(0, rounds=1), round_started(1, 0.0), *[site_done(8.0)] * 4)
    assert clock.left == "0:00"
    assert (clock.round_num, clock.sites_done, clock.cohort) == (1, 4, 4)


def test_plain_lines_tell_what_matters_in_a_log(capsys):
    display, clock = PlainDisplay(), Clock()
    for event in [
        {"event": "phase", "time": 0.0, "name": "prepare"},
        {"event": "preparing", "time": 0.0, "done": 3, "total": 9},
        started(1.0, rounds=2),
        {"event": "spooling", "time": 1.0, "name": "krum", "updates": 9, "bytes": 5 * 10**9},
        round_done(0, 1.0, loss=None),
        round_started(1, 2.0),
        site_done(3.0),
        site_done(4.0, images=0, outcome="refused", site_id="site-01"),
        site_done(5.0, images=0, outcome="missing", site_id="site-02"),
        site_done(6.0),
        round_done(1, 6.0, loss=0.1234, auroc=None),
        {"event": "resumed", "time": 7.0, "round": 1},
        {"event": "phase", "time": 7.0, "name": "test"},
        {"event": "finished", "time": 8.0, "macro_auroc": 0.8},
    ]:
        clock.take(event)
        display.show(event, clock)
    display.close()
    assert capsys.readouterr().err.splitlines() == [
        "Preparing data …",
        "Federation: 4 sites, 400 training images, 2 rounds",
        "Aggregator krum: the 9 updates of a round take 5.00 GB on disk",
        "Round 1: site-01 refused",
        "Round 1: site-02 missing",
        "Round 1/2: loss 0.123, val macro AUROC not defined, 50 images/s, 0:04 left",
        "Going on after round 1",
        "Scoring held-out patients …",
    ]


def test_no_round_is_promised_that_an_early_end_may_spare(capsys):
    display, clock = PlainDisplay(), Clock()
    events = [
        {**started(1.0, rounds=9), "may_stop": True},
        round_started(1, 2.0),
        *[site_done(6.0)] * 4,
        round_done(1, 6.0),
        {
            "event": "stopped_early",
            "time": 7.0,
            "round": 1,
            "stop_after": 1,
            "min_improvement": 0.01,
        },
    ]
    for event in events:
        clock.take(event)
        display.show(event, clock)
    assert capsys.readouterr().err.splitlines() == [
        "Federation: 4 sites, 400 training images, ≤9 rounds",
        "Round 1/≤9: loss 0.500, val macro AUROC 0.750, 100 images/s",
        "Stopped after round 1: val macro AUROC was not better by more than 0.01 for 1 rounds",
    ]
    assert clock.left == "0:00"


def test_the_live_display_takes_every_event(capsys):
    display, clock = LiveDisplay(), Clock()
    for event in [
        {"event": "phase", "time": 0.0, "name": "prepare"},
        {"event": "preparing", "time": 0.0, "done": 3, "total": 9},
        started(1.0, rounds=2),
        round_started(1, 2.0),
        site_done(3.0),
        round_done(1, 6.0),
        {"event": "interrupted", "time": 7.0, "why": "stopped by the user"},
        *[{"event": "phase", "time": 7.0, "name": name} for name in ("test", "explain", "report")],
    ]:
        clock.take(event)
        display.show(event, clock)
    display.close()
    assert "Round 1/2: loss 0.500, val macro AUROC 0.750" in capsys.readouterr().err


class Recorder:
    """A display that keeps what it is shown."""

    def __init__(self, enough=0):
        self.rounds, self.closed, self.reached = [], False, threading.Event()
        self.enough = enough

    def show(self, event, clock):
        """Keep the event's number."""
        self.rounds.append(event.get("round"))
        if len(self.rounds) == self.enough:
            self.reached.set()

    def close(self):
        """Remember."""
        self.closed = True


@pytest.fixture
def run(tmp_path, monkeypatch):
    monkeypatch.setattr(progress, "POLL_S", 0.005)
    return RunFolder.create(tmp_path, "x")


def test_a_follower_shows_each_event_once_and_the_last_before_it_ends(run):
    recorder = Recorder()
    with Follower(recorder) as follower:
        follower.follow(run)
        for number in range(20):
            run.event("round_done", round=number)
    assert recorder.rounds == list(range(20))
    assert recorder.closed


def test_a_follower_begins_at_the_end_of_the_log_as_it_is(run):
    run.event("round_done", round=1)
    recorder = Recorder()
    with Follower(recorder) as follower:
        follower.follow(run)
        run.event("round_done", round=2)
    assert recorder.rounds == [2]


def test_a_line_that_is_half_written_waits_for_its_end(run):
    recorder = Recorder(enough=1)
    log = run.path / "events.jsonl"
    with Follower(recorder) as follower:
        follower.follow(run)
        run.event("round_done", round=1)
        assert recorder.reached.wait(5.0)
        with log.open("a") as out:
            out.write('{"event": "round_done", "ti')
        with log.open("a") as out:
            out.write('me": 1.0, "round": 2}\n')
    assert recorder.rounds == [1, 2]


def test_a_follower_of_a_run_that_began_elsewhere_reads_all_of_its_log(run):
    run.event("round_done", round=1)
    recorder = Recorder()
    with Follower(recorder) as follower:
        follower.follow(run, from_begin=True)
        run.event("round_done", round=2)
    assert recorder.rounds == [1, 2]


def test_a_follower_that_followed_nothing_ends():
    recorder = Recorder()
    with Follower(recorder):
        pass
    assert recorder.closed


def test_quiet_shows_nothing(run, capsys):
    with progress_for(quiet=True) as follow:
        follow(run)
        run.event("phase", name="report")
    assert capsys.readouterr().err == ""


def test_lines_are_plain_where_the_output_is_no_terminal(run, capsys):
    with progress_for(quiet=False) as follow:
        follow(run)
        run.event("phase", name="report")
    assert capsys.readouterr().err == "Writing the report …\n"


def test_the_outcome_names_figure_interval_and_page(tmp_path, capsys):
    run = write_run(tmp_path / "run", labels=("Edema", "Fracture", "Mass"), num_sites=1)
    heat_maps = {
        "methods": {"gradcam": {"title": "Grad-CAM", "cells": None}},
        "hit_rate": {"gradcam": 1 / 3},
        "center_hit_rate": 0.125,
        "num_findings": 24,
        "files": [],
        "by_label": {},
        "left_out": {},
    }
    taken = {"asked": 3, "counted": 1, "missing": [2], "refused": [3], "skipped": []}
    change(
        run / "summary.json",
        macro_auroc=0.8,
        macro_auroc_ci=None,
        macro_labels=2,
        test_images=30,
        test_patients=20,
        heat_maps=heat_maps,
        seconds=61.2,
        participation={"site-00": taken},
    )
    print_outcome(run)
    assert capsys.readouterr().out.splitlines() == [
        "Global macro AUROC: 0.800, 2 of 3 labels, 30 images of 20 held-out patients",
        "site-00 took part in 1 of 3 rounds: missing in 2, refused in 3",
        "Grad-CAM peaks inside the box: 33.3% of 24 findings (image centre: 12.5%)",
        "Seconds: 62",
        f"Report: {run / 'report.html'}",
    ]


def test_the_outcome_names_sites_without_samples_and_copying_ones(tmp_path, capsys):
    def row(site_id, **numbers):
        return {"site_id": site_id, "made_in": 1, "numbers": numbers}

    run = write_run(tmp_path / "run", labels=("Edema", "Mass"), num_sites=1)
    made = [row("site-00", status=4), row("site-01", status=0, copy_p_pixel=0.002), row("site-02")]
    change(run / "summary.json", vae=made)
    print_outcome(run)
    said = capsys.readouterr().out.splitlines()
    assert "site-00 trained without samples: its VAE diverged; lower vae.learning_rate" in said
    assert (
        "The samples of site-01 copy training images: a smaller vae.latent or a larger vae.beta "
        "make that less likely, --vae-refuse-copies drops them"
    ) in said


def test_a_table_of_scores_says_why_one_is_not_defined(capsys):
    auroc = {
        "Edema": {"value": 0.75, "ci": [0.5, 0.9], "positives": 4, "negatives": 6, "reason": None},
        "Mass": {"value": None, "ci": None, "positives": 0, "negatives": 9, "reason": "one class"},
    }
    scores = {
        "auroc": auroc,
        "macro_auroc": 0.75,
        "macro_auroc_ci": [0.5, 0.9],
        "macro_labels": 1,
        "test_images": 10,
        "test_patients": 9,
        "not_scored": ["Hernia"],
        "left_out_images": 3,
    }
    print_scores(scores)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["Edema", "4", "/", "6", "0.750", "0.500–0.900"]
    assert lines[1].endswith("not defined  (one class)")
    assert lines[2] == (
        "Macro AUROC: 0.750 (95 % CI 0.500–0.900), 1 labels, 10 images of 9 patients"
    )
    assert lines[3] == "Left out: 3 images of patients that the run learned from"
    assert lines[4] == "Not in this data set: Hernia"


def with_vaes(*rounds):
    return {**started(0), "rounds": 4, "vae_rounds": list(rounds)}


def all_done(begin, end):
    return [site_done(begin + (end - begin) * (n + 1) / 4) for n in range(4)]


def test_a_round_with_vaes_does_not_stand_for_those_without():
    first = [with_vaes(1), round_started(1, 0.0), *all_done(0.0, 400.0), round_done(1, 400.0)]
    assert clock_after(*first).left == ""  # nothing is known of a round without VAEs yet
    clock = clock_after(*first, round_started(2, 400.0), *all_done(400.0, 410.0)[:2])
    assert clock.left == "0:25"  # half of round 2 took 5 s
    assert clock.images_per_second == 40.0  # and not 600 images in 405 s


def test_both_kinds_of_round_are_counted_where_vaes_are_made_anew():
    events = [with_vaes(1, 3), round_started(1, 0.0), *all_done(0.0, 100.0)]
    events += [round_started(2, 100.0), *all_done(100.0, 110.0)]
    assert clock_after(*events).left == "1:50"  # round 3 as the first, round 4 as the second
    events += [round_started(3, 110.0), *all_done(110.0, 310.0)]
    assert clock_after(*events).left == "0:10"


def test_lines_say_that_sites_make_their_vaes(capsys):
    display, clock = PlainDisplay(), Clock()
    for event in (with_vaes(1), round_started(1, 0.0), site_done(50.0), round_started(2, 60.0)):
        clock.take(event)
        display.show(event, clock)
    lines = capsys.readouterr().err.splitlines()[1:]
    assert lines == ["Round 1: each site trains its VAE first", "Round 1: 1 of 4 sites are done"]

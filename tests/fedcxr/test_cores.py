import os

import pytest

from fedcxr.cores import cores


@pytest.fixture(autouse=True)
def eight(monkeypatch):
    """The process may run on eight cores."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(8)), raising=False)


@pytest.fixture
def machine(tmp_path):
    """Write files below a made-up root and return it."""

    def make(files):
        for name, text in files.items():
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        return tmp_path

    return make


OWN = "proc/self/cgroup"
V2 = "sys/fs/cgroup"


def test_without_a_quota_it_is_what_the_process_may_run_on(machine, tmp_path):
    assert cores(tmp_path / "no-proc") == 8
    assert cores(machine({OWN: "0::/a\n", f"{V2}/a/cpu.max": "max 100000\n"})) == 8


@pytest.mark.parametrize(
    ("line", "number"),
    [
        ("150000 100000", 2),  # 1.5 cores
        ("100000 100000", 1),
        ("20000 100000", 1),  # a fifth of one
        ("300000 100000", 3),
        ("25000 10000", 3),
        ("1600000 100000", 8),  # more than the process may run on
        ("max", 8),
        ("garbage", 8),
        ("", 8),
        ("200000 0", 8),
    ],
)
def test_a_quota_is_rounded_up_and_never_above_the_affinity(machine, line, number):
    assert cores(machine({OWN: "0::/\n", f"{V2}/cpu.max": f"{line}\n"})) == number


def test_the_narrowest_of_the_groups_above_counts(machine):
    root = machine(
        {
            OWN: "0::/batch.slice/job7/step0\n",
            f"{V2}/batch.slice/cpu.max": "700000 100000\n",
            f"{V2}/batch.slice/job7/cpu.max": "250000 100000\n",
            f"{V2}/batch.slice/job7/step0/cpu.max": "max 100000\n",
            f"{V2}/batch.slice/job8/cpu.max": "100000 100000\n",  # another's
        }
    )
    assert cores(root) == 3


V1 = "9:cpuset:/\n4:cpu,cpuacct:/docker/ab12\n2:memory:/docker/ab12\n1:name=systemd:/docker/ab12\n"


def of_version_1(folder, quota, period="100000"):
    return {
        OWN: V1,
        f"{V2}/{folder}/cpu.cfs_quota_us": f"{quota}\n",
        f"{V2}/{folder}/cpu.cfs_period_us": f"{period}\n",
    }


@pytest.mark.parametrize(
    "folder", ["cpu,cpuacct/docker/ab12", "cpu/docker/ab12", "cpu,cpuacct", "cpu", "cpu/docker"]
)
def test_version_1_is_obeyed_on_the_host_and_in_the_container(machine, folder):
    # In a container the path is the host's, and what is mounted is the container's own group.
    assert cores(machine(of_version_1(folder, "350000"))) == 4


def test_version_1_says_minus_one_for_no_quota(machine):
    assert cores(machine(of_version_1("cpu", "-1"))) == 8


def test_the_quota_of_another_controller_is_not_looked_at(machine):
    assert cores(machine(of_version_1("memory/docker/ab12", "100000"))) == 8


def test_a_group_outside_the_container_is_that_of_the_mount(machine):
    files = {OWN: "0::/../../x\n", f"{V2}/cpu.max": "200000 100000\n", "x/cpu.max": "1 1\n"}
    assert cores(machine(files)) == 2


def test_this_machine_has_a_number():
    assert 1 <= cores() <= 8

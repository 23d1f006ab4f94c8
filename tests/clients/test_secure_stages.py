"""A site in a session of secure aggregation: what it keeps, answers once, and refuses."""

import stat

import numpy as np
import pytest

from clients.secure_stages import secure_site
from clients.secure_state import newest_state, write_state
from fedcxr.config.task import SecureTask
from fedcxr.errors import ArtefactError, RunError
from fedcxr.secagg.messages import StageOrder
from fedcxr.secagg.statement import Statement, check_signature

SITES = ("site-00", "site-01", "site-02", "site-03")
TASK = SecureTask(most_weight=100, sites=4, trained_range=1.0, buffer_range=10.0)
VALUES = np.arange(50, dtype=np.uint32)


class Sites:
    """Four sites, and what the server has of them."""

    def __init__(self, place):
        self.place = place

    def at(self, site_id, stage, session="s", **said):
        order = StageOrder(stage=stage, session=session, circle=said.pop("circle", SITES), **said)
        folder = self.place / site_id
        return secure_site(folder, site_id, "a-run", 1, task=TASK, said=order)

    def advertise(self, session="s"):
        found = {n: self.at(n, "advertise", session).answer().keys for n in SITES}
        return {n: {m: row for m, row in found.items() if m != n} for n in SITES}

    def share(self, keys, session="s"):
        return {n: self.at(n, "share", session, advertised=keys[n]).answer().sealed for n in SITES}

    def boxes(self, sealed, site_id):
        return {n: boxes[site_id] for n, boxes in sealed.items() if n != site_id}

    def mask(self, sealed, site_id, values=VALUES, session="s"):
        site = self.at(site_id, "mask", session, sealed=self.boxes(sealed, site_id))
        site.open()
        return site.mask(values.copy())

    def through(self, session="s"):
        """Go through all stages but the last."""
        sealed = self.share(self.advertise(session), session)
        return sum(self.mask(sealed, n, session=session) for n in SITES)

    def reveal(self, site_id, survivors=SITES, dropped=(), session="s"):
        said = {"survivors": survivors, "dropped": dropped}
        return self.at(site_id, "reveal", session, **said).answer()


@pytest.fixture
def sites(tmp_path):
    return Sites(tmp_path)


def test_secrets_lie_in_a_file_that_only_the_owner_reads_and_go_with_the_last_stage(sites):
    sites.through()
    (file,) = (sites.place / "site-00").iterdir()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    secrets = newest_state(file.parent).own_secrets()
    assert secrets.seed.hex() in file.read_text()
    sites.reveal("site-00")
    left = file.read_text()
    for secret in (secrets.seed, secrets.mask_private, secrets.seal_private):
        assert secret.hex() not in left


def test_a_question_that_comes_twice_gets_the_same_answer(sites):
    keys = sites.advertise()
    assert sites.advertise() == keys
    sealed = sites.share(keys)
    assert sites.share(keys) == sealed
    np.testing.assert_array_equal(sites.mask(sealed, "site-00"), sites.mask(sealed, "site-00"))
    assert sites.reveal("site-00") == sites.reveal("site-00")


def test_a_site_answers_one_request_to_unmask(sites):
    sites.through()
    sites.reveal("site-00")
    with pytest.raises(RunError, match="asks to unmask twice"):
        sites.reveal("site-00", SITES[:3], SITES[3:])
    with pytest.raises(RunError, match="this session of secure aggregation is over"):
        sites.at("site-00", "advertise").answer()


def test_a_site_does_not_unmask_what_it_has_not_sent(sites):
    sites.share(sites.advertise())
    with pytest.raises(RunError, match="before the site has sent its values"):
        sites.reveal("site-00")


def test_no_other_values_leave_under_the_same_masks(sites):
    sealed = sites.share(sites.advertise())
    sites.mask(sealed, "site-00")
    with pytest.raises(RunError, match="masked other values"):
        sites.mask(sealed, "site-00", VALUES + np.uint32(1))


def test_other_keys_shares_or_sites_in_a_session_are_refused(sites):
    keys = sites.advertise()
    sealed = sites.share(keys)
    fewer = dict(list(keys["site-00"].items())[:2])
    with pytest.raises(RunError, match="other keys than before"):
        sites.at("site-00", "share", advertised=fewer).answer()
    circle = SITES[::-1]
    with pytest.raises(RunError, match="names other sites than before"):
        sites.at("site-00", "share", circle=circle, advertised=keys["site-00"]).answer()
    sites.mask(sealed, "site-00")
    boxes = sites.boxes(sealed, "site-00")
    less = {n: boxes[n] for n in ("site-01", "site-02")}
    with pytest.raises(RunError, match="passes on other shares"):
        sites.at("site-00", "mask", sealed=less).open()


def test_stages_come_in_order_and_in_their_own_session(sites):
    keys = sites.advertise()
    with pytest.raises(RunError, match="before secrets were shared"):
        sites.at("site-00", "mask", sealed={}).open()
    with pytest.raises(RunError, match="not ours"):
        sites.at("site-00", "share", "another", advertised=keys["site-00"]).answer()
    with pytest.raises(RunError, match="does not go with the message"):
        sites.at("site-00", "mask").answer()


def test_a_new_session_has_new_keys_and_ends_the_one_before(sites):
    before = sites.advertise("first")
    sealed = sites.share(before, "first")
    after = sites.advertise("second")
    assert before["site-00"] != after["site-00"]
    with pytest.raises(RunError, match="not ours"):
        sites.mask(sealed, "site-00", session="first")


def test_more_sites_than_the_task_says_or_a_circle_without_the_site_are_refused(sites):
    with pytest.raises(RunError, match="more sites than its task says"):
        sites.at("site-00", "advertise", circle=(*SITES, "site-04"))
    with pytest.raises(RunError, match="does not take part"):
        sites.at("site-00", "advertise", circle=SITES[1:])


def test_a_damaged_state_is_told_by_name(sites):
    sites.advertise()
    (file,) = (sites.place / "site-00").iterdir()
    file.write_text("{")
    with pytest.raises(ArtefactError, match=r"secure-round\.json: damaged"):
        sites.at("site-00", "advertise").answer()


def test_the_key_to_sign_with_and_the_usual_lengths_go_over_to_the_next_session(sites):
    def sign(round_num, session, lengths):
        order = StageOrder(stage="mask", session=session, circle=SITES)
        site = secure_site(
            sites.place / "site-00", "site-00", "a-run", round_num, task=TASK, said=order
        )
        return site, site.signed(("finite",), lengths)

    def begin(round_num, session):
        first = sites.at("site-00", "advertise", session).answer()
        sites.share(sites.advertise(session), session)
        state = newest_state(sites.place / "site-00")
        write_state(sites.place / "site-00", state.model_copy(update={"masked_sha256": "0" * 64}))
        return first.identity

    identity = begin(1, "s")
    site, said = sign(1, "s", (2.0, 5.0))
    assert site.usual_lengths() is None  # of this round alone there is nothing before
    assert site.signed(("finite",), (2.0, 5.0)) == said  # asked again, the same
    statement = Statement("a-run", 1, "s", "site-00", ("finite",), "0" * 64)
    check_signature(identity, statement, said.signature)
    assert begin(2, "t") == identity
    site, _ = sign(2, "t", (4.0, 7.0))
    assert site.usual_lengths() == (2.0, 5.0)
    assert begin(3, "u") == identity
    site, _ = sign(3, "u", (100.0, 100.0))
    assert site.usual_lengths() == (3.0, 6.0)
    begin(2, "v")  # the server went back: what came later is of another history
    site, _ = sign(2, "v", (4.0, 7.0))
    assert set(newest_state(site.folder).lengths) == {1, 2}


def test_a_kit_without_its_key_is_told_by_name(sites):
    order = StageOrder(stage="advertise", session="s", circle=SITES)
    key = sites.place / "node.key"
    site = secure_site(
        sites.place / "site-00", "site-00", "a-run", 1, task=TASK, said=order, node_key=key
    )
    with pytest.raises(ArtefactError, match=r"node\.key: cannot be read"):
        site.answer()
    key.write_text("not a key")
    with pytest.raises(ArtefactError, match=r"node\.key is damaged"):
        site.answer()

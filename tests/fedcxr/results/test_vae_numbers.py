"""What sites said of their VAEs, as typed values."""

from typing import get_args

import pytest
from pydantic import ValidationError

from fedcxr.config.vae import VAE_NUMBERS, VaeNumber, VaeStatus
from fedcxr.results.vae_numbers import VaeNumbers, site_vaes


def test_every_number_on_the_list_has_a_field_and_the_other_way_round():
    fields = {f"vae-{name.replace('_', '-')}" for name in VaeNumbers.model_fields}
    assert fields == set(VAE_NUMBERS) == set(get_args(VaeNumber))


def test_numbers_of_a_reply_are_checked():
    found = VaeNumbers.from_wire({"vae-status": 0.0, "vae-kl": 3.5, "num-examples": 9})
    assert (found.status, found.kl, found.elbo) == (0, 3.5, None)
    for wrong in ({"vae-status": 7.0}, {"vae-copy-p-pixel": 1.5}, {"vae-samples": -1.0}):
        with pytest.raises(ValidationError):
            VaeNumbers.from_wire(wrong)


@pytest.mark.parametrize("status", VaeStatus)
def test_each_outcome_has_its_words(status):
    words = VaeNumbers(status=int(status)).status_words()
    assert words.startswith(("trained", "had"))
    assert ("diverged" in words) == (status is VaeStatus.DIVERGED)
    assert VaeNumbers().status_words() == "said nothing of a VAE"


def test_a_small_p_value_in_either_space_is_copying():
    assert VaeNumbers(copy_p_pixel=0.002, copy_p_feature=0.5).is_copying
    assert not VaeNumbers(copy_p_pixel=0.02).is_copying
    assert not VaeNumbers().is_copying


def test_the_newest_vae_of_each_site_counts():
    def line(round_num, **by_site):
        rows = [
            {"site_id": site, **({} if kl is None else {"vae": VaeNumbers(kl=kl).model_dump()})}
            for site, kl in by_site.items()
        ]
        return {"round": round_num, "sites": rows}

    found = site_vaes([line(0), line(1, b=1.0), line(2, a=2.0, b=None), line(3, a=4.0)])
    assert [(vae.site_id, vae.made_in, vae.numbers.kl) for vae in found] == [
        ("a", 3, 4.0),
        ("b", 1, 1.0),
    ]

"""What is said of a run's ε."""

from fedcxr.report.privacy_words import PROMISES, _among_sites, epsilon_words, privacy_line
from fedcxr.results.run_privacy import RunEpsilon, RunPrivacy

BY_EPSILON = RunPrivacy(level="patient", epsilon=8.0, delta=None, clip=1.0)
BY_NOISE = RunPrivacy(level="patient", epsilon=None, delta=1e-4, clip=1.0)


def test_both_accountants_and_delta_are_named():
    words = epsilon_words(BY_NOISE, RunEpsilon(rdp=2.93, prv=1.93))

    assert words == "ε = 2.93 by RDP, 1.93 by PRV, at δ = 0.0001"


def test_a_prv_that_was_not_computed_is_said():
    assert "2.93 by RDP, not computed by PRV" in epsilon_words(
        BY_NOISE, RunEpsilon(rdp=2.93, prv=None)
    )


def test_of_real_sites_what_was_asked_for_is_said():
    assert epsilon_words(BY_EPSILON, None).startswith("ε ≤ 8 at each site, which keeps its own")
    assert epsilon_words(BY_NOISE, None).startswith("each site's own account says its ε")


def test_whose_and_against_whom_stands_beside_every_epsilon():
    line = privacy_line(BY_EPSILON, None)

    assert "protected is one patient with all images at one site" in line
    assert "against whoever sees that site's updates" in line


def test_of_sums_with_central_noise_it_is_said_what_holds_against_whom():
    (fact,) = _among_sites(RunEpsilon(rdp=9.5, prv=None))
    assert fact.name == "Against a site that takes part"
    assert "9.5 by RDP, not computed by PRV" in fact.value
    assert _among_sites(None) == []
    assert "exact sum before the noise" in PROMISES["client, summed"].not_covered

import sys
from types import SimpleNamespace

import pytest
from flwr.app import Context, RecordDict, UserConfig

from clients.locate import locate_from_context, locate_in_run
from fedcxr.config.kit import ServerKitConfig, SiteKitConfig, SiteLimits, kit_yaml
from fedcxr.config.vae import VAE_NUMBERS
from fedcxr.errors import ArtefactError, ConfigError
from fedcxr.runs.folder import RunFolder


def context_of(**node):
    return Context(7, 1, UserConfig(node), RecordDict(), UserConfig())


def test_the_node_config_names_the_sites_folder(tmp_path):
    (tmp_path / "site.csv").write_text("")
    location = locate_from_context(context_of(**{"site-dir": str(tmp_path)}))
    assert location.table == tmp_path / "site.csv"


def test_a_kit_names_the_site_whatever_its_folder_is_called(tmp_path):
    (tmp_path / "site.csv").write_text("")
    limits = SiteLimits(local_epochs=2)
    said = SiteKitConfig(site="charite", server="a:1", vae_numbers="vae-kl", limits=limits)
    (tmp_path / "kit.yaml").write_text(kit_yaml(said))
    found = locate_from_context(context_of(**{"site-dir": str(tmp_path), "kit": str(tmp_path)}))
    assert (found.site_id, found.vae_numbers, found.limits) == ("charite", ("vae-kl",), limits)
    assert locate_from_context(context_of(**{"site-dir": str(tmp_path)})).site_id == tmp_path.name


def test_a_servers_kit_is_none_of_a_site(tmp_path):
    (tmp_path / "site.csv").write_text("")
    (tmp_path / "kit.yaml").write_text(kit_yaml(ServerKitConfig(address="a:1")))
    with pytest.raises(ConfigError, match=r"the kit of the server\. Give that of a site"):
        locate_from_context(context_of(**{"site-dir": str(tmp_path), "kit": str(tmp_path)}))


def test_a_node_without_a_site_dir_is_told_how_to_start(monkeypatch):
    monkeypatch.delitem(sys.modules, "ray", raising=False)
    with pytest.raises(ConfigError, match=r"no site-dir\. Start the SuperNode with --node-config"):
        locate_from_context(context_of())


def test_a_servers_run_config_cannot_point_a_real_site_anywhere(monkeypatch):
    # Outside a simulation a partition-id is worth nothing, even beside a whole run config.
    monkeypatch.setitem(sys.modules, "ray", SimpleNamespace(is_initialized=lambda: False))
    with pytest.raises(ConfigError, match="no site-dir"):
        locate_from_context(context_of(**{"partition-id": 0, "num-partitions": 3}))


def test_a_simulated_node_needs_its_number(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", SimpleNamespace(is_initialized=lambda: True))
    with pytest.raises(ConfigError, match="no site-dir"):
        locate_from_context(context_of(**{"partition-id": "one"}))


def test_a_node_of_our_own_engine_finds_its_site_in_the_run(tmp_path, fedcxr_home):
    run = RunFolder.create(tmp_path, "x")
    run.write_json("manifest.json", {"cache_digest": "abc"})
    (run.path / "partition" / "sites").mkdir(parents=True)
    for number in range(2):
        (run.path / "partition" / "sites" / f"site-{number:02d}.csv").write_text("")
    location = locate_in_run(run.path, context_of(**{"partition-id": 1}))
    assert location.site_id == "site-01"
    assert location.cache == fedcxr_home / "cache" / "abc"
    assert location.state == run.path / "site-state" / "site-01"
    assert location.own_images.is_relative_to(fedcxr_home / "site-state")
    assert location.vae_numbers is None


def test_a_run_without_a_manifest_is_an_artefact_error(tmp_path):
    with pytest.raises(ArtefactError, match="not a run folder"):
        locate_in_run(tmp_path, context_of(**{"partition-id": 0}))


def test_a_real_sites_owner_says_which_numbers_of_its_vae_leave(tmp_path):
    (tmp_path / "site.csv").write_text("")

    def allowed(**config):
        return locate_from_context(context_of(**{"site-dir": str(tmp_path), **config})).vae_numbers

    assert allowed() == allowed(**{"vae-numbers": "none"}) == ()
    assert allowed(**{"vae-numbers": "vae-kl, vae-status"}) == ("vae-kl", "vae-status")
    assert allowed(**{"vae-numbers": "all"}) == VAE_NUMBERS
    with pytest.raises(ConfigError, match=r"vae-numbers in the node config: vae-pixels is no"):
        allowed(**{"vae-numbers": "vae-kl,vae-pixels"})

import json
from pathlib import Path

from commands import assert_one_line


class TestInspect:
    def test_json_stands_alone(self, run_cli, make_checkpoint):
        path = make_checkpoint()
        code, text, err = run_cli("inspect", path, "--json")
        assert (code, err) == (0, "")
        facts = json.loads(text)
        wanted = (
            "format sha256 num_quantizers nb_code code_dim input_dim stride shared_codebook ema_counts config notes"
        )
        assert set(wanted.split()) <= set(facts)

    def test_text_for_people(self, run_cli, make_checkpoint):
        code, text, _ = run_cli("inspect", make_checkpoint())
        assert code == 0
        assert "3 x 16 codes x 8 dimensions" in text

    def test_what_is_no_checkpoint(self, run_cli, tmp_path):
        code, text, err = run_cli("inspect", tmp_path)
        assert (code, text) == (2, "")
        assert_one_line(err, str(tmp_path), "a folder")

    def test_a_folder_that_may_not_be_listed(self, run_cli, tmp_path, monkeypatch):
        def refuse(folder):
            raise PermissionError(13, "Permission denied", str(folder))

        monkeypatch.setattr(Path, "iterdir", refuse)  # root, who may run the tests, is never refused
        code, text, err = run_cli("inspect", tmp_path)
        assert (code, text) == (2, "")
        assert_one_line(err, f"{tmp_path}: expected a readable folder, found Permission denied; check its permissions")

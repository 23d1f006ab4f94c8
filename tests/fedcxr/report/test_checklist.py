"""The reporting checklists: complete, answered where the result knows, open elsewhere."""

from inspect import isfunction

from comparison_example import example
from fake_run import write_run

from fedcxr.report import checklist_answers
from fedcxr.report.checklist import checklist, items
from fedcxr.results.reading import read_result

CLAIM, TRIPOD = "CLAIM 2024", "TRIPOD+AI"


def rows_of(result, guideline=CLAIM):
    return {row[0]: row for row in checklist(result).only("guideline", guideline).rows}


def test_the_checklists_have_every_item_once():
    claim = [each["item"] for each in items() if each["guideline"] == CLAIM]
    assert claim == [str(number) for number in range(1, 45)]
    tripod = [each["item"] for each in items() if each["guideline"] == TRIPOD]
    assert len(tripod) == len(set(tripod)) == 52
    assert {int(number.rstrip("abcdefg")) for number in tripod} == set(range(1, 28))


def test_every_answer_is_asked_for_and_every_item_has_known_keys():
    named = {each["answer"] for each in items() if "answer" in each}
    public = {
        name
        for name, value in vars(checklist_answers).items()
        if isfunction(value) and value.__module__ == checklist_answers.__name__ and name[0] != "_"
    }
    assert named == public
    known = {"guideline", "item", "asks", "answer", "says", "needs", "still_open"}
    assert {key for each in items() for key in each} == known
    assert not any("answer" in each and "says" in each for each in items())
    assert all("answer" in each or "says" in each for each in items() if "still_open" in each)


def test_it_says_what_the_result_knows_and_leaves_the_rest_open():
    rows = rows_of(example(labels=("Atelectasis", "Edema")))
    assert rows["6"][2:4] == (
        "filled in",
        "Test of non-inferiority of Federated (FedAvg) to Centralized, margin 0.01 in macro AUROC "
        "fixed beforehand.",
    )
    assert rows["21"][2] == "partly"
    assert "About 1,500 such patients" in rows["21"][3]
    assert "Student's t over patients and trainings" in rows["29"][3]
    assert rows["44"][2:] == ("open", "", "")


def test_a_run_answers_what_its_files_tell_and_promises_no_more(tmp_path):
    rows = rows_of(read_result(write_run(tmp_path / "run", labels=["Edema"], num_sites=2)))
    assert rows["29"][3] == "95 % intervals: Student's t over patients."
    assert rows["28"][3].startswith("AUROC and average precision, by label and macro, sensitivity")
    assert rows["39"][2:4] == ("partly", "Confusion matrices by label at each operating point.")
    for item in ("4", "6", "30"):
        assert rows[item][2] == "open", item

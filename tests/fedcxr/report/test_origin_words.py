import pytest

from fedcxr.data.origin import DrawnPart, FoldPart, OfficialPart, TestSet
from fedcxr.data.records import OfficialSet
from fedcxr.report.origin_words import notes_of, notes_of_official, split_words

VALID = OfficialSet("test", "chexpert-valid", ("valid.csv",), "chexpert")
LIST = OfficialSet("test", "nih-test-list", ("test_list.txt",), "nih14")
BESIDE = OfficialSet("val", "chexpert-valid", ("valid.csv",), "chexpert")


def a_test(kind, *files):
    return OfficialPart(OfficialSet("test", kind, files, "here"), 3)


@pytest.mark.parametrize(
    ("part", "sentence", "words"),
    [
        (
            OfficialPart(VALID, 200),
            "The test set is valid.csv, the official valid set; it is never used to choose.",
            "valid.csv, the official valid set",
        ),
        (
            OfficialPart(LIST, 200),
            "The test set is NIH's official test list.",
            "NIH's official test list",
        ),
        (
            a_test("chexpert-test-2022", "groundtruth.csv"),
            "The test set is groundtruth.csv, CheXpert's 2022 test set.",
            "groundtruth.csv, CheXpert's 2022 test set",
        ),
        (
            a_test("nih-unlisted", "train_val_list.txt"),
            "The test set is the images that train_val_list.txt does not name.",
            "the images that train_val_list.txt does not name",
        ),
        (a_test("table", "a.csv", "{b}.csv"), "The test set is a.csv, {b}.csv.", "a.csv, {b}.csv"),
        (a_test("table"), "The test set is the official test set.", "the official test set"),
        (
            DrawnPart("nih14", 0.2, 12, 1060),
            "The test set is drawn from the patients: 12 of 1,060.",
            "own random split of patients",
        ),
        (
            FoldPart(4, 5, 10, 52),
            "The test set is fold 4 of 0 to 4: 10 of 52 patients.",
            "one of 5 equal parts of the patients, drawn at random",
        ),
    ],
)
def test_each_origin_has_its_sentence_and_its_few_words(part, sentence, words):
    assert notes_of(TestSet((part,))) == [sentence]
    assert split_words(TestSet((part,))) == words


def test_each_source_of_joined_data_is_named():
    joined = TestSet((DrawnPart("chexpert", 0.2, 1, 5), OfficialPart(LIST, 3)))
    assert notes_of(joined) == [
        "chexpert: The test set is drawn from the patients: 1 of 5.",
        "nih14: The test set is NIH's official test list.",
    ]
    assert split_words(joined) == "own random split of patients; NIH's official test list"


def test_what_is_left_out_is_told():
    test = OfficialPart(OfficialSet("test", "chexpert-test-2022", ("g.csv",), "chexpert"), 3)
    told = "Left out: valid.csv, the official valid set; validation patients are drawn from the"
    assert notes_of(TestSet((test,), (BESIDE,)))[1].startswith(told)
    fold = TestSet((FoldPart(0, 5, 10, 52),), (VALID, LIST))
    assert notes_of(fold)[1:] == [
        "chexpert: Left out of the cross-validation: valid.csv, the official valid set.",
        "nih14: Left out of the cross-validation: NIH's official test list.",
    ]


def test_without_a_partition_the_official_sets_are_told():
    assert notes_of_official([VALID]) == [
        "The test set is valid.csv, the official valid set; it is never used to choose."
    ]
    assert notes_of_official([]) == [
        "There is no official test set: a run draws its test patients."
    ]
    assert len(notes_of_official([BESIDE])) == 2


def test_a_test_set_that_is_not_known_has_no_words():
    assert split_words(None) == ""

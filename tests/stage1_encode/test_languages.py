"""Text of many scripts through stage one and stage two: Korean, Chinese, Japanese, Thai, and from right to left."""

import json
import re
import subprocess
import sys
from itertools import product
from string import ascii_lowercase

import pytest

from tests.conftest import ROOT
from tests.pipeline.ran import run_here
from tests.stage1_encode.runs import config_of, files_of, run, texts_of, write_lines
from x2static.durable.errors import X2StaticError
from x2static.schemas.cache import Cache
from x2static.schemas.segmentation import LIBRARIES, Library
from x2static.schemas.vectors import WordVectors
from x2static.stage1_encode.text.languages import TWO_LETTERS, check_language, warn_of_script
from x2static.stage1_encode.text.segmentation import SPACELESS, log_words

TEXTS = {
    "ko": [
        "서울은 대한민국의 수도이다. 한강이 도시를 가로지른다. 인구는 약 940만 명이다.",
        "학생은 도서관에서 책을 읽는다. 그는 IT 회사에서 일한다! 오늘은 날씨가 좋다.",
    ],
    "zh": [
        "我昨天在图书馆看了一本关于历史的书。北京是中国的首都。今天天气很好！",
        "科学家发现了一种新的方法。他们正在研究生命的起源。你知道Python吗？",
    ],
    "ja": [
        "東京は日本の首都である。人口は約1400万人だ。電車が速い！",
        "彼女は新しいコンピューターを買った。これはPythonの本です。学生は本を読みました。",
    ],
    "th": [
        "เมื่อวานนี้ฉันไปอ่านประวัติศาสตร์ที่ห้องสมุดของมหาวิทยาลัยใหญ่ กรุงเทพมหานครเป็นเมืองหลวงของประเทศไทยและมีประชากรมาก",
        "นักวิทยาศาสตร์ค้นพบวิธีใหม่ในการวัดระยะทางระหว่างดวงดาวที่อยู่ไกลมาก นักเรียนเขียนโปรแกรมภาษา Python ในปี 2563",
    ],
    "ar": [
        "القاهرة عاصمة مصر. زار الطلاب المتحف الكبير أمس. هل زرت المتحف؟",
        "قرأت كتابًا عن تاريخ Berlin في المكتبة. كان الجو جميلا! ذهبنا إلى الحديقة.",
    ],
}
# Those that a reader of the language would name.
WORDS = {
    "ko": ["서울은", "도서관에서", "940만", "it"],
    "zh": ["图书馆", "科学家", "python"],
    "ja": ["東京", "コンピューター", "python"],
    "th": ["ห้องสมุด", "นักวิทยาศาสตร์", "python"],
    "ar": ["المتحف", "المكتبة", "berlin", "؟"],
}


@pytest.mark.parametrize("language", TEXTS)
def test_words_of_every_language_are_encoded_and_vectors_split_like_the_cache(readers, forks, tmp_path, language, log):
    texts = TEXTS[language]
    corpus = write_lines(tmp_path / "corpus.txt", texts)
    run(readers("roberta").teacher.folder, corpus, tmp_path / "cache", unit=1, language=language, min_sentences=2)
    rules = Cache.open(tmp_path / "cache").segmentation()
    assert (f"words: cut by {rules.name}" in log.messages) is (language in SPACELESS)
    if language in SPACELESS:
        assert json.loads(rules.rules)["versions"] == LIBRARIES[SPACELESS[language].segmenter].versions
    rows = texts_of(tmp_path / "cache")
    assert len(rows) >= 2 * len(texts)  # sentences: the filter dropped none of the paragraphs
    assert " ".join(rows).split(" ") == [word for text in texts for word in rules.split(text)]
    assert not set(WORDS[language]) - set(" ".join(rows).split(" "))
    run_folder = tmp_path / "run"
    training = ("--objective", "closed-form", "--min-count", "1")
    forks.succeed("train", "--cache", str(tmp_path / "cache"), "--out", str(run_folder), *training)
    vectors = WordVectors.load(run_folder)
    assert vectors.split(texts[0]) == rules.split(texts[0])
    assert all(word in vectors for text in texts for word in vectors.split(text))


def test_training_on_segmented_words_needs_no_segmenter(teacher, tmp_path):
    corpus = write_lines(tmp_path / "corpus.txt", TEXTS["zh"])
    run(teacher, corpus, tmp_path / "cache", language="zh")
    without = (
        "import sys\n"
        "for name in ('rjieba', 'sudachipy', 'pythainlp', 'tokenizers'): sys.modules[name] = None\n"
        "from x2static.pipeline.cli import run\n"
        "sys.exit(run(sys.argv[1:]))"
    )
    command = ["train", "--cache", str(tmp_path / "cache"), "--out", str(tmp_path / "run"), "--min-count", "1"]
    command += ["--subsample", "0"]
    training = subprocess.run([sys.executable, "-c", without, *command], cwd=ROOT, capture_output=True, text=True)
    assert training.returncode == 0, training.stderr
    assert WordVectors.load(tmp_path / "run").split("图书馆的书") == ["图书馆", "的", "书"]


def test_a_cache_begun_with_the_library_is_not_gone_on_with_without_it(teacher, tmp_path, monkeypatch):
    corpus = write_lines(tmp_path / "corpus.txt", TEXTS["zh"])
    run(teacher, corpus, tmp_path / "cache", language="zh", limit=1)
    before = files_of(tmp_path / "cache")
    monkeypatch.setitem(LIBRARIES, "rjieba", Library(("no-such-package",), lambda hmm: list))
    with pytest.raises(X2StaticError, match=r"words are cut by: rjieba [\d.]+ != rules of the tokenizers library"):
        run(teacher, corpus, tmp_path / "cache", language="zh")
    assert files_of(tmp_path / "cache") == before


@pytest.mark.usefixtures("without_segmenters")
@pytest.mark.parametrize("language", SPACELESS)
def test_without_the_library_the_log_says_what_a_word_is_then(caplog, language):
    log_words(None, language)
    (message,) = caplog.messages
    expected = r"words: .*by itself.*is-not-called-so is not installed; .*-m pip install .*\[%s\]'"
    assert re.match(expected % language, message)


NAMED = {"jp": "ja", "cn": "zh", "gr": "el", "cz": "cs", "dk": "da", "ua": "uk", "ger": "de", "cmn": "zh"}
NAMED |= {"english": "en"} | {three: two for two, three in TWO_LETTERS.items()}
ALL_OF_TWO = ["".join(pair) for pair in product(ascii_lowercase, repeat=2)]


def test_a_code_that_is_none_here_is_refused_with_the_one_that_was_meant():
    for code, meant in NAMED.items():
        with pytest.raises(X2StaticError, match=f"^--language {code}: .* this language is {meant}$"):
            check_language(code)


def test_two_letters_are_a_language_of_iso_639_1_or_refused():
    for code in ALL_OF_TWO:
        if code in TWO_LETTERS:
            check_language(code)
        else:
            with pytest.raises(X2StaticError, match=f"^--language {code}: "):
                check_language(code)


def test_a_code_that_is_more_often_a_countrys_is_warned_of(log):
    check_language("kr")
    assert set(log.messages) == {"--language kr is Kanuri; Korean is ko"}  # pytest may see it twice


@pytest.mark.parametrize("code", ["en-GB", "EN", "en_us", "en-Latn-US"])
def test_a_region_changes_nothing(code, tmp_path):
    assert config_of(tmp_path, "any.txt", tmp_path, language=code).language == "en"


@pytest.mark.parametrize("code", ["jp", "xx", "english"])
def test_no_cache_is_begun_with_an_unknown_language(code, tmp_path, capsys):
    corpus = write_lines(tmp_path / "corpus.txt", TEXTS["ja"])
    options = ["--model", tmp_path, "--corpus", corpus, "--cache", tmp_path / "cache", "--language", code]
    done = run_here(capsys, ["encode", *options])
    assert (done.status, (tmp_path / "cache").exists()) == (1, False)
    assert f"error: --language {code}: " in done.err


UNPARTED = {
    script: (code, TEXTS[code]) for script, code in {"Chinese": "zh", "Japanese": "ja", "Thai": "th"}.items()
} | {
    "Lao": (None, ["ນະຄອນຫຼວງວຽງຈັນເປັນເມືອງຫຼວງຂອງລາວ"]),
    "Khmer": (None, ["ភ្នំពេញជារាជធានីនៃប្រទេសកម្ពុជា។"]),
    "Burmese": (None, ["ရန်ကုန်မြို့သည်မြန်မာနိုင်ငံ၏အကြီးဆုံးမြို့ဖြစ်သည်။"]),
}
ENGLISH = "the quick brown fox jumps over the lazy dog in the park."


@pytest.mark.parametrize("script", UNPARTED)
@pytest.mark.parametrize("others", [0, 1])
def test_text_without_spaces_read_as_english_is_warned_of_once_with_what_cuts_it(script, others, log):
    code, texts = UNPARTED[script]
    warn_of_script("texts.txt", texts + [ENGLISH] * others, "en", None)
    (said,) = set(log.messages)
    assert f"texts.txt: much of it is {script} ('{texts[0][:5]}" in said
    assert (f"--language {code}, in another --cache" if code else "spaces put between them") in said
    log.clear()
    warn_of_script("texts.txt", texts, code or "lo", None)
    assert not log.messages


@pytest.mark.parametrize(
    "texts",
    [
        *([text] for code in ("ko", "ar") for text in TEXTS[code]),
        [],
        [ENGLISH],
        [ENGLISH, "東京"],
        ["123 . !"],
        ["ห้อง สมุด ของ มหา วิทยา ลัย"],
    ],
)
def test_text_with_spaces_is_not_warned_of(texts, log):
    warn_of_script("texts.txt", texts, "en", None)
    assert not log.messages


def test_words_of_the_paper_are_those_between_spaces_in_any_language(log):
    warn_of_script("texts.txt", TEXTS["zh"], "zh", "paper")
    assert "spaces put between them" in log.messages[0]
    log.clear()
    warn_of_script("texts.txt", ["我 昨天 在 图书馆 看 了 一 本 书 。"], "zh", "paper")
    assert not log.messages


def test_encoding_japanese_as_english_says_so_once(teacher, tmp_path, log):
    corpus = write_lines(tmp_path / "corpus.txt", TEXTS["ja"] * 2)
    run(teacher, corpus, tmp_path / "cache", unit=2)
    assert any(f"{corpus}: much of it is Japanese" in message for message in log.messages)
    log.clear()
    run(teacher, corpus, tmp_path / "cache", unit=2)
    assert not any("much of it" in message for message in log.messages)

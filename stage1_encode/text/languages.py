"""Languages by their codes: what --language takes, and what is said of a code, or a text, that is something else."""

import logging
import re
from collections.abc import Sequence
from difflib import get_close_matches

from x2static.durable.errors import X2StaticError
from x2static.stage1_encode.text.segmentation import HAN, HIRAGANA, KATAKANA, THAI

# The codes of ISO 639-1, each after a colon with that of ISO 639-3 for the same language.
TWO_LETTERS = dict(
    pair.split(":")
    for pair in """
    aa:aar ab:abk ae:ave af:afr ak:aka am:amh an:arg ar:ara as:asm av:ava ay:aym az:aze ba:bak be:bel bg:bul bi:bis
    bm:bam bn:ben bo:bod br:bre bs:bos ca:cat ce:che ch:cha co:cos cr:cre cs:ces cu:chu cv:chv cy:cym da:dan de:deu
    dv:div dz:dzo ee:ewe el:ell en:eng eo:epo es:spa et:est eu:eus fa:fas ff:ful fi:fin fj:fij fo:fao fr:fra fy:fry
    ga:gle gd:gla gl:glg gn:grn gu:guj gv:glv ha:hau he:heb hi:hin ho:hmo hr:hrv ht:hat hu:hun hy:hye hz:her ia:ina
    id:ind ie:ile ig:ibo ii:iii ik:ipk io:ido is:isl it:ita iu:iku ja:jpn jv:jav ka:kat kg:kon ki:kik kj:kua kk:kaz
    kl:kal km:khm kn:kan ko:kor kr:kau ks:kas ku:kur kv:kom kw:cor ky:kir la:lat lb:ltz lg:lug li:lim ln:lin lo:lao
    lt:lit lu:lub lv:lav mg:mlg mh:mah mi:mri mk:mkd ml:mal mn:mon mr:mar ms:msa mt:mlt my:mya na:nau nb:nob nd:nde
    ne:nep ng:ndo nl:nld nn:nno no:nor nr:nbl nv:nav ny:nya oc:oci oj:oji om:orm or:ori os:oss pa:pan pi:pli pl:pol
    ps:pus pt:por qu:que rm:roh rn:run ro:ron ru:rus rw:kin sa:san sc:srd sd:snd se:sme sg:sag sh:hbs si:sin sk:slk
    sl:slv sm:smo sn:sna so:som sq:sqi sr:srp ss:ssw st:sot su:sun sv:swe sw:swa ta:tam te:tel tg:tgk th:tha ti:tir
    tk:tuk tl:tgl tn:tsn to:ton tr:tur ts:tso tt:tat tw:twi ty:tah ug:uig uk:ukr ur:urd uz:uzb ve:ven vi:vie vo:vol
    wa:wln wo:wol xh:xho yi:yid yo:yor za:zha zh:zho zu:zul
    """.split()
)
# Languages without a code of two letters that have a Wikipedia.
THREE_LETTERS = frozenset(
    """
    abs ace ady als alt ami ang ann anp arc ary arz ast atj avk awa azb ban bar bbc bcl bdr bew bjn blk bpy btm bug bxr
    cbk cdo ceb cho chr chy ckb crh csb dag dga din diq dsb dtp dty eml ext fat fil fon frp frr fur gag gan gcr glk gom
    gor got gpe gsw guc gur guw hak haw hif hsb hyw igl ilo inh jam jbo kaa kab kaj kbd kbp kcg kge knc koi krc ksh kus
    lad lbe lez lfn lij lld lmo lrc ltg lzh mad mag mai mdf mhr min mni mnw mos mrj mui mus mwl myv mzn nah nan nap nds
    new nia nov nqo nrm nso nup olo pag pam pap pcd pcm pdc pfl pih pms pnb pnt pwn rki rmy rsk rue rup sah sat scn sco
    shi shn skr smn srn stq szl szy tay tcy tdd tet tig tly tok tpi trv tum tyv udm vec vep vls vmf vro war wuu xal xmf
    yue zea zgh zza
    """.split()
)
# What is written for a language and is the code of none: of countries, of ISO 639-2 and -3, of earlier versions; names.
MEANT = {three: two for two, three in TWO_LETTERS.items()} | dict(
    pair.split(":")
    for pair in """
    jp:ja cn:zh hk:zh gr:el cz:cs dk:da ua:uk vn:vi at:de by:be rs:sr me:sr al:sq il:he ir:fa pk:ur us:en gb:en au:en
    kz:kk kh:km lk:si np:ne md:ro mm:my ph:tl ge:ka mx:es bd:bn iq:ar eg:ar sy:ar tj:tg tm:tk
    iw:he in:id ji:yi mo:ro jw:jv
    tib:bo cze:cs wel:cy ger:de gre:el baq:eu per:fa fre:fr arm:hy ice:is geo:ka mao:mi mac:mk may:ms bur:my dut:nl
    rum:ro slo:sk alb:sq chi:zh cmn:zh arb:ar pes:fa ekk:et lvs:lv npi:ne ory:or swh:sw uzn:uz zsm:ms azj:az
    english:en german:de deutsch:de french:fr spanish:es italian:it portuguese:pt dutch:nl russian:ru ukrainian:uk
    polish:pl czech:cs greek:el turkish:tr arabic:ar hebrew:he persian:fa farsi:fa hindi:hi chinese:zh mandarin:zh
    japanese:ja korean:ko thai:th vietnamese:vi indonesian:id swedish:sv danish:da norwegian:no finnish:fi
    hungarian:hu romanian:ro bulgarian:bg serbian:sr croatian:hr
    """.split()
)
# Codes of languages that are more often written for another one, which has the country's.
SELDOM_MEANT = {
    "kr": ("Kanuri", "Korean", "ko"),
    "se": ("Northern Sami", "Swedish", "sv"),
    "sw": ("Swahili", "Swedish", "sv"),
    "ee": ("Ewe", "Estonian", "et"),
    "tw": ("Twi", "Chinese", "zh"),
    "kg": ("Kongo", "Kyrgyz", "ky"),
}
ADVICE = "write a code of ISO 639-1 such as en, de or ja; for a language without one, that of a language whose "
ADVICE += "sentences end alike, such as en"

# Letters of text without spaces between words, as insides of character classes, by the language that is said.
SPACELESS_LETTERS = {
    "Chinese": HAN,
    "Japanese": HAN + HIRAGANA + KATAKANA,
    "Thai": THAI,
    "Lao": "\u0e80-\u0eff",
    "Burmese": "\u1000-\u109f\ua9e0-\ua9fe\uaa60-\uaa7f",
    "Khmer": "\u1780-\u17d3",
}
CODES = {"Chinese": "zh", "Japanese": "ja", "Thai": "th"}
MUCH = 1 / 3  # of the letters
KANA = 0.1  # of Han and kana: more is Japanese
LONGEST_WORD = 8  # letters; longer runs on the average are not cut into words by spaces
PARAGRAPHS_SEEN, CHARACTERS_SEEN, CHARACTERS_SHOWN = 100, 1000, 20

logger = logging.getLogger(__name__)


def warn_of_script(name: str, paragraphs: Sequence[str], language: str, compat: str | None) -> None:
    """Warn where much of a corpus is in a script without spaces between words, of which the language knows nothing.

    Some of the paragraphs, from all over, are looked at. Korean has spaces.
    """
    if language != "en" and compat is None:  # it was thought of
        return
    text = "\n".join(item[:CHARACTERS_SEEN] for item in paragraphs[:: max(1, len(paragraphs) // PARAGRAPHS_SEEN)])
    found = {of: re.findall(f"[{letters}]+", text) for of, letters in SPACELESS_LETTERS.items()}
    n_han, n_both = (sum(map(len, found[of])) for of in ("Chinese", "Japanese"))
    del found["Chinese" if n_both - n_han > KANA * n_both else "Japanese"]
    script, runs = max(found.items(), key=lambda item: sum(map(len, item[1])))
    n_letters = sum(map(len, runs))
    n_others = sum(map(str.isalpha, re.sub(f"[{SPACELESS_LETTERS[script]}]", "", text)))
    if not runs or n_letters < MUCH * (n_letters + n_others):
        return
    parted = n_letters <= LONGEST_WORD * len(runs)
    if parted and (compat or script not in ("Chinese", "Japanese")):  # Han characters are words of their own
        return
    code = CODES.get(script)
    remedy = f"--language {code}, in another --cache" if code and compat is None else "spaces put between them"
    begin = next((run for run in runs if len(run) > 1), runs[0])
    sample = text[(at := text.index(begin)) : at + CHARACTERS_SHOWN].split("\n")[0]
    what = f"much of it is {script} ({sample!r}), which has no spaces between words"
    logger.warning("%s: %s, and --language is %s; words need %s", name, what, language, remedy)


def check_language(code: str) -> None:
    """Refuse a code that is that of no known language, naming what was meant; warn of one that is rarely meant.

    The code is in lower case, without a region. Raises X2StaticError: no language of ISO 639-1 has it, and none with a
    Wikipedia.
    """
    if code in SELDOM_MEANT:
        language, other, meant = SELDOM_MEANT[code]
        logger.warning("--language %s is %s; %s is %s", code, language, other, meant)
    if code in TWO_LETTERS or code in THREE_LETTERS:
        return
    if code in MEANT:
        raise X2StaticError(f"--language {code}: not a code that is known here; this language is {MEANT[code]}")
    near = get_close_matches(code, [*TWO_LETTERS, *THREE_LETTERS, *MEANT], n=3, cutoff=0.75)
    like = f" (near it: {', '.join(sorted({MEANT.get(one, one) for one in near}))})" if near else ""
    raise X2StaticError(f"--language {code}: no language that is known here has this code{like}; {ADVICE}")

"""What a workspace talks about: words worth searching for in an export that nobody has read."""

import re
from collections import Counter
from collections.abc import Iterable
from itertools import islice

_READ = 3000
_OFTEN = 3
_LATIN = re.compile(r"[^\W\d_]{5,}")
_JAPANESE = re.compile(r"[\u4e00-\u9fff]{2,6}|[\u30a1-\u30fa\u30fc]{3,10}")
_EMPTY = """
about above after again against almost already although always another anyone anything around because become before
being below between could doesn doing during either enough every everyone everything first found getting going gonna
great guess haven hello https itself later least little looking looks maybe might never other others people please
pretty probably quite rather really right seems should since small someone something sorry still thank thanks their
there these thing things think those though through today together tomorrow trying under until using where whether
which while without would wouldn yesterday yourself channel joined has
チャンネル 自分 場合 今回 今日 今年 最近 本当 質問 回答 問題 必要 大丈夫 参加 確認 方法 以下 時間 意味 感じ
"""


def topics(texts: Iterable[str]) -> list[str]:
    """Return at most two words that many of the first texts have: one in Latin script, one Japanese where there is any.

    A word that stands once in a message counts as much as one that fills it.
    """
    empty = set(_EMPTY.split())
    latin: Counter[str] = Counter()
    japanese: Counter[str] = Counter()
    for text in islice(texts, _READ):
        latin.update({word.lower() for word in _LATIN.findall(text) if word.isascii()} - empty)
        japanese.update(set(_JAPANESE.findall(text)) - empty)
    ranked = [[word for word, count in words.most_common(2) if count >= _OFTEN] for words in (latin, japanese)]
    return [*(words[0] for words in ranked if words), *(word for words in ranked for word in words[1:])][:2]

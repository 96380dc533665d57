"""Chat messages made of made-up words, the same in every run: a few words everywhere, most of them rare."""

import bisect
import itertools
import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from undercroft.archive import MessageRecord

COMMON = [
    *("the", "to", "a", "i", "is", "it", "and", "you", "in", "that", "of", "for", "on", "this", "with", "have"),
    *("be", "not", "but", "so", "what", "can", "if", "do", "just", "like", "are", "my", "was", "as", "at", "or"),
    *("there", "me", "we", "they", "from", "how", "get", "your", "when", "would", "think", "one", "up", "all"),
    *("about", "know", "use", "will", "some", "out", "no", "any", "more", "time", "now", "has", "then", "them"),
    *("make", "could", "good", "need", "way", "work", "want", "other"),
]
CONSONANTS = [*"bcdfghjklmnprstvwz", "br", "ch", "cl", "dr", "fl", "gr", "pl", "sh", "st", "th", "tr"]
SYLLABLES = [consonant + vowel for consonant in CONSONANTS for vowel in (*"aeiou", "ai", "ea", "ou")]
VOCABULARY = 60_000
LONGEST = 120
START = datetime(2024, 1, 1, tzinfo=UTC)
APART = timedelta(seconds=7)
CHANNELS, AUTHORS = 30, 500


class Corpus:
    """Words by their rank, and texts made of them with the frequencies of a language (Zipf's law)."""

    def __init__(self, seed: int = 7) -> None:
        self._random = random.Random(seed)  # noqa: S311 - the same in every run is what is wanted
        words = dict.fromkeys(COMMON)
        while len(words) < VOCABULARY:
            words["".join(self._random.choices(SYLLABLES, k=self._random.choice((2, 2, 3, 3, 4))))] = None
        self.words = list(words)
        self._cumulated = list(itertools.accumulate(1 / (rank + 2.7) ** 1.05 for rank in range(VOCABULARY)))

    def text(self) -> str:
        """Make one message's text, ten words long at the median."""
        length = min(LONGEST, max(1, int(self._random.lognormvariate(2.3, 0.8))))
        total = self._cumulated[-1]
        return " ".join(
            self.words[bisect.bisect(self._cumulated, self._random.random() * total)] for _ in range(length)
        )

    def records(self, count: int, *, start: int = 0) -> Iterator[MessageRecord]:
        """Make the messages of one workspace, seven seconds apart, as an importer of Slack's would."""
        for number in range(start, start + count):
            sent_at = START + number * APART
            yield MessageRecord(
                channel=f"C{self._random.randrange(CHANNELS)}",
                native_id=f"{int(sent_at.timestamp())}.000000",
                author=f"U{self._random.randrange(AUTHORS)}",
                text=self.text(),
                sent_at=sent_at,
            )

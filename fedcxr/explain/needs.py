"""What a method of explaining may need of a network, as fixed words and in a sentence's.

A run writes the fixed word down where a method did not fit; whoever shows it says it in words.
"""

NO_POOLED_HEAD = "no-pooled-head"

_IN_WORDS = {
    NO_POOLED_HEAD: "a network whose logits are one linear layer over the mean of its last map"
}


def need_in_words(lacking: str) -> str:
    """Return what is needed where `lacking` is the fixed word of what is missing.

    >>> need_in_words("no-pooled-head")
    'a network whose logits are one linear layer over the mean of its last map'
    >>> need_in_words("no-attention")
    'another network (no attention)'
    """
    return _IN_WORDS.get(lacking) or f"another network ({lacking.replace('-', ' ')})"

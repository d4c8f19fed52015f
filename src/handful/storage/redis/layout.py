"""Names of keys in Redis, and of fields in a classifier's hash.

Keys of one classifier, and keys of one tenant, share a hash tag, and so a slot of a Cluster.
"""

TENANTS = "hf:{tenants}"  # sorted set, by name
KEYS = "hf:{keys}"  # hash: id → API key
JOBS = "hf:{jobs}"  # hash: job → record
JOBS_DUE = "hf:{jobs}:due"  # sorted set of those that are not over: when each may be claimed
JOBS_OVER = "hf:{jobs}:over"  # sorted set of the others: since when
JOBS_CANCELLING = "hf:{jobs}:cancelling"  # set of those that were asked to stop
TAILS = "hf:{tails}"  # sorted set: classifier → when it may be folded
TRASH = "hf:{trash}"  # sorted set: blob → when it came, in microseconds, a number of its own
TRASH_COUNT = "hf:{trash}:n"  # the last such number
TRASH_HOLD = "hf:{trash}:hold"  # there while somebody holds it
META = "hf:{meta}"  # hash: what this Redis is
NOTES = "hf:{meta}:notes"  # hash: name → note

RECORD = b"r"  # the classifier: its revision in 8 bytes, then the rest
HEADS = b"v"  # which heads there are
PAGE = b"c"  # and a number: a page of classes
BATCH = b"t"  # and a name of its own: shots, or where their segment is
MOVED = b"x"  # and a shot's id: its class now, or that it was dropped
GONE = b"d"  # and a class's key: it was dropped, with its shots

PAGE_CLASSES = 64
INLINE_PAGES = 16  # that lie in the classifier's own hash; their names are found by reading them


def place(tenant: str, id: str) -> str:
    """A classifier's name among those of all tenants; also the folder of its blobs."""
    return f"{tenant}/{id}"


def classifier_key(tenant: str, id: str) -> str:
    """Hash: all of a classifier that is not in one of the following."""
    return f"hf:{{{tenant}/{id}}}"


def pages_key(classifier: str) -> str:
    """Hash: pages of classes from INLINE_PAGES on, where there are so many."""
    return f"{classifier}:c"


def names_key(classifier: str) -> str:
    """Hash: name → key, of classes in those pages."""
    return f"{classifier}:n"


def head_key(classifier: str) -> str:
    """String: the head that answers, or the one that did last."""
    return f"{classifier}:h"


def mark_key(truth: str, tenant: str, reply: str) -> str:
    """String: what lies in the slot of `truth` was written under this Idempotency-Key."""
    return f"{truth}:m:{tenant}:{reply}"


def ids_key(tenant: str) -> str:
    """Sorted set: the tenant's classifiers by id."""
    return f"hf:{{{tenant}}}:ids"


def usage_key(tenant: str) -> str:
    """Hash: what the tenant holds."""
    return f"hf:{{{tenant}}}:usage"


def reply_key(tenant: str, key: str) -> str:
    """String: the answer under an Idempotency-Key."""
    return f"hf:{{{tenant}}}:reply:{key}"


def count_key(tenant: str, name: str) -> str:
    """String: a count that processes share, for a while."""
    return f"hf:{{{tenant}}}:count:{name}"


def slot_tag(key: str) -> str:
    """What decides its slot."""
    return key[key.index("{") + 1 : key.index("}")]

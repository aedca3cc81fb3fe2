"""A round of tests with redis-py against the nodes named on the command line; ../README.md tells the story."""

import itertools
import sys
import threading
import time

import redis
from redis.backoff import ExponentialBackoff, NoBackoff
from redis.exceptions import BusyLoadingError, ClusterDownError, ConnectionError, ExecAbortError, RedisError
from redis.exceptions import ResponseError, TimeoutError, TryAgainError, WatchError
from redis.retry import Retry

WORKERS = 6
# A node that is there answers within its own limit of 5 s.
TIMEOUT_S = 10
# Longer than any failover: a worker that gets nowhere for so long gives up.
PATIENCE_S = 120

PASSING = [ConnectionError, TimeoutError, BusyLoadingError, ClusterDownError, TryAgainError]


def patient(address, protocol):
    """A client that tries a command again, for commands that may be done twice."""
    host, port = address.rsplit(":", 1)
    return redis.Redis(
        host=host,
        port=int(port),
        protocol=protocol,
        socket_timeout=TIMEOUT_S,
        socket_connect_timeout=TIMEOUT_S,
        retry=Retry(ExponentialBackoff(base=0.02, cap=0.5), retries=3),
        retry_on_error=PASSING,
    )


def honest(address, protocol):
    """A client that tries nothing again."""
    host, port = address.rsplit(":", 1)
    return redis.Redis(
        host=host,
        port=int(port),
        protocol=protocol,
        socket_timeout=TIMEOUT_S,
        socket_connect_timeout=TIMEOUT_S,
        retry=Retry(NoBackoff(), retries=0),
    )


def expect(found, wanted, what):
    if found != wanted:
        raise AssertionError(f"{what}: {found!r} instead of {wanted!r}")


def refused(kind, ask, words=""):
    try:
        answer = ask()
    except kind as error:
        expect(words in str(error), True, f"{words!r} in {error}")
    else:
        raise AssertionError(f"{answer!r} instead of {kind.__name__} {words}")


def basics(one, other, prefix):
    """Commands through `one`; what they did is looked at through `other`."""
    key = lambda name: f"{prefix}/{name}"
    expect(one.ping(), True, "PING")
    expect(one.echo("here"), b"here", "ECHO")
    binary = bytes(range(256)) * 2_800
    expect(one.set(key("binary"), binary), True, "SET")
    expect(other.get(key("binary")), binary, "a value of 700 KB with every byte")
    expect(other.get(key("none")), None, "GET of nothing")
    expect(one.mset({key("a"): "1", key("b"): "two"}), True, "MSET")
    expect(other.mget(key("a"), key("b"), key("none")), [b"1", b"two", None], "MGET")
    expect(one.incr(key("a")), 2, "INCR")
    expect(one.decrby(key("a"), 12), -10, "DECRBY")
    refused(ResponseError, lambda: one.incr(key("b")), "value is not an integer or out of range")
    refused(ResponseError, lambda: one.execute_command("NOSUCH", "x"), "unknown command 'NOSUCH'")
    expect(one.append(key("b"), "+"), 4, "APPEND")
    expect(other.strlen(key("b")), 4, "STRLEN")
    expect(one.set(key("b"), "x", nx=True), None, "SET NX")
    expect(one.set(key("b"), "y", xx=True, get=True), b"two+", "SET XX GET")
    expect(one.set(key("passing"), "x", ex=1_000), True, "SET EX")
    expect(other.ttl(key("passing")) in (999, 1_000), True, "TTL")
    expect(one.persist(key("passing")), True, "PERSIST")
    expect(other.ttl(key("passing")), -1, "TTL after PERSIST")
    expect(other.type(key("b")), b"string", "TYPE")
    expect(one.getdel(key("passing")), b"x", "GETDEL")
    expect(other.exists(key("passing"), key("a")), 1, "EXISTS")
    expect(sorted(other.scan_iter(match=f"{prefix}/*", count=2)), sorted(map(str.encode, map(key, ["a", "b", "binary"]))), "SCAN")
    expect(one.dbsize() >= 3, True, "DBSIZE")
    expect(one.delete(key("a"), key("b"), key("binary"), key("none")), 3, "DEL")
    expect(other.keys(f"{prefix}/*"), [], "KEYS")
    expect(one.info()["loading"], 0, "INFO")
    expect(one.config_get("appendonly"), {"appendonly": "yes"}, "CONFIG GET")
    expect(len(one.time()), 2, "TIME")


def together(one, other, prefix):
    """Pipelines and transactions."""
    key = lambda name: f"{prefix}/{name}"
    pipeline = one.pipeline(transaction=False)
    for number in range(500):
        pipeline.set(key(f"p{number}"), number)
    for number in range(500):
        pipeline.get(key(f"p{number}"))
    expect(pipeline.execute(), [True] * 500 + [str(number).encode() for number in range(500)], "a pipeline")
    expect(other.delete(*(key(f"p{number}") for number in range(500))), 500, "DEL of many")
    transaction = one.pipeline()
    transaction.set(key("t"), "text").incr(key("n")).get(key("t"))
    expect(transaction.execute(), [True, 1, b"text"], "a transaction")
    # An error undoes all of it: a difference to Redis that the README names.
    transaction = one.pipeline()
    transaction.set(key("t"), "other").incr(key("t")).incr(key("n"))
    refused((ExecAbortError, ResponseError), transaction.execute)
    expect(other.mget(key("t"), key("n")), [b"text", b"1"], "what a refused transaction left")
    with one.pipeline() as watching:
        watching.watch(key("n"))
        now = int(watching.get(key("n")))
        watching.multi()
        watching.set(key("n"), now + 1)
        expect(watching.execute(), [True], "a transaction with WATCH")
        watching.watch(key("n"))
        other.set(key("n"), "theirs")
        watching.multi()
        watching.set(key("n"), "mine")
        refused(WatchError, watching.execute)
    expect(one.get(key("n")), b"theirs", "a watched key that another one wrote")
    expect(one.delete(key("t"), key("n")), 2, "DEL")


class Worker(threading.Thread):
    """Writes and counts until it is told to stop."""

    def __init__(self, number, addresses, stop):
        super().__init__(daemon=True)
        self.number, self.addresses, self.stop = number, addresses, stop
        self.written, self.counted, self.unknown, self.failed = 0, 0, 0, None
        protocol = 2 + number % 2
        self.patient = [patient(address, protocol) for address in addresses]
        self.honest = [honest(address, protocol) for address in addresses]
        self.place = number % len(addresses)

    def run(self):
        try:
            while not self.stop.is_set():
                self.write()
                self.count()
        except Exception as error:  # told by the main thread
            self.failed = error

    def write(self):
        key, value = f"written/{self.number}/{self.written}", f"{self.number} wrote {self.written}"
        deadline = time.monotonic() + PATIENCE_S
        while True:
            try:
                expect(self.patient[self.place].set(key, value), True, "SET")
                self.written += 1
                return
            except RedisError as error:
                self.move_on(error, deadline)

    def count(self):
        try:
            value = self.honest[self.place].incr(f"counted/{self.number}")
        except RedisError as error:
            self.unknown += 1
            self.move_on(error, time.monotonic() + PATIENCE_S)
            return
        self.counted += 1
        if not self.counted <= value <= self.counted + self.unknown:
            raise AssertionError(f"INCR gave {value} after {self.counted} of them and {self.unknown} unknown ones")

    def move_on(self, error, deadline):
        """To the next node, unless the error is none that passes."""
        passes = isinstance(error, tuple(PASSING)) or str(error).startswith("UNKNOWN ")
        if not passes or time.monotonic() > deadline:
            raise error
        self.place = (self.place + 1) % len(self.addresses)
        time.sleep(0.02)


def verify(workers, addresses):
    """Through every node that is there."""
    asked = 0
    for address in addresses:
        client = patient(address, 3)
        try:
            client.ping()
        except ConnectionError:
            continue
        asked += 1
        for worker in workers:
            keys = [f"written/{worker.number}/{number}" for number in range(worker.written)]
            values = list(itertools.chain.from_iterable(client.mget(keys[at : at + 500]) for at in range(0, len(keys), 500)))
            for number, value in enumerate(values):
                expect(value, f"{worker.number} wrote {number}".encode(), f"written/{worker.number}/{number}")
            total = int(client.get(f"counted/{worker.number}") or 0)
            if not worker.counted <= total <= worker.counted + worker.unknown:
                raise AssertionError(f"counted/{worker.number} is {total}: {worker.counted} and {worker.unknown} unknown")
    expect(asked >= 2, True, "nodes that are there")


def main(addresses):
    for place, address in enumerate(addresses):
        for protocol in (2, 3):
            one, other = patient(address, protocol), patient(addresses[(place + 1) % len(addresses)], protocol)
            basics(one, other, f"basics/{place}/{protocol}")
            together(one, other, f"together/{place}/{protocol}")
    print("ready", flush=True)

    stop, ended = threading.Event(), threading.Event()
    workers = [Worker(number, addresses, stop) for number in range(WORKERS)]

    def tell():
        while not ended.wait(0.1):
            print("acknowledged", sum(worker.written + worker.counted for worker in workers), flush=True)

    for thread in [*workers, threading.Thread(target=tell, daemon=True)]:
        thread.start()
    expect(sys.stdin.readline().strip(), "stop", "the word on stdin")
    stop.set()
    for worker in workers:
        worker.join()
        if worker.failed:
            raise worker.failed
    ended.set()
    verify(workers, addresses)
    written, counted, unknown = (sum(getattr(worker, what) for worker in workers) for what in ("written", "counted", "unknown"))
    print(f"verified {written} writes and {counted} increments ({unknown} unknown)", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])

"""Works Python's sqlite3 module hard and prints what comes out. Run by python_test.py."""

import hashlib
import sqlite3
import threading


class Median:
    """An aggregate that keeps its rows alive in Python until the group ends."""

    def __init__(self):
        self.values = []

    def step(self, value):
        self.values.append(value)

    def finalize(self):
        return sorted(self.values)[len(self.values) // 2]


def digest(rows):
    whole = hashlib.sha256()
    for row in rows:
        whole.update(repr(row).encode())
    return whole.hexdigest()


def fill(db, rows):
    db.execute("create table t (id integer primary key, k integer, name text, data blob)")
    db.executemany("insert into t values (?, ?, ?, ?)",
                   ((i, i * 7919 % 1009, f"name {i % 313}", bytes([i % 251]) * (i % 700))
                    for i in range(rows)))
    db.execute("create index t_k on t (k)")
    db.commit()


def queries(db):
    db.create_function("reverse", 1, lambda text: text[::-1], deterministic=True)
    db.create_aggregate("median", 1, Median)
    db.create_collation("by_length", lambda a, b: (len(a) > len(b)) - (len(a) < len(b)))
    yield "join", db.execute("select a.id, b.id from t a join t b on a.k = b.k + 1 "
                             "where a.id < 900 order by 1, 2")
    yield "aggregate", db.execute("select name, median(id), count(*) from t group by name")
    yield "function", db.execute("select reverse(name), length(data) from t where k < 50")
    yield "collation", db.execute("select distinct name from t "
                                  "order by name collate by_length, name")
    yield "blobs", db.execute("select id, data from t where id % 17 = 0")


def in_threads(count):
    """Each thread has a database of its own; their answers, in the threads' order."""
    answers = [None] * count

    def work(index):
        db = sqlite3.connect(":memory:")
        fill(db, 1000 + 100 * index)
        answers[index] = [(name, digest(rows)) for name, rows in queries(db)]
        db.close()

    threads = [threading.Thread(target=work, args=(i,)) for i in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return answers


def main():
    db = sqlite3.connect(":memory:")
    fill(db, 20000)
    for name, rows in queries(db):
        print(name, digest(rows))
    copy = sqlite3.connect(":memory:")
    db.backup(copy, pages=50)
    print("backup", digest(copy.execute("select * from t order by id")))
    print("dump", digest(copy.iterdump()))
    raw = copy.serialize()
    again = sqlite3.connect(":memory:")
    again.deserialize(raw)
    print("deserialized", digest(again.execute("select * from t order by id")))
    for index, answer in enumerate(in_threads(4)):
        print("thread", index, digest(answer))
    try:
        db.execute("select no_such_column from t")
    except sqlite3.OperationalError as error:
        print("error", error)


if __name__ == "__main__":
    main()

"""Work for the Python row: records built, encoded as JSON, decoded, grouped and sorted."""

import json
import random

random.seed(1)
LETTERS = "abcdefghijklmnopqrstuvwxyz"
total = 0
for round_number in range(4):
    records = [
        {
            "id": i,
            "name": "".join(random.choices(LETTERS, k=random.randint(3, 20))),
            "scores": [random.random() for _ in range(5)],
            "tags": {LETTERS[i % 26]: i, "round": round_number},
        }
        for i in range(30_000)
    ]
    text = json.dumps(records)
    decoded = json.loads(text)
    groups = {}
    for record in decoded:
        groups.setdefault(record["name"][:2], []).append(record)
    for group in groups.values():
        group.sort(key=lambda record: record["scores"][0])
    words = " ".join(record["name"] for record in records).split()
    counts = {}
    for word in words:
        counts[word] = counts.get(word, 0) + 1
    total += len(text) + len(groups) + len(counts) + sum(group[0]["id"] for group in groups.values())
print(total)

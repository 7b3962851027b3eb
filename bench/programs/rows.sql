-- Work for the sqlite row: rows from a generator of our own, so the result is always the same.
CREATE TABLE item(id INTEGER PRIMARY KEY, owner INTEGER, name TEXT, price INTEGER, note TEXT);
CREATE TABLE owner(id INTEGER PRIMARY KEY, name TEXT);
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 2000)
INSERT INTO owner SELECT i, printf('owner-%06d', (i * 7919) % 1000003) FROM n;
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 100000)
INSERT INTO item
  SELECT i, (i * 31) % 2000 + 1, printf('item-%x', (i * 2654435761) % 4294967296), (i * 48271) % 9973,
         substr('the quick brown fox jumps over the lazy dog, and again, and again', 1, i % 60) FROM n;
CREATE INDEX item_owner ON item(owner, price);
CREATE INDEX item_name ON item(name);
SELECT count(*), sum(price), max(name) FROM item;
SELECT o.name, count(*), avg(i.price) FROM item i JOIN owner o ON o.id = i.owner
  GROUP BY o.id ORDER BY avg(i.price) DESC, o.name LIMIT 5;
SELECT a.name, b.name FROM item a JOIN item b ON b.owner = a.owner AND b.price > a.price + 9800
  ORDER BY a.name, b.name LIMIT 5;
UPDATE item SET note = note || ' / ' || name WHERE id % 3 = 0;
DELETE FROM item WHERE id % 5 = 0;
SELECT owner, group_concat(name, ',') FROM
  (SELECT owner, name FROM item WHERE owner < 50 ORDER BY owner, name) GROUP BY owner LIMIT 3;
SELECT count(*), sum(length(note)), count(DISTINCT note) FROM item;
SELECT substr(name, 1, 7) AS start, count(*) FROM item GROUP BY start ORDER BY 2 DESC, 1 LIMIT 5;

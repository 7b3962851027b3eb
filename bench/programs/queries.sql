CREATE TABLE item (id int PRIMARY KEY, owner int, name text, price int, note jsonb);

INSERT INTO item SELECT i, i * 7919 % 1000, 'item ' || md5(i::text), i * 104729 % 10000,
  jsonb_build_object('tag', i % 60, 'words', jsonb_build_array(md5((i * 3)::text), i % 11))
  FROM generate_series(1::bigint, 80000) AS g(i);

CREATE INDEX item_owner ON item(owner, price);

CREATE INDEX item_name ON item(name);

ANALYZE item;

SELECT count(*), sum(price), max(name) FROM item;

SELECT owner, count(*) AS items, avg(price) AS mean, string_agg(name, ',' ORDER BY name) AS names
  FROM item GROUP BY owner ORDER BY mean DESC, owner LIMIT 3;

SELECT a.name, b.name AS other FROM item a JOIN item b ON b.owner = a.owner AND b.price > a.price + 9800
  ORDER BY a.name, b.name LIMIT 5;

SELECT note->>'tag' AS tag, count(DISTINCT note->'words'->>0) AS words FROM item
  GROUP BY 1 ORDER BY 2 DESC, 1 LIMIT 5;

SELECT sum(length(string)) AS total FROM (SELECT regexp_replace(name, '[0-9]+', '#', 'g') AS string FROM item) s;

SELECT sum(number) AS total, max(rank) AS ranks FROM (SELECT row_number() OVER (PARTITION BY owner ORDER BY name) AS number,
  dense_rank() OVER (ORDER BY price) AS rank FROM item) s;

UPDATE item SET note = note || jsonb_build_object('more', name) WHERE id % 3 = 0;

DELETE FROM item WHERE id % 5 = 0;

SELECT count(*), sum(length(note::text)) AS length FROM item;


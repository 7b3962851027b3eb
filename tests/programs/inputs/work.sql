-- Work for sqlite3: 100,000 rows made from their number alone, then queries of many kinds.
pragma journal_mode = wal;
pragma cache_size = 500;
create table person (id integer primary key, name text, town integer, born integer, note text);
create table town (id integer primary key, name text, country text);
create table visit (person integer, town integer, day integer, cost real);

begin;
with recursive n(i) as (select 1 union all select i + 1 from n where i < 1000)
insert into town select i, 'town ' || (i * 7919 % 1009), 'c' || (i % 37) from n;
with recursive n(i) as (select 1 union all select i + 1 from n where i < 100000)
insert into person
select i, printf('%c%c%05d', 97 + i % 26, 97 + i / 26 % 26, i * 7919 % 99991), i * 31 % 1000 + 1,
       1900 + i % 120, substr('abcdefghijklmnopqrstuvwxyz0123456789', 1 + i % 30, i % 11) from n;
insert into visit
select id, (id * 13 + born) % 1000 + 1, id % 365, id * 1.25 from person where id % 2;
commit;
create index person_town on person (town);
create index person_name on person (name collate nocase);
create index visit_person on visit (person, day);
analyze;

select count(*), sum(born), min(name), max(name) from person;
select t.country, count(*), avg(p.born), max(p.name)
  from person p join town t on t.id = p.town group by t.country order by t.country;
select t.name, count(distinct v.person), round(sum(v.cost), 2)
  from visit v join person p on p.id = v.person join town t on t.id = v.town and t.id != p.town
 where v.day between 100 and 200 group by t.id order by 3 desc, 1 limit 50;
select name, born, rank() over (partition by town order by born, name),
       sum(born) over (partition by town order by id rows between 5 preceding and current row)
  from person where town < 12 order by town, id;
select group_concat(name, '|') from (select name from person where id % 91 = 0 order by name desc);
with recursive up(id, depth) as (
  select 90001, 0 union all select id / 2, depth + 1 from up where id > 1)
select up.depth, p.name from up join person p using (id) order by 1;
select json_group_object(name, json_array(id, country)) from town where id < 200;
select a.id, b.id from person a left join person b on b.name = a.note
 where a.id < 300 order by 1, 2;

update person set note = note || '+' || name where id % 3 = 0;
delete from visit where day % 7 = 3;
delete from person where id % 11 = 5;
create table copy as select * from person order by name;
insert into copy
select id + 200000, upper(name), town, born, hex(note) from person where id % 5 = 0;
select count(*), sum(length(note)) from copy;
select printf('%.3f', sum(cost)) from visit;
vacuum;
pragma wal_checkpoint(truncate);
pragma page_count;

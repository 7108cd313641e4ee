-- Functions of text beyond those of functions.sql.
SELECT format('%s %I %L', 'a', 'b c', 'd''e'), format('%2$s %1$s', 'a', 'b'), format('[%10s] [%-10s]', 'x', 'y'), format('[%*s]', 5, 'x'), format('[%1$*2$s]', 'v', -6), format('%%');

SELECT format('%s', NULL), format('%L', NULL), format('%s %s', 1, true);

SELECT format('%y', 1);

SELECT format('%s %s', 1);

SELECT concat('a', 1, NULL, true), concat_ws(',', 'a', NULL, 2), concat_ws(NULL, 'a', 'b');

SELECT split_part('a,b,c', ',', 2), split_part('a,b,c', ',', -1), split_part('a,b,c', ',', 9), split_part('abc', '', 1);

SELECT regexp_replace('foobarbaz', 'b..', 'X'), regexp_replace('foobarbaz', 'b..', 'X', 'g'), regexp_replace('foobarbaz', 'b(..)', '<\1>', 'g'), regexp_replace('Thomas', '.[mN]a.', 'M'), regexp_replace('ABC', 'b', 'x', 'i');

SELECT regexp_replace('A PostgreSQL function', 'a|e|i|o|u', 'X', 1, 0, 'i'), regexp_replace('A PostgreSQL function', 'a|e|i|o|u', 'X', 1, 3, 'i'), regexp_replace('abcabc', 'b', 'x', 3);

SELECT regexp_match('foobarbequebaz', '(bar)(beque)'), regexp_match('abc', 'x'), regexp_match('ABC', 'b', 'i');

SELECT regexp_matches('foobarbequebazilbarfbonk', '(b[^b]+)(b[^b]+)', 'g');

SELECT regexp_matches('abc', 'b');

SELECT m FROM regexp_matches('a1b22', '[0-9]+', 'g') AS m;

SELECT regexp_split_to_array('a, b,c', ',\s*'), regexp_split_to_array('abc', ''), regexp_split_to_array('aXbxc', 'x', 'i');

SELECT * FROM regexp_split_to_table('hello  world', '\s+') AS t;

SELECT regexp_split_to_table('abc', '');

SELECT regexp_count('ABCABCAXYaxy', 'A.'), regexp_count('ABCABCAXYaxy', 'A.', 1, 'i'), regexp_count('abc', 'x', 2);

SELECT regexp_instr('ABCABCAXYaxy', 'A.'), regexp_instr('number of your street, town zip, FR', '[^,]+', 1, 2), regexp_instr('ABCDEFGHI', '(c..)(...)', 1, 1, 0, 'i', 2), regexp_instr('abcabc', 'b', 1, 2, 1);

SELECT regexp_substr('number of your street, town zip, FR', '[^,]+', 1, 2), regexp_substr('ABCDEFGHI', '(c..)(...)', 1, 1, 'i', 2), regexp_substr('abc', 'x');

SELECT regexp_like('Hello World', 'world$', 'i'), regexp_like('abc', 'B');

SELECT 'abc' ~ 'B', 'abc' ~* 'B', 'foo' !~ 'o$', E'a\nb' ~ 'a.b', regexp_replace(E'a\nb', '^b', 'x', 'n');

SELECT 'abc' ~ '(';

SELECT translate('12345', '143', 'ax'), overlay('Txxxxas' placing 'hom' from 2 for 4), position('om' in 'Thomas'), strpos('high', 'ig'), substring('Thomas' from 2 for 3), substring('Thomas' from '...$');

SELECT lpad('hi', 5, 'xy'), rpad('hi', 5, 'xy'), lpad('hello', 2), ltrim('zzzytest', 'xyz'), btrim('xyxtrimyyx', 'xyz'), trim(both 'x' from 'xax'), repeat('Pg', 3), reverse('abc'), initcap('hi THOMAS'), left('abcde', -2), right('abcde', 2);

SELECT quote_ident('Foo bar'), quote_ident('foo'), quote_literal('O''Reilly'), quote_literal(E'a\\b'), quote_nullable(NULL), quote_literal(42.5), quote_ident('select');

SELECT md5('abc'), md5('abc'::bytea), encode(sha256('abc'), 'hex'), encode(sha224('abc'), 'hex'), encode(sha512('abc'::bytea), 'base64');

SELECT encode('abc'::bytea, 'base64'), decode('YWJj', 'base64'), encode('\x00ff'::bytea, 'escape'), decode('00ff', 'hex');

SELECT decode('zz', 'hex');

SELECT encode('abc', 'nope');

SELECT to_hex(255), to_hex(-1), ascii('x'), ascii(''), chr(8364), starts_with('alphabet', 'alph'), 'alphabet' ^@ 'alph';

SELECT string_to_table('a^b^NULL', '^', 'NULL');

SELECT t FROM string_to_table('xyz', NULL) AS t;

SELECT unistr('d\0061t\+000061'), unistr('\u00e9'), unistr('\\');

SELECT length('abc'), char_length('é'), octet_length('é'), bit_length('abc'), length('\x0102'::bytea), bit_count('\x0103'::bytea), get_byte('\x0102'::bytea, 1), set_byte('\x0102'::bytea, 0, 255), get_bit('\x02'::bytea, 1), set_bit('\x00'::bytea, 3, 1);

SELECT substr('\x01020304'::bytea, 2, 2), overlay('\x01020304'::bytea placing '\xff' from 2 for 1), position('\x02'::bytea in '\x0102'::bytea), btrim('\x000100'::bytea, '\x00'), '\x01'::bytea || '\x02'::bytea;

SELECT 'a' || 1, 1 || 'a', 'a' || NULL, 'x' || true;

SELECT lower('AB'), upper('ab'), upper(NULL);

SELECT 'abc' LIKE 'a%', 'abc' LIKE '_b_', 'a%c' LIKE 'a\%c', 'a%c' LIKE 'a#%c' ESCAPE '#', 'ABC' ILIKE 'abc', 'abc' SIMILAR TO '%(b|d)%', 'abc' NOT LIKE 'x%';

SELECT 'abc' LIKE p FROM (VALUES ('a%'), ('%x')) t(p);

SELECT 'a_c' LIKE p ESCAPE '!' FROM (VALUES ('a!_c'), ('a!xc')) t(p);

SELECT convert_from('\xc3a9'::bytea, 'UTF8'), convert_to('é', 'UTF8'), convert_from('\xe9'::bytea, 'LATIN1'), convert_to('é', 'LATIN1');

SELECT num_nulls(1, NULL, 'x'), num_nonnulls(1, NULL, 'x'), greatest(1, NULL, 3), least('b', 'a'), nullif(1, 1), nullif('a', 'b'), coalesce(NULL, NULL, 'x');

SELECT ltrim('  x'), rtrim('x  ') || '|', char_length(rpad('', 3)), left('abc', 0), right('abc', -1), substring('abc' from 0 for 2), substring('abc' for 2);

SELECT string_agg(x, ',' ORDER BY x DESC), string_agg(DISTINCT x, '-') FROM (VALUES ('b'), ('a'), ('b')) t(x);
-- A pattern of type char(n) loses its padding, what it is compared with does not
SELECT 'x'::text LIKE 'x'::char(4) AS like, 'x'::text ~~ 'x'::char(4) AS op, 'x'::char(4) LIKE 'x'::text AS padded,
  'x'::char(4) LIKE 'x'::char(4) AS both, 'x'::text ILIKE 'x'::char(4) AS ilike, 'x'::text NOT LIKE 'x'::char(4) AS not_like;
SELECT 'x'::char(4) ~ '^x$' AS padded, 'x'::text ~ 'x'::char(4) AS regex, 'x'::text SIMILAR TO 'x'::char(4) AS similar,
  'x'::char(4) SIMILAR TO 'x' AS padded, 'x'::text LIKE 'x'::char(4) ESCAPE '#' AS escape;

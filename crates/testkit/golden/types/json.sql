-- json and jsonb: input, output, operators.
SELECT '{"a": 1, "b" : [1,2.50, null], "a":2}'::json AS j, '{"bb": 1, "a" : [1,2.50, null], "a":2}'::jsonb AS b;

SELECT ' "x" '::jsonb, '1e2'::jsonb, '-0'::jsonb, '1.00'::jsonb, 'null'::json, '[]'::jsonb, '{}'::jsonb;

SELECT '{"a": '::json;

SELECT '{a: 1}'::jsonb;

SELECT '[1 2]'::jsonb;

SELECT 'nope'::json;

SELECT '{"a":1,}'::json;

SELECT '"\u00e9\ud83d\ude00\n"'::jsonb, '"\u00e9"'::json;

SELECT '"\u0000"'::jsonb;

SELECT '"\u0000"'::json;

SELECT ''::json;

SELECT '01'::jsonb;

SELECT '{"a": {"b": [10, 20, {"c": null}]}, "d": "text"}'::jsonb -> 'a' -> 'b' -> 1 AS v;

SELECT j -> 'a', j ->> 'd', j #> '{a,b,0}', j #>> '{a,b,2}', j #>> '{a,b,2,c}', j -> 'x', j -> 0 FROM (SELECT '{"a": {"b": [10, 20, {"c": null}]}, "d": "text"}'::jsonb AS j) t;

SELECT j -> 'a', j ->> 'd', j #> '{a,b,0}', j #>> '{a,b,2}', j #>> '{a,b,2,c}', j -> 'x', j -> 0 FROM (SELECT '{"a": {"b": [10, 20, {"c": null}]}, "d": "text"}'::json AS j) t;

SELECT '[1,2,3]'::jsonb -> -1, '[1,2,3]'::json -> -1, '[1,2,3]'::jsonb ->> 5, '{"a":1,"a":2}'::json -> 'a';

SELECT '{"a":1}'::jsonb -> 1.5;

SELECT '{"a":1,"b":[1,2]}'::jsonb @> '{"b":[2]}', '[1,2]'::jsonb @> '1', '{"a":1}'::jsonb <@ '{"a":1,"b":2}', '1'::jsonb @> '[1]';

SELECT '{"a":1}'::jsonb ? 'a', '["a","b"]'::jsonb ? 'b', '"a"'::jsonb ? 'a', '{"a":1}'::jsonb ?| '{x,a}', '{"a":1}'::jsonb ?& array['a','b'];

SELECT '{"a":1}'::jsonb || '{"b":2,"a":3}', '[1]'::jsonb || '2', '[1]'::jsonb || '[2]', '{"a":1}'::jsonb || '[1]', '1'::jsonb || '2';

SELECT '{"a":1,"b":2}'::jsonb - 'a', '["a","b","a"]'::jsonb - 'a', '[1,2,3]'::jsonb - 1, '[1,2,3]'::jsonb - -1, '{"a":1,"b":2}'::jsonb - '{a,b}'::text[], '{"a":[1,{"b":2}]}'::jsonb #- '{a,1,b}';

SELECT '1'::jsonb - 'a';

SELECT '{"a":1}'::jsonb - 1;

SELECT ('{"a": [1, {"b": "x"}]}'::jsonb)['a'][1]['b'], ('[1,2]'::jsonb)[-1];

SELECT '1.0'::jsonb = '1.00'::jsonb, '{"a":1,"b":2}'::jsonb = '{"b":2,"a":1}', '[1]'::jsonb < '[1,2]', 'null'::jsonb < '"a"', '{"a":1}'::jsonb <> '[]';

SELECT '1'::json = '1'::json;

SELECT v FROM (VALUES ('[]'::jsonb), ('null'), ('"b"'), ('"a"'), ('10'), ('9.5'), ('true'), ('false'), ('[1,2]'), ('[3]'), ('{"b":1}'), ('{"a":2}'), ('{"a":1,"b":1}'), ('{}')) t(v) ORDER BY v;

SELECT v, count(*) FROM (VALUES ('{"a":1}'::jsonb), ('{"a":1}'), ('[2]'), (NULL)) t(v) GROUP BY v ORDER BY v;

SELECT DISTINCT v FROM (VALUES ('{"a":1}'::jsonb), ('{"a":1}'), ('[2]')) t(v) ORDER BY v DESC;

SELECT v FROM (VALUES ('1'::json)) t(v) ORDER BY v;

SELECT v FROM (VALUES ('1'::json)) t(v) GROUP BY v;

SELECT DISTINCT v FROM (VALUES ('1'::json)) t(v);

SELECT '12.50'::jsonb::numeric, '12.50'::jsonb::int, 'true'::jsonb::bool, '7'::jsonb::float8, '7'::jsonb::text, '"x"'::jsonb::text;

SELECT '"x"'::jsonb::int;

SELECT 'true'::jsonb::int;

SELECT '{"a": 1}'::json::jsonb, '{"b":1,"a":2}'::jsonb::json, '{"a": 1}'::text::jsonb;

SELECT pg_typeof('{}'::json), pg_typeof('{}'::jsonb), pg_typeof('{"a":1}'::jsonb -> 'a'), pg_typeof('{"a":1}'::jsonb ->> 'a');

-- Building.
SELECT to_json(1), to_json('x'::text), to_json(1.50), to_json(true), to_json(NULL::int), to_json(array[1,2]), to_json(array[[1,2],[3,4]]), to_json(array['a','b "q"']);

SELECT to_jsonb(1), to_jsonb('x'::text), to_jsonb(1.50), to_jsonb(true), to_jsonb(array[1,2]), to_jsonb('2024-02-03'::date), to_jsonb('2024-02-03 04:05:06'::timestamp), to_jsonb('12:30'::time), to_jsonb('1 day'::interval);

SELECT to_json('2024-02-03 04:05:06.789'::timestamptz), to_json('infinity'::timestamp), to_json('NaN'::float8), to_jsonb('NaN'::numeric), to_json(1e20::float8), to_jsonb(0.1::float4);

SELECT json_build_object('a', 1, 'b', NULL, 'c', array[1,2], 'd', json_build_object('x', true)), jsonb_build_object('a', 1, 'b', 'x', 3, 2.5);

SELECT json_build_object('a');

SELECT json_build_object(NULL, 1);

SELECT jsonb_build_object(NULL, 1);

SELECT json_build_object(), jsonb_build_array(), json_build_array(1, 'x', NULL, 2.0), jsonb_build_array(1, 'x', NULL, '[1]'::jsonb);

SELECT json_object('{a,1,b,2}'), json_object('{{a,1},{b,NULL}}'), json_object('{a,b}', '{1,2}'), jsonb_object('{a,b}', '{1,2}');

SELECT json_object('{a,b,c}');

SELECT json_object('{a,b}', '{1}');

SELECT array_to_json(array[1,2]), array_to_json(array[[1,2],[3,4]], true), row_to_json(row(1, 'x', NULL, true));

CREATE TABLE jt (id int PRIMARY KEY, name text, doc jsonb DEFAULT '{}', raw json);

INSERT INTO jt VALUES (1, 'one', '{"tags": ["a", "b"], "n": 1}', '{"z": 1,  "y": [1, 2]}'), (2, 'two', '{"tags": [], "n": 2.50}', NULL), (3, NULL, NULL, '[1, {"k": "v"}]');

INSERT INTO jt (id, name) VALUES (4, 'four') RETURNING doc;

INSERT INTO jt (id, doc) VALUES (5, '{bad}');

SELECT row_to_json(jt) FROM jt ORDER BY id;

SELECT to_jsonb(t) FROM (SELECT id, name FROM jt) t ORDER BY id;

SELECT row_to_json(t, true) FROM (SELECT id, name FROM jt WHERE id < 3) t ORDER BY id;

SELECT t FROM (SELECT id, name, doc FROM jt) t ORDER BY id;

SELECT json_agg(id ORDER BY id DESC), jsonb_agg(name ORDER BY id), json_agg(doc ORDER BY id) FROM jt;

SELECT json_agg(t ORDER BY id) FROM (SELECT id, name FROM jt) t;

SELECT jsonb_agg(t ORDER BY id) FROM (SELECT id, name FROM jt WHERE id < 3) t;

SELECT json_object_agg(id, name ORDER BY id), jsonb_object_agg(id, doc -> 'n' ORDER BY id) FROM jt;

SELECT json_object_agg(name, id) FROM jt WHERE id = 3;

SELECT json_agg(id) FROM jt WHERE id > 100;

SELECT jsonb_agg(DISTINCT n ORDER BY n) FROM (VALUES (3), (1), (3), (2)) t(n);

SELECT json_agg(DISTINCT n) FILTER (WHERE n > 1) FROM (VALUES (3), (1), (3), (2)) t(n);

SELECT id, doc ->> 'n' AS n FROM jt WHERE doc @> '{"tags": ["a"]}';

SELECT id FROM jt WHERE (doc ->> 'n')::numeric > 1 ORDER BY id;

SELECT id FROM jt WHERE doc ? 'tags' ORDER BY doc -> 'n' DESC;

UPDATE jt SET doc = jsonb_set(doc, '{n}', '10') WHERE id = 1 RETURNING doc;

UPDATE jt SET doc = doc || '{"extra": true}' WHERE id = 2 RETURNING doc, doc - 'tags';

SELECT a.id, row_to_json(b) FROM jt a LEFT JOIN jt b ON b.id = a.id + 3 ORDER BY a.id;

-- Rows.
SELECT * FROM jsonb_array_elements('[1, "a", null, {"b": 2}]');

SELECT e, e ->> 'b' AS b FROM jsonb_array_elements('[{"b": 1}, {"b": "x"}]') e;

SELECT value FROM json_array_elements_text('[1, "a", null]') AS x;

SELECT * FROM jsonb_each('{"a": 1, "b": [2]}');

SELECT key, value FROM json_each_text('{"a": "x", "b": null, "a": 3}') t;

SELECT jsonb_object_keys('{"b":1,"a":2,"ccc":3}');

SELECT * FROM json_object_keys('{"b":1,"a":2}') AS k;

SELECT id, tag FROM jt, jsonb_array_elements_text(jt.doc -> 'tags') AS tag ORDER BY id, tag;

SELECT id, t.* FROM jt, LATERAL jsonb_each(jt.doc) t ORDER BY id, key;

SELECT id, jsonb_array_elements(doc -> 'tags') FROM jt ORDER BY id;

SELECT * FROM jsonb_array_elements('{"a":1}');

SELECT * FROM jsonb_array_elements('1');

SELECT * FROM json_array_elements('{"a":1}');

SELECT * FROM jsonb_each('[1]');

SELECT * FROM json_each('[1]');

SELECT jsonb_object_keys('[1]');

SELECT * FROM jsonb_array_elements('["x","y"]') WITH ORDINALITY AS t(v, n);

SELECT * FROM json_to_record('{"a": 1, "b": "x", "c": [1,2], "d": {"e": 1}}') AS t(a int, b text, c int[], d jsonb, missing date);

SELECT * FROM jsonb_to_recordset('[{"a": 1, "b": "x"}, {"a": "2"}]') AS t(a int, b text);

SELECT * FROM json_to_recordset('{"a":1}') AS t(a int);

-- Changing.
SELECT jsonb_set('{"a":[1,2]}', '{a,0}', '9'), jsonb_set('{"a":[1,2]}', '{a,5}', '9'), jsonb_set('{"a":[1,2]}', '{a,-5}', '9'), jsonb_set('{"a":1}', '{b}', '2'), jsonb_set('{"a":1}', '{b}', '2', false), jsonb_set('{"a":1}', '{b,c}', '2');

SELECT jsonb_set('1', '{a}', '2');

SELECT jsonb_set('[1]', '{a}', '2');

SELECT jsonb_insert('{"a":[0,1,2]}', '{a,1}', '"new"'), jsonb_insert('{"a":[0,1,2]}', '{a,1}', '"new"', true), jsonb_insert('{"a":1}', '{b}', '2');

SELECT jsonb_insert('{"a":1}', '{a}', '2');

SELECT jsonb_set_lax('{"a":1}', '{a}', NULL), jsonb_set_lax('{"a":1,"b":2}', '{a}', NULL, true, 'delete_key'), jsonb_set_lax('{"a":1}', '{a}', NULL, true, 'return_target');

SELECT json_strip_nulls('{"a": null, "b": [1, null, {"c": null}]}'), jsonb_strip_nulls('{"a": null, "b": [1, null, {"c": null}]}');

SELECT jsonb_pretty('{"a": [1, {"b": []}], "c": {}}');

SELECT json_typeof('1'), json_typeof('"a"'), json_typeof('null'), jsonb_typeof('true'), jsonb_typeof('[]'), jsonb_typeof('{}'), json_array_length('[1,[2]]'), jsonb_array_length('[]');

SELECT jsonb_array_length('{}');

SELECT json_array_length('1');

SELECT json_extract_path('{"a":{"b":[1,2]}}', 'a', 'b', '1'), jsonb_extract_path_text('{"a":{"b":"x"}}', 'a', 'b'), json_extract_path_text('{"a":null}', 'a');

SELECT min(v) FROM (VALUES ('1'::jsonb)) t(v);

SELECT '{"a":1}'::jsonb + 1;

SELECT jsonb_nosuch('{}');

SELECT coalesce('{"a":1}'::jsonb, '[]'), CASE WHEN true THEN '{}'::jsonb ELSE '[]' END;

SELECT '{"a":1}'::jsonb UNION SELECT '{"a": 1}' UNION ALL SELECT '[]' ORDER BY 1;

SELECT id FROM jt WHERE doc = '{}' OR doc IN ('{"n": 10, "tags": ["a", "b"]}') ORDER BY id;

SELECT raw -> 'y' -> 1, raw #>> '{1,k}' FROM jt WHERE raw IS NOT NULL ORDER BY id;

ALTER TABLE jt ADD COLUMN more jsonb DEFAULT '[1]';

SELECT id, more FROM jt ORDER BY id;

DROP TABLE jt;

SELECT row_to_json(t.*) FROM (SELECT 1 AS a) t;

SELECT count(u.*) FROM (SELECT 2 AS b) u;

SELECT json_agg(t.*) FROM (SELECT 1 AS a, 'x' AS b) t;

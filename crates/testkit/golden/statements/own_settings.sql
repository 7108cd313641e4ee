-- An application's own parameters: any name with a dot, any value
SET app.tenant = '7';
SHOW app.tenant;
SET App.Tenant TO 'Zoë & Söhne';
SELECT current_setting('app.tenant'), current_setting('APP.tenant', true);
SET app.level = 3;
SELECT current_setting('app.level')::int + 1 AS next;
-- One that nobody has set
SHOW app.nobody;
SELECT current_setting('app.nobody');
SELECT current_setting('app.nobody', true) IS NULL AS missing;
-- Local ones end with their transaction and leave their name
BEGIN;
SET LOCAL app.who = 'bob';
SELECT current_setting('app.who');
COMMIT;
SELECT current_setting('app.who') = '' AS empty, current_setting('app.who', true) IS NULL AS missing;
BEGIN;
SELECT set_config('app.who', 'eve', false), set_config('app.once', 'x', true);
SELECT current_setting('app.who'), current_setting('app.once');
ROLLBACK;
SELECT current_setting('app.who') AS who, current_setting('app.once') AS once;
SELECT set_config('app.who', 'amy', false);
BEGIN;
SAVEPOINT s;
SET app.who = 'kim';
ROLLBACK TO s;
SELECT current_setting('app.who');
COMMIT;
-- A prepared statement asks each time
PREPARE asks AS SELECT current_setting('app.who', true) AS who;
EXECUTE asks;
SET app.who = 'zoe';
EXECUTE asks;
-- Views, defaults and conditions ask for them
CREATE TABLE notes (tenant text DEFAULT current_setting('app.who', true), note text);
INSERT INTO notes (note) VALUES ('hers');
INSERT INTO notes VALUES ('bob', 'his');
CREATE VIEW mine AS SELECT note FROM notes WHERE tenant = current_setting('app.who', true);
SELECT * FROM mine;
SET app.who = 'bob';
SELECT * FROM mine;
DROP TABLE notes CASCADE;
-- Back to nothing
RESET app.who;
SELECT current_setting('app.who') = '' AS empty;
RESET app.never_set;
SET app.level TO DEFAULT;
SELECT current_setting('app.level') = '' AS empty;
SET app.tenant = 'x';
RESET ALL;
SELECT current_setting('app.tenant') = '' AS empty;
-- Names that are none
SET "app.a b" = 1;
SELECT set_config('app.', 'x', false);
SELECT set_config('app.7', 'x', false);
SELECT count(*) FROM pg_settings WHERE name LIKE 'app.%';

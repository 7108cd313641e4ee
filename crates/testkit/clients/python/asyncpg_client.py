"""asyncpg: binary everything, its own type introspection, pools, prepared statements, cursors, binary COPY."""

import asyncio
import datetime as dt
import decimal
import json
import uuid

import asyncpg


async def main():
    pool = await asyncpg.create_pool(min_size=2, max_size=5)
    async with pool.acquire() as conn:
        await conn.execute(
            """create type mood as enum ('sad', 'ok', 'happy');
               create table note (
                   id uuid primary key, at timestamptz not null, score float8, amount numeric, mood mood,
                   tags text[], grid int[], body jsonb, raw bytea, span interval, day date, hour time)"""
        )
        await conn.set_type_codec("jsonb", encoder=json.dumps, decoder=json.loads, schema="pg_catalog")
        row = (
            uuid.uuid4(), dt.datetime(2026, 5, 4, 3, 2, 1, 5, dt.timezone.utc), 2.5, decimal.Decimal("-1e-10"), "ok",
            ["x", None, "y"], [[1, 2], [3, 4]], {"deep": [1, None, "z"]}, b"\x00\x01", dt.timedelta(days=1, seconds=2),
            dt.date(2026, 2, 28), dt.time(1, 2, 3, 4),
        )
        await conn.execute("insert into note values ($1,$2,$3,$4,$5,$6,$7,$8,$9,$10,$11,$12)", *row)
        got = await conn.fetchrow("select * from note where id = $1 and mood > 'sad'", row[0])
        assert tuple(got) == row, (tuple(got), row)

        statement = await conn.prepare("select $1::int + 1 as next, $2::text[] as words")
        assert [p.name for p in statement.get_parameters()] == ["int4", "text[]"], statement.get_parameters()
        assert [a.name for a in statement.get_attributes()] == ["next", "words"]
        assert tuple(await statement.fetchrow(41, ["a", "b"])) == (42, ["a", "b"])

        async with conn.transaction():
            cursor = await conn.cursor("select i from generate_series(1, 100) i")
            assert [r["i"] for r in await cursor.fetch(3)] == [1, 2, 3]
            await cursor.forward(95)
            assert [r["i"] for r in await cursor.fetch(10)] == [99, 100]
            try:
                async with conn.transaction():
                    await conn.execute("insert into note (id, at) values ($1, now())", row[0])
            except asyncpg.UniqueViolationError as error:
                assert error.constraint_name == "note_pkey" and error.sqlstate == "23505", error
            else:
                raise AssertionError("a duplicate key went in")
        many = [(uuid.UUID(int=i), dt.datetime(2026, 1, 1, tzinfo=dt.timezone.utc), float(i)) for i in range(1, 3001)]
        assert await conn.copy_records_to_table("note", records=many, columns=["id", "at", "score"]) == "COPY 3000"
        assert await conn.fetchval("select sum(score) from note where id <> $1", row[0]) == 4_501_500.0
        await conn.executemany("update note set score = $2 where id = $1", [(many[i][0], 0.0) for i in range(100)])
        assert await conn.fetchval("select count(*) from note where score = 0") == 100
        try:
            await asyncio.wait_for(conn.execute("select pg_sleep(30)"), timeout=0.3)
        except asyncio.TimeoutError:
            pass
        assert await conn.fetchval("select 1") == 1
    results = await asyncio.gather(*(pool.fetchval("select $1::int8 * 2", i) for i in range(50)))
    assert results == [2 * i for i in range(50)]
    async with pool.acquire() as conn:
        await conn.execute("drop table note; drop type mood")
    await pool.close()
    print("ok")


asyncio.run(main())

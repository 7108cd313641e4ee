// Knex: schema builder, migrations with their lock table, query builder, upsert, transactions; then Drizzle on the same tables.
import assert from 'node:assert/strict'
import knexFactory from 'knex'
import pg from 'pg'
import { drizzle } from 'drizzle-orm/node-postgres'
import { and, eq, gt, sql } from 'drizzle-orm'
import { integer, jsonb, numeric, pgTable, serial, text, timestamp } from 'drizzle-orm/pg-core'

const { PGHOST = '127.0.0.1', PGPORT = '5432', PGUSER = 'postgres', PGDATABASE = 'postgres', PGPASSWORD } = process.env
const connection = { host: PGHOST, port: Number(PGPORT), user: PGUSER, database: PGDATABASE, password: PGPASSWORD }
const knex = knexFactory({ client: 'pg', connection, pool: { min: 0, max: 4 } })
const migrations = {
  async getMigrations() { return ['1_first', '2_more'] },
  getMigrationName(name) { return name },
  getMigration(name) {
    return {
      '1_first': {
        up: k => k.schema.createTable('team', t => { t.increments('id'); t.string('name').notNullable().unique(); t.timestamps(true, true) })
          .createTable('player', t => {
            t.increments('id'); t.integer('team_id').references('team.id').onDelete('CASCADE').index()
            t.string('name', 60).notNullable(); t.enu('role', ['attack', 'defence']); t.decimal('salary', 12, 2); t.jsonb('stats').defaultTo('{}')
          }),
        down: k => k.schema.dropTable('player').dropTable('team'),
      },
      '2_more': {
        up: k => k.schema.alterTable('player', t => { t.boolean('active').notNullable().defaultTo(true); t.renameColumn('salary', 'pay') }),
        down: k => k.schema.alterTable('player', t => { t.dropColumn('active'); t.renameColumn('pay', 'salary') }),
      },
    }[name]
  },
}
await knex.migrate.latest({ migrationSource: migrations })
assert.ok(await knex.schema.hasColumn('player', 'pay'))
await knex.migrate.rollback({ migrationSource: migrations })
assert.equal(await knex.schema.hasTable('player'), false)
await knex.migrate.latest({ migrationSource: migrations })

const [red] = await knex('team').insert({ name: 'red' }).returning(['id', 'name'])
await knex('team').insert({ name: 'red' }).onConflict('name').ignore()
await knex('team').insert({ id: red.id, name: 'Red' }).onConflict('id').merge()
await knex('player').insert(Array.from({ length: 20 }, (_, n) => ({ team_id: red.id, name: `p${n}`, role: n % 2 ? 'attack' : 'defence', pay: n * 1.5, stats: { goals: n } })))
await assert.rejects(knex('player').insert({ name: 'x', role: 'keeper' }), { code: '23514' })
await knex.transaction(async trx => {
  const rows = await trx('player').where('role', 'attack').andWhere('pay', '>', 10).forUpdate()
  assert.equal(rows.length, 7)
  await trx('player').whereIn('id', rows.map(r => r.id)).increment('pay', 100)
})
const grouped = await knex('player').join('team', 'team.id', 'player.team_id').select('team.name').count('* as n').sum('pay as pay').groupBy('team.name')
assert.deepEqual(grouped, [{ name: 'Red', n: '20', pay: '985.00' }])

const team = pgTable('team', { id: serial('id').primaryKey(), name: text('name').notNull(), createdAt: timestamp('created_at', { withTimezone: true }) })
const player = pgTable('player', { id: serial('id').primaryKey(), teamId: integer('team_id'), name: text('name'), pay: numeric('pay'), stats: jsonb('stats') })
const pool = new pg.Pool(connection)
const db = drizzle(pool)
const best = await db.select({ player: player.name, team: team.name, goals: sql`(${player.stats}->>'goals')::int` })
  .from(player).innerJoin(team, eq(team.id, player.teamId)).where(and(gt(player.pay, '120'), eq(team.name, 'Red'))).orderBy(player.name)
assert.deepEqual(best, [{ player: 'p15', team: 'Red', goals: 15 }, { player: 'p17', team: 'Red', goals: 17 }, { player: 'p19', team: 'Red', goals: 19 }])
const [changed] = await db.insert(player).values({ id: 1, name: 'first', stats: { goals: 3 } })
  .onConflictDoUpdate({ target: player.id, set: { name: sql`excluded.name` } }).returning()
assert.deepEqual([changed.name, changed.stats], ['first', { goals: 0 }])
await assert.rejects(db.transaction(async tx => { await tx.delete(player); throw new Error('no') }), /no/)
assert.equal((await db.select({ n: sql`count(*)::int` }).from(player))[0].n, 20)
await pool.end()
await knex.migrate.rollback({ migrationSource: migrations }, true)
await knex.schema.dropTable('knex_migrations').dropTable('knex_migrations_lock')
await knex.destroy()
console.log('ok')

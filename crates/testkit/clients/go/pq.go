// lib/pq through database/sql: pools, prepared statements, transactions, COPY, arrays, errors, contexts that cancel.
package main

import (
	"bytes"
	"context"
	"database/sql"
	"fmt"
	"log"
	"math"
	"sync"
	"time"

	"github.com/lib/pq"
)

func must(err error) {
	if err != nil {
		log.Panic(err)
	}
}

func expect(holds bool, what ...any) {
	if !holds {
		log.Panic(what...)
	}
}

func types(db *sql.DB) {
	var (
		flag  bool
		big   int64
		ratio float64
		text  string
		raw   []byte
		when  time.Time
		price string
		tags  []sql.NullString
		ints  []int64
		none  sql.NullInt64
	)
	at := time.Date(2026, 5, 6, 7, 8, 9, 123456000, time.UTC)
	row := db.QueryRow(`select $1::bool, $2::int8, $3::float8, $4::text, $5::bytea, $6::timestamptz, $7::numeric(12,3), $8::text[], $9::int8[], $10::int`,
		true, int64(math.MinInt64), 1e-300, "naïve ☃", []byte{0, 255}, at, "-1.500", pq.Array([]string{"a", `"b",`}), pq.Array([]int64{1, 2}), nil)
	must(row.Scan(&flag, &big, &ratio, &text, &raw, &when, &price, pq.Array(&tags), pq.Array(&ints), &none))
	expect(flag && big == math.MinInt64 && ratio == 1e-300 && text == "naïve ☃" && bytes.Equal(raw, []byte{0, 255}), "scalars", big, ratio, text)
	expect(when.Equal(at) && price == "-1.500" && tags[1].String == `"b",` && ints[1] == 2 && !none.Valid, "others", when, price, tags, ints)
}

func transactions(db *sql.DB) {
	_, err := db.Exec(`create table stock (id int primary key, n int not null check (n >= 0), note text)`)
	must(err)
	tx, err := db.Begin()
	must(err)
	copying, err := tx.Prepare(pq.CopyIn("stock", "id", "n", "note"))
	must(err)
	for i := 0; i < 1000; i++ {
		_, err = copying.Exec(i, 10, "tab\tand\\")
		must(err)
	}
	_, err = copying.Exec()
	must(err)
	must(copying.Close())
	must(tx.Commit())

	// Twenty clients take from the same rows; nothing is lost and nothing below zero.
	var wait sync.WaitGroup
	for worker := 0; worker < 20; worker++ {
		wait.Add(1)
		go func() {
			defer wait.Done()
			for i := 0; i < 10; i++ {
				_, err := db.Exec(`update stock set n = n - 1 where id = $1`, i%5)
				if err != nil {
					problem := err.(*pq.Error)
					expect(problem.Code == "23514" && problem.Constraint == "stock_n_check", problem)
				}
			}
		}()
	}
	wait.Wait()
	var sum int
	must(db.QueryRow(`select sum(n) from stock where id < 5`).Scan(&sum))
	expect(sum == 0, "sum", sum)

	tx, err = db.BeginTx(context.Background(), &sql.TxOptions{Isolation: sql.LevelRepeatableRead, ReadOnly: true})
	must(err)
	must(tx.QueryRow(`select count(*) from stock`).Scan(&sum))
	_, err = db.Exec(`delete from stock where id = 999`)
	must(err)
	var again int
	must(tx.QueryRow(`select count(*) from stock`).Scan(&again))
	expect(sum == 1000 && again == 1000, "a snapshot moved", sum, again)
	_, err = tx.Exec(`delete from stock`)
	expect(err != nil && err.(*pq.Error).Code == "25006", err)
	must(tx.Rollback())
}

func cancel(db *sql.DB) {
	ctx, stop := context.WithTimeout(context.Background(), 300*time.Millisecond)
	defer stop()
	began := time.Now()
	_, err := db.ExecContext(ctx, `select pg_sleep(30)`)
	expect(err != nil && time.Since(began) < 5*time.Second, "nothing was cancelled", err)
	var one int
	must(db.QueryRow(`select 1`).Scan(&one))
}

func main() {
	db, err := sql.Open("postgres", "sslmode=disable") // the rest from PGHOST and its kin
	must(err)
	db.SetMaxOpenConns(10)
	types(db)
	transactions(db)
	cancel(db)
	statement, err := db.Prepare(`select note from stock where id = $1`)
	must(err)
	for i := 0; i < 10; i++ {
		var note string
		must(statement.QueryRow(i).Scan(&note))
		expect(note == "tab\tand\\", note)
	}
	_, err = db.Exec(`select * from missing`)
	expect(err.(*pq.Error).Code.Name() == "undefined_table", err)
	_, err = db.Exec(`drop table stock`)
	must(err)
	fmt.Println("ok")
}

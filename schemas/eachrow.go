package schemas

import (
	"context"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
)

// EachRow runs a statement with its arguments and calls scan for each row of its
// answer, until it fails. What is wrong with the connection after the last row is
// an error too: the answer may have been cut short.
func EachRow(ctx context.Context, conn driver.Conn, statement string, scan func(scan func(...any) error) error, args ...any) (err error) {
	rows, err := conn.Query(ctx, statement, args...)
	if err != nil {
		return err
	}
	defer func() {
		if closeErr := rows.Close(); err == nil {
			err = closeErr
		}
	}()
	for rows.Next() {
		if err := scan(rows.Scan); err != nil {
			return err
		}
	}
	return rows.Err()
}

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"github.com/drawdown/drawdown/deploy/embedded"
	"github.com/drawdown/drawdown/schemas"
)

// dataFlags names the directory that `drawdown up` keeps its data in.
type dataFlags struct {
	Data string `name:"data" env:"DRAWDOWN_DATA" default:"./data" type:"path" help:"Directory of 'drawdown up', which also keeps the progress of imports."`
}

// kafkaFlags say where the events go.
type kafkaFlags struct {
	Brokers    []string `name:"kafka-brokers" env:"DRAWDOWN_KAFKA_BROKERS" default:"127.0.0.1:9092" help:"Kafka brokers, separated by commas."`
	Partitions int      `name:"partitions" env:"DRAWDOWN_PARTITIONS" default:"0" help:"Partitions of each topic; 0 asks the broker. Another count than the broker's is refused."`
	topicFlags
}

// topicFlags name the topics.
type topicFlags struct {
	ConsumptionTopic string `name:"topic-consumption" env:"DRAWDOWN_TOPIC_CONSUMPTION" default:"credits.consumption" help:"Topic of consumption."`
	LedgerTopic      string `name:"topic-ledger" env:"DRAWDOWN_TOPIC_LEDGER" default:"credits.ledger" help:"Topic of grants, adjustments and voids."`
	CampaignsTopic   string `name:"topic-campaigns" env:"DRAWDOWN_TOPIC_CAMPAIGNS" default:"credits.campaigns" help:"Topic of the states of campaigns and workspaces."`
	AlertsTopic      string `name:"topic-alerts" env:"DRAWDOWN_TOPIC_ALERTS" default:"credits.alerts" help:"Topic of alerts."`
}

// topics returns the configured names of the topics.
func (f topicFlags) topics() schemas.Topics {
	return schemas.Topics{
		Consumption: f.ConsumptionTopic,
		Ledger:      f.LedgerTopic,
		Campaigns:   f.CampaignsTopic,
		Alerts:      f.AlertsTopic,
	}
}

// clickhouseFlags say where the tables are. The password comes from the
// environment or a file, so that it stays out of the list of processes.
type clickhouseFlags struct {
	Addr         string `name:"clickhouse-addr" env:"DRAWDOWN_CLICKHOUSE_ADDR" placeholder:"HOST:PORT" help:"Native address of ClickHouse; by default the one in <data>/clickhouse.json, else 127.0.0.1:9000."`
	User         string `name:"clickhouse-user" env:"DRAWDOWN_CLICKHOUSE_USER" help:"ClickHouse user."`
	PasswordFile string `name:"clickhouse-password-file" env:"DRAWDOWN_CLICKHOUSE_PASSWORD_FILE" type:"path" placeholder:"FILE" help:"File with the password of the user; DRAWDOWN_CLICKHOUSE_PASSWORD is the other way to give it."`
	Database     string `name:"clickhouse-database" env:"DRAWDOWN_CLICKHOUSE_DATABASE" default:"drawdown" help:"ClickHouse database."`
}

// clickhouseHTTPFlags say where its HTTP interface is, which makes the files of
// exports.
type clickhouseHTTPFlags struct {
	HTTPAddr string `name:"clickhouse-http-addr" env:"DRAWDOWN_CLICKHOUSE_HTTP_ADDR" placeholder:"HOST:PORT" help:"HTTP address of ClickHouse, or its URL, for exports; by default the one in <data>/clickhouse.json. Without one there are no exports."`
}

// passwordVariable has no flag: a flag would be visible in the list of processes.
const passwordVariable = "DRAWDOWN_CLICKHOUSE_PASSWORD"

// clickhouseAccess is what `drawdown up` writes into <data>/clickhouse.json.
type clickhouseAccess struct {
	Addr     string `json:"addr"`
	HTTP     string `json:"http"`
	User     string `json:"user"`
	Password string `json:"password"`
}

// access resolves the flags: what was given, else what `drawdown up` left in
// dataDir, else the server on this machine.
func (f clickhouseFlags) access(dataDir string) (clickhouseAccess, error) {
	access := clickhouseAccess{Addr: f.Addr, User: f.User, Password: os.Getenv(passwordVariable)}
	if f.PasswordFile != "" {
		text, err := os.ReadFile(f.PasswordFile)
		if err != nil {
			return access, fmt.Errorf("cannot read the ClickHouse password: %w", err)
		}
		access.Password = strings.TrimRight(string(text), "\r\n")
	}
	if access.Addr != "" {
		return access, nil
	}
	local, err := readClickhouseAccess(filepath.Join(dataDir, "clickhouse.json"))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		access.Addr = "127.0.0.1:9000"
		return access, nil
	case err != nil:
		return access, err
	}
	access.Addr, access.HTTP = local.Addr, local.HTTP
	if access.User == "" {
		access.User, access.Password = local.User, local.Password
	}
	return access, nil
}

func readClickhouseAccess(path string) (clickhouseAccess, error) {
	var access clickhouseAccess
	text, err := os.ReadFile(path)
	if err != nil {
		return access, fmt.Errorf("cannot read how to reach ClickHouse: %w", err)
	}
	if err := json.Unmarshal(text, &access); err != nil {
		return access, fmt.Errorf("cannot read how to reach ClickHouse from %s: %w", path, err)
	}
	return access, nil
}

// open connects to ClickHouse and checks that it answers.
func (f clickhouseFlags) open(ctx context.Context, dataDir string) (driver.Conn, error) {
	access, err := f.access(dataDir)
	if err != nil {
		return nil, err
	}
	conn, err := clickhouse.Open(&clickhouse.Options{
		Addr:        strings.Split(access.Addr, ","),
		Auth:        clickhouse.Auth{Database: f.Database, Username: access.User, Password: access.Password},
		DialContext: embedded.Dialer(),
		DialTimeout: 5 * time.Second,
	})
	if err != nil {
		return nil, fmt.Errorf("cannot open ClickHouse at %s: %w", access.Addr, err)
	}
	if err := conn.Ping(ctx); err != nil {
		return nil, errors.Join(
			fmt.Errorf("cannot reach database %s of ClickHouse at %s: %w; is 'drawdown up' running, or is --clickhouse-addr missing?", f.Database, access.Addr, asWrongLogin(err)),
			conn.Close())
	}
	return conn, nil
}

// instantFlag is an instant on the command line: RFC 3339, or a date, which
// is its midnight in UTC.
type instantFlag struct{ time.Time }

// UnmarshalText reads an instant; kong calls it.
func (f *instantFlag) UnmarshalText(text []byte) error {
	for _, layout := range []string{time.RFC3339Nano, time.DateOnly} {
		if at, err := time.Parse(layout, string(text)); err == nil {
			f.Time = at.UTC()
			return nil
		}
	}
	return fmt.Errorf("%q is no instant: want one such as 2026-12-31T18:00:00Z, or a date such as 2026-12-31", text)
}

// millis returns the instant, or NoInstant if it was not given.
func (f instantFlag) millis() schemas.Millis {
	if f.IsZero() {
		return schemas.NoInstant
	}
	return schemas.MillisOf(f.Time)
}

// daysFlag is a duration on the command line that may be given in days.
type daysFlag time.Duration

// UnmarshalText reads "56d" or what time.ParseDuration reads; kong calls it.
func (f *daysFlag) UnmarshalText(text []byte) error {
	if number, ok := strings.CutSuffix(string(text), "d"); ok {
		var days float64
		if _, err := fmt.Sscanf(number+"\n", "%g\n", &days); err != nil || days < 0 {
			return fmt.Errorf("%q is no duration: want one such as 56d or 36h", text)
		}
		*f = daysFlag(days * float64(24*time.Hour))
		return nil
	}
	d, err := time.ParseDuration(string(text))
	if err != nil || d < 0 {
		return fmt.Errorf("%q is no duration: want one such as 56d or 36h", text)
	}
	*f = daysFlag(d)
	return nil
}

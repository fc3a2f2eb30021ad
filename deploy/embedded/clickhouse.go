package embedded

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/xml"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/ClickHouse/clickhouse-go/v2"
)

// User is the application's user in the embedded ClickHouse. It has every right.
const User = "drawdown"

// ClickHouse describes an embedded ClickHouse.
type ClickHouse struct {
	// Binary is the path of drawdown-embedded; "" searches as FindHelper does.
	Binary string
	// Library is the path of libchdb.so; "" searches as FindEngine does.
	Library string
	// Dir holds data, configuration, password and log; created with mode 0700.
	Dir string
	// TCPListen (native protocol) and HTTPListen are host:port with the same
	// host, an address of this machine.
	TCPListen, HTTPListen string
	// MaxMemoryBytes bounds the engine's memory; 0 is half of the machine's.
	MaxMemoryBytes int64
	// ConfigXML goes into the engine's configuration as it is: elements of the
	// server configuration such as remote_servers. "" for none.
	ConfigXML string
	// Once leaves a dead child dead instead of starting it again.
	Once bool
	// Log gets state changes; nil discards.
	Log *slog.Logger
}

// Credentials say how to reach a ClickHouse.
type Credentials struct {
	Addr     string // native protocol, host:port
	HTTP     string // host:port
	User     string
	Password string
}

// Credentials returns what the application needs to connect, making up the
// password at the first call on a new Dir.
func (c ClickHouse) Credentials() (Credentials, error) {
	cred := Credentials{Addr: c.TCPListen, HTTP: c.HTTPListen, User: User}
	if err := os.MkdirAll(c.Dir, 0o700); err != nil {
		return cred, fmt.Errorf("cannot create the ClickHouse directory: %w", err)
	}
	path := filepath.Join(c.Dir, "password")
	b, err := os.ReadFile(path)
	if err == nil && len(b) > 0 {
		cred.Password = strings.TrimSpace(string(b))
		return cred, nil
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return cred, fmt.Errorf("cannot read the ClickHouse password: %w", err)
	}
	cred.Password = rand.Text() // 130 bits
	return cred, writeFile(path, []byte(cred.Password+"\n"))
}

// Start writes the configuration, starts the engine and returns once it answers
// a query. ctx bounds the start only; Stop ends it.
func (c ClickHouse) Start(ctx context.Context) (*Process, error) {
	log := c.Log
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	binary, err := FindHelper(c.Binary)
	if err != nil {
		return nil, err
	}
	library, server, err := FindEngine(c.Library)
	if err != nil {
		return nil, err
	}
	dir, err := filepath.Abs(c.Dir)
	if err != nil {
		return nil, fmt.Errorf("cannot resolve the ClickHouse directory: %w", err)
	}
	c.Dir = dir
	cred, err := c.Credentials()
	if err != nil {
		return nil, err
	}
	if err := c.writeConfig(cred.Password); err != nil {
		return nil, err
	}
	args := []string{"clickhouse", "--supervised", "--config-file", filepath.Join(dir, "config.xml")}
	if library != "" {
		args = append(args, "--library", library)
	} else {
		log.Info("no libchdb.so, running the clickhouse program instead", "path", server)
		args = append(args, "--server", server)
	}
	return start(ctx, child{
		name:    "clickhouse",
		command: binary,
		args:    args,
		dir:     dir,
		ports:   []port{{c.TCPListen, "--clickhouse-listen"}, {c.HTTPListen, "--clickhouse-http-listen"}},
		ready:   func(ctx context.Context) error { return ping(ctx, cred) },
		restart: !c.Once,
		hint:    "; its log is " + filepath.Join(dir, "server.log"),
		log:     log,
	})
}

// ping is nil when the engine answers a query of the application's user over
// the native protocol.
func ping(ctx context.Context, cred Credentials) error {
	// A refused connection is the usual answer for the first second; asking
	// the plain socket first spares the driver's set-up.
	var d net.Dialer
	raw, err := d.DialContext(ctx, "tcp", cred.Addr)
	if err != nil {
		return err
	}
	_ = raw.Close()
	conn, err := clickhouse.Open(&clickhouse.Options{
		Addr:         []string{cred.Addr},
		Auth:         clickhouse.Auth{Username: cred.User, Password: cred.Password},
		DialContext:  Dialer(),
		MaxOpenConns: 1,
	})
	if err != nil {
		return err
	}
	var one uint8
	return errors.Join(conn.QueryRow(ctx, "SELECT 1").Scan(&one), conn.Close())
}

// writeConfig writes config.xml and users.xml. They are the program's, written
// at every start; what a user wants otherwise has a flag.
func (c ClickHouse) writeConfig(password string) error {
	tcpHost, tcpPort, err := net.SplitHostPort(c.TCPListen)
	if err != nil {
		return fmt.Errorf("cannot use --clickhouse-listen %q: %w", c.TCPListen, err)
	}
	httpHost, httpPort, err := net.SplitHostPort(c.HTTPListen)
	if err != nil {
		return fmt.Errorf("cannot use --clickhouse-http-listen %q: %w", c.HTTPListen, err)
	}
	if tcpHost != httpHost {
		return fmt.Errorf("--clickhouse-listen %s and --clickhouse-http-listen %s must have the same host", c.TCPListen, c.HTTPListen)
	}
	memory := fmt.Sprintf("<max_server_memory_usage_to_ram_ratio>%g</max_server_memory_usage_to_ram_ratio>", defaultMemoryRatio)
	if c.MaxMemoryBytes > 0 {
		memory = fmt.Sprintf("<max_server_memory_usage>%d</max_server_memory_usage>", c.MaxMemoryBytes)
	}
	// Two merges a core: they compress and wait for the disk in turn.
	threads := max(runtime.NumCPU(), 2)
	config := strings.NewReplacer(
		"$DIR", escape(c.Dir),
		"$HOST", escape(tcpHost),
		"$TCP_PORT", escape(tcpPort),
		"$HTTP_PORT", escape(httpPort),
		"$MEMORY", memory,
		"$THREADS", fmt.Sprint(threads),
		"$EXTRA", c.ConfigXML,
	).Replace(configXML)
	digest := sha256.Sum256([]byte(password))
	users := strings.NewReplacer(
		"$USER", User,
		"$ENGINE_QUERIES", engineQueries,
		"$PASSWORD_SHA256", hex.EncodeToString(digest[:]),
	).Replace(usersXML)
	for name, text := range map[string]string{"config.xml": config, "users.xml": users} {
		if err := writeFile(filepath.Join(c.Dir, name), []byte(text)); err != nil {
			return err
		}
	}
	return os.MkdirAll(filepath.Join(c.Dir, "store"), 0o700)
}

func escape(s string) string {
	var b strings.Builder
	_ = xml.EscapeText(&b, []byte(s)) // a strings.Builder does not fail
	return b.String()
}

package main

import (
	"context"
	"fmt"
	"os"
	"strings"

	"golang.org/x/sync/errgroup"

	"github.com/drawdown/drawdown/queryapi"
	"github.com/drawdown/drawdown/schemas"
)

// serveCmd is the API as a process of its own.
type serveCmd struct {
	dataFlags
	Partitions int `name:"partitions" env:"DRAWDOWN_PARTITIONS" default:"0" help:"Partitions of each topic; 0 means 4 where 'drawdown up' has its data, else 12."`
	topicFlags
	clickhouseFlags
	countingFlags
	TokenFile string `name:"token-file" env:"DRAWDOWN_TOKEN_FILE" type:"path" placeholder:"FILE" help:"File with the bearer token; by default the token in <data>/dev.json."`
	APIListen string `name:"api-listen" env:"DRAWDOWN_API_LISTEN" default:"127.0.0.1:8080" help:"Address of the API."`
	OpsListen string `name:"ops-listen" env:"DRAWDOWN_OPS_LISTEN" default:"127.0.0.1:8081" help:"Address of health and metrics."`
}

// Run serves until ctx ends.
func (c *serveCmd) Run(ctx context.Context, e *env) error {
	access, err := c.access(c.Data)
	if err != nil {
		return err
	}
	token, err := c.token()
	if err != nil {
		return err
	}
	n := network{topics: c.topics(), partitions: c.Partitions, clickhouse: access, database: c.Database}
	if n.partitions == 0 {
		n.partitions = schemas.DefaultPartitions
		if c.Addr == "" {
			n.partitions = schemas.EmbeddedPartitions
		}
	}
	e.Log.Info("configuration", e.Settings...)
	api, err := listen(ctx, c.APIListen, "--api-listen")
	if err != nil {
		return err
	}
	opsListener, err := listen(ctx, c.OpsListen, "--ops-listen")
	if err != nil {
		_ = api.Close()
		return err
	}
	registry := newRegistry()
	server, closeConn, err := newServer(n, c.countingFlags, token, e, registry)
	if err != nil {
		return err
	}
	defer func() { _ = closeConn() }()
	ops := queryapi.NewOps(registry, e.Log, server.Check())
	_, _ = fmt.Fprintf(e.Stdout, "Drawdown serves http://%s\n", api.Addr())
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return ops.Run(ctx, opsListener) })
	group.Go(func() error { return server.Run(ctx, api) })
	return group.Wait()
}

func (c *serveCmd) token() (string, error) {
	if c.TokenFile == "" {
		return devToken(c.Data)
	}
	text, err := os.ReadFile(c.TokenFile)
	if err != nil {
		return "", fmt.Errorf("cannot read the token: %w", err)
	}
	token := strings.TrimSpace(string(text))
	if token == "" {
		return "", fmt.Errorf("cannot read the token: %s is empty", c.TokenFile)
	}
	return token, nil
}

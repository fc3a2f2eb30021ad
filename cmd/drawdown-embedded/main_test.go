package main

import (
	"os"
	"path/filepath"
	"testing"
)

func TestWrongUsageExitsWith2(t *testing.T) {
	file := filepath.Join(t.TempDir(), "config.xml")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{
		{},
		{"nonsense"},
		{"kafka"},
		{"kafka", "--dir", t.TempDir(), "--listen", "nowhere"},
		{"kafka", "--dir", t.TempDir(), "--listen", "0.0.0.0:9092"},
		{"kafka", "--dir", t.TempDir(), "--partitions", "0"},
		{"clickhouse"},
		{"clickhouse", "--config-file", file},
		{"clickhouse", "--config-file", file, "--library", filepath.Join(t.TempDir(), "missing.so")},
	} {
		if code := run(args); code != 2 {
			t.Errorf("drawdown-embedded %q exits with %d, want 2", args, code)
		}
	}
}

func TestHelpExitsWith0(t *testing.T) {
	for _, args := range [][]string{{"--help"}, {"kafka", "--help"}, {"clickhouse", "--help"}} {
		if code := run(args); code != 0 {
			t.Errorf("drawdown-embedded %q exits with %d, want 0", args, code)
		}
	}
}

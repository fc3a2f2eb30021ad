package main

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"log/slog"
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

// entry frames data as kfake does.
func entry(data string) []byte {
	versioned := append([]byte{1, 0}, data...)
	b := binary.LittleEndian.AppendUint32(nil, uint32(len(versioned)))
	b = binary.LittleEndian.AppendUint32(b, crc32.Checksum(versioned, crc32.MakeTable(crc32.Castagnoli)))
	return append(b, versioned...)
}

func FuzzMendLogsKeepsWholeEntriesAndNothingElse(f *testing.F) {
	f.Add([]byte(nil))
	f.Add([]byte{200, 0, 0, 0, 1, 2, 3, 4, 1, 0, '{'})
	f.Add(entry(`{"type":"commit"}`)[:12])
	f.Add([]byte{255, 255, 255, 255, 0, 0, 0, 0, 0, 0, 0})
	f.Add(make([]byte, 64))
	whole := append(entry(`{"a":1}`), entry(`{}`)...)
	f.Fuzz(func(t *testing.T, torn []byte) {
		if wholeEntries(torn) != 0 {
			return // a whole entry, not a torn one
		}
		dir := t.TempDir()
		path := filepath.Join(dir, "groups.log")
		if err := os.WriteFile(path, append(bytes.Clone(whole), torn...), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := mendLogs(dir, slog.New(slog.DiscardHandler)); err != nil {
			t.Fatal(err)
		}
		got, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got, whole) {
			t.Fatalf("left %d bytes, want %d", len(got), len(whole))
		}
	})
}
